"""Only the routes that the page needs are there: a walk over everything that Gradio and the app mount."""

import re

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web import probes

PROBES = probes.load()
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
# Written out: a new version of Gradio, or a new route of ours, adds nothing without a line here.
PASSES = {
    "/": "GET HEAD",
    "/api/add": "POST",
    "/api/duplicates": "GET",
    "/api/encode": "POST",
    "/api/items/{item}": "GET",
    "/api/items/{item}/thumbnail": "GET",
    "/api/list": "GET",
    "/api/openapi.json": "GET HEAD",
    "/api/search": "POST",
    "/api/stats": "GET",
    "/assets/{path}": "GET",
    "/docs": "GET",
    "/favicon.ico": "GET",
    "/gradio_api/app_id": "GET",
    "/gradio_api/file={path}": "GET HEAD",
    "/gradio_api/file={path_or_url}": "GET HEAD",  # Gradio's, never reached: ours comes first
    "/gradio_api/heartbeat/{session_hash}": "GET",
    "/gradio_api/queue/data": "GET",
    "/gradio_api/queue/join": "POST",
    "/gradio_api/upload": "POST",
    "/gradio_api/upload_progress": "GET",
    "/healthz": "GET HEAD",
    "/readyz": "GET HEAD",
    "/static/{path}": "GET",
    "/theme.css": "GET",
}


@pytest.fixture(scope="module")
def client(server):
    with server.client() as opened:
        yield opened


def mounted(routes, prefix: str = "") -> set[str]:
    """Return the templates of every route, also of mounted apps and included routers."""
    found = set()
    for route in routes:
        path = prefix + getattr(route, "path", "")
        inner = getattr(route, "routes", None) or getattr(getattr(route, "app", None), "routes", None)
        inner = inner or getattr(getattr(route, "original_router", None), "routes", None)
        if inner:
            found |= mounted(inner, path)
        else:
            found.add(re.sub(r":\w+\}", "}", path))
    return found


@pytest.fixture(scope="module")
def templates(server) -> set[str]:
    return mounted(server.guard.app.routes)


def filled(template: str) -> str:
    return re.sub(r"\{\w+\}", "1", template)


def test_only_the_listed_routes_pass(server, templates):
    assert len(templates) > 80
    passing = {}
    for template in templates:
        methods = [method for method in METHODS if server.guard.missing(method, filled(template)) is None]
        if methods:
            passing[template] = " ".join(methods)
    assert passing == PASSES


def test_everything_else_is_refused(client, templates):
    """Asked for real, with every method: not there, or with the methods that it takes."""
    tried = 0
    for template in sorted(templates):
        for method in METHODS:
            if method in PASSES.get(template, "").split() or method == "CONNECT":
                continue
            answer = client.request(method, filled(template))
            tried += 1
            if template in PASSES:
                assert answer.status_code == 405, (method, template)
                assert answer.headers["allow"].split(", ") == PASSES[template].split()
            else:
                assert answer.status_code == 404, (method, template)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert method == "HEAD" or answer.json()["error"]
    assert tried > 700


def test_the_probes_routes_are_refused(server, tmp_path):
    with PROBES._foreign() as (foreign, asked):
        (tmp_path / "secret.png").write_bytes(PROBES._png(b"secret"))
        tally = PROBES._routes(PROBES.Target(server.address), tmp_path / "secret.png", foreign)
        assert asked == []
    assert tally.wrong == []
    assert tally.tried > 45


def test_the_address_of_the_page_names_no_page_and_no_deep_link_of_gradio(client):
    plain = client.get("").status_code
    for query in ({"page": "nothing"}, {"deep_link": "x" * 40}, {"deep_link": "../../x"}, {"page": "\0"}):
        assert client.get("", params=query).status_code == plain == 200


def test_no_websocket(server):
    lines = [
        "GET /gradio_api/queue/join HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ]
    import socket

    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 101 " not in connection.recv(200)


# Headers -------------------------------------------------------------------------------------------


def test_every_answer_is_marked(client):
    """Pages, files, answers, refusals: never sniffed, never embedded, never readable for another origin."""
    own = {"origin": str(client.base_url).rstrip("/")}
    for path in ("", "docs", "api/stats", "api/items/1/thumbnail", "theme.css", "nothing", "gradio_api/file=/x"):
        for headers in ({}, own, {"origin": "https://evil.example"}, {"host": "evil.example"}):
            answer = client.get(path, headers=headers)
            assert answer.headers["x-content-type-options"] == "nosniff", (path, headers)
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src" in answer.headers["content-security-policy"]
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_uploads_run_nothing_in_the_pages_origin(server):
    assert PROBES._html(PROBES.Target(server.address)).wrong == []


def test_other_sites_and_names_change_nothing(server):
    tally = PROBES._strangers(PROBES.Target(server.address))
    assert tally.wrong == []
    assert tally.tried > 40


def test_a_link_on_another_site_opens_the_page_but_nothing_else(client):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("", headers=link, params={"id": 3}).status_code == 200
    assert client.get("docs", headers=link).status_code == 200
    assert client.get("api/stats", headers=link).status_code == 403
    assert client.get("", headers=link | {"sec-fetch-dest": "iframe"}).status_code == 403
    assert client.post("", headers=link).status_code == 403


def test_a_program_needs_no_headers_of_a_browser(client):
    assert client.post("api/search", data={"id": 1}).status_code == 200
    assert client.post("api/search", data={"id": 1}, headers={"sec-fetch-site": "none"}).status_code == 200


# Numbers and other junk ----------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63 - 1, 2**63, -1, 10**400, 2**31, 2**53]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["²", "1e9", "0x10", "１", "+1", " 1", "1_0", "-0", "NaN", "..", "%00"]),
)
FIELDS = (
    "id",
    "k",
    "max_distance",
    "beta",
    "alpha_text",
    "alpha_image",
    "rerank",
    "where",
    "text",
    "minus",
    "collection",
)
WORDS = st.lists(
    st.one_of(
        st.sampled_from(["label", "size", "taken", "width", "=", "!=", ">=", "<", "and", "or", "(", ")", '"', "'"]),
        st.sampled_from(["in", "between", "null", "true", "accordion", "2020-01-01", "9999-99-99", ",", "not"]),
        st.integers(-(10**40), 10**40).map(str),
        st.floats().map(str),
        st.text(max_size=4),
    ),
    max_size=8,
).map(" ".join)
FUZZ = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@FUZZ
@given(item=NUMBERS, side=NUMBERS, name=st.text(max_size=8))
def test_numbers_in_addresses_are_never_a_server_error(client, item, side, name):
    for path in (f"api/items/{quoted(item)}", f"api/items/{quoted(item)}/thumbnail"):
        answer = client.get(path, params={"side": text(side), "collection": text(name)})
        assert 200 <= answer.status_code < 500, (path, answer.text)
    for path in (f"?id={quoted(item)}&page={quoted(name)}", f"gradio_api/upload_progress/{quoted(item)}"):
        assert client.get(path).status_code < 500


@FUZZ
@given(fields=st.dictionaries(st.sampled_from(FIELDS), NUMBERS | WORDS, max_size=4))
def test_numbers_in_forms_are_never_a_server_error(client, fields):
    sent = {"id": "1"} | {name: text(value) for name, value in fields.items()}
    answer = client.post("api/search", data=sent)
    assert 200 <= answer.status_code < 500, (sent, answer.text)
    assert "Traceback" not in answer.text


@FUZZ
@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "DELETE"]))
def test_any_address_gets_an_answer(client, path, method):
    for prefix in ("", "api/", "gradio_api/", "gradio_api/file=", "assets/", "static/", "gradio_api/queue/"):
        try:
            answer = client.request(method, prefix + quoted(path), headers={"range": "bytes=5-1,x"})
        except httpx.InvalidURL:
            continue
        assert answer.status_code < 500, (method, prefix, path)


@FUZZ
@given(
    content=st.binary(max_size=300),
    kind=st.sampled_from(["multipart/form-data; boundary=x", "multipart/form-data", "a"]),
)
def test_any_body_gets_an_answer(client, content, kind):
    for path in ("api/search", "api/add", "api/encode", "gradio_api/upload", "gradio_api/queue/join"):
        answer = client.post(path, content=content, headers={"content-type": kind})
        taken = path == "gradio_api/upload" and answer.text == "[]"  # a form without a file
        assert 400 <= answer.status_code < 500 or taken, (path, answer.status_code)


def test_lengths_that_are_none_are_refused(server):
    target = PROBES.Target(server.address)
    for length in ("²", "-1", "1e3", "9" * 30, "0x10"):
        assert target.send(
            "GET", "/api/stats", **{"content-length": length.encode("latin1").decode("latin1")}
        ).status in (400, 413)


def test_a_body_without_a_length_is_counted(server):
    """Chunked, 60 MiB: an answer as soon as there is too much, for the routes and the page alike."""

    def endless():
        for _ in range(60):
            yield b"\0" * (1 << 20)

    for path, kind in (
        ("api/search", "multipart/form-data; boundary=x"),
        ("gradio_api/upload", "multipart/form-data; boundary=x"),
        ("gradio_api/queue/join", "application/json"),
    ):
        with server.client() as client:
            answer = client.post(path, content=endless(), headers={"content-type": kind})
            assert answer.status_code in (400, 413)
            assert client.get("api/stats").status_code == 200


def quoted(value) -> str:
    return PROBES.quote(text(value), safe="")


def text(value) -> str:
    return str(value).encode("utf8", "replace").decode() if not isinstance(value, int) else f"{value}"
