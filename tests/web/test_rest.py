"""The REST routes by HTTP against the running server: answers, refusals, and what may not leave the machine."""

import io

import numpy as np
import pytest
from deephash.webui.turns import Turns
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.search import Searcher
from tests.coloured_squares import coloured
from tests.paths import shared_data
from tests.web import probes

PROBES = probes.load()
OUTSIDE = ("caltech101", "test", "sunflower")


@pytest.fixture(scope="module")
def client(server):
    with server.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def photo() -> bytes:
    return sorted(shared_data(*OUTSIDE).iterdir())[0].read_bytes()


def hits(answer):
    assert answer.status_code == 200, answer.text
    return [(hit["id"], hit["distance"]) for hit in answer.json()["hits"]]


def test_a_picture_gets_the_same_answers_as_in_python(client, server, photo):
    answer = client.post("api/search", files={"picture": ("a.jpg", photo)}, data={"k": 7})
    searcher = Searcher.open(server.paths[0], index="faiss:flat")
    assert hits(answer) == [(hit.id, hit.distance) for hit in searcher.by_image(photo, 7)]
    record = answer.json()
    assert (record["num_bits"], record["total"], record["collection"]) == (64, 96, "photos")
    assert [hit["attributes"]["label"] for hit in record["hits"]].count("sunflower") >= 3
    assert record["nearest"] == record["hits"][0]["distance"]


def test_an_indexed_picture_finds_itself_at_distance_zero(client, pictures):
    data = (pictures / "chair" / "image_0001.jpg").read_bytes()
    first = client.post("api/search", files={"picture": ("x.jpg", data)}).json()["hits"][0]
    assert (first["path"], first["distance"]) == ("chair/image_0001.jpg", 0)


def test_an_item_a_filter_and_a_cutoff(client):
    answer = client.post("api/search", data={"id": 1, "k": 50, "where": "label = accordion"})
    assert len(hits(answer)) == 12
    assert {hit["attributes"]["label"] for hit in answer.json()["hits"]} == {"accordion"}
    near = hits(client.post("api/search", data={"id": 1, "k": 50, "max_distance": 20}))
    assert 1 <= len(near) < 50
    assert all(distance <= 20 for _, distance in near)


def test_every_hit_has_a_word_and_the_line_ends_the_list_where_asked(client):
    asked = {"id": 3, "collection": "digits", "k": 200}
    answer = client.post("api/search", data=asked).json()
    itself, *others = answer["hits"]
    verdict = answer["verdict"]
    assert (verdict["basis"], verdict["match"], verdict["headline"]) == ("chance", True, "")
    assert (itself["id"], itself["word"]) == (3, None)
    words = ["nearer than chance" if hit["distance"] <= verdict["cut"] else "by chance" for hit in others]
    assert [hit["word"] for hit in others] == words
    assert len(set(words)) == 2
    assert all(hit["probability"] is None and hit["expected"] >= 0 for hit in others)
    ended = client.post("api/search", data=asked | {"max_distance": "auto"}).json()
    assert [hit["id"] for hit in ended["hits"]] == [
        hit["id"] for hit in answer["hits"] if hit["distance"] <= verdict["cut"]
    ]


def test_noise_is_no_match(client):
    noise = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(noise, "PNG")
    answer = client.post("api/search", files={"picture": ("noise.png", noise.getvalue())}, data={"k": 5}).json()
    assert answer["verdict"]["match"] is False
    assert answer["verdict"]["headline"].startswith("no match: the nearest, at")
    assert [hit["word"] for hit in answer["hits"]] == ["by chance"] * 5


def test_another_collection_by_its_name(client):
    answer = client.post("api/search", data={"id": 1, "collection": "digits"}).json()
    assert (answer["collection"], answer["num_bits"]) == ("digits", 32)


def test_encode_gives_the_stored_code(client, pictures):
    item = client.get("api/items/1").json()
    data = (pictures / item["path"]).read_bytes()
    with Image.open(pictures / item["path"]) as original:
        assert (item["width"], item["height"], item["bytes"]) == (*original.size, len(data))
    assert client.post("api/encode", files={"picture": ("x.jpg", data)}).json() == {"num_bits": 64, "hex": item["hex"]}


def test_stats_and_the_description_of_the_routes(client):
    stats = client.get("api/stats").json()
    assert [one["name"] for one in stats["collections"]] == ["photos", "other", "digits", "colours"]
    assert stats["collections"][0]["items"] == 96
    assert "exact" in stats["collections"][0]["index"]
    paths = client.get("api/openapi.json").json()["paths"]
    assert {"/api/search", "/api/encode", "/api/add", "/api/items/{item}", "/api/stats"} <= paths.keys()
    page = client.get("docs")
    assert "openapi.json" in page.text
    assert "https://" not in page.text


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        ({}, 400, "give a picture"),
        ({"id": 1, "text": "a cat"}, 400, "no text tower"),
        ({"minus": "a cat"}, 400, "give a picture"),
        ({"id": 123456}, 400, "123456"),
        ({"id": 1, "collection": "photoz"}, 400, "did you mean 'photos'"),
        ({"id": 1, "where": "colour = red"}, 400, "colour"),
        ({"id": 1, "where": "label = "}, 400, "label"),
        ({"text": "a cat"}, 400, "reads pictures, not words"),
        ({"id": 1, "k": 0}, 422, "greater_than_equal"),
        ({"id": "../../etc/passwd"}, 422, "int_parsing"),
        ({"id": 1, "max_distance": -3}, 422, "greater_than_equal"),
        ({"id": 1, "max_distance": "near"}, 422, "auto"),
    ],
)
def test_bad_questions_get_sentences(client, data, status, words):
    answer = client.post("api/search", data=data)
    assert answer.status_code == status
    assert words in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 broken", b"GIF89a" + b"\0" * 30])
def test_bad_uploads_get_sentences(client, content):
    answer = client.post("api/search", files={"picture": ("bad.jpg", content)})
    assert answer.status_code in (400, 415)
    assert answer.json()["error"].startswith("bad.jpg") or "give a picture" in answer.json()["error"]


def test_a_decompression_bomb_and_a_huge_body_are_refused(client):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    answer = client.post("api/search", files={"picture": ("bomb.png", buffer.getvalue())})
    assert answer.status_code == 415
    assert "limit" in answer.json()["error"]
    assert client.post("api/search", files={"picture": ("big.jpg", b"\0" * (49 << 20))}).status_code == 413


def test_strange_but_sound_pictures_are_taken(client):
    noise = np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8)
    for mode, kind in (("CMYK", "TIFF"), ("P", "GIF"), ("LA", "PNG"), ("1", "PNG")):
        buffer = io.BytesIO()
        Image.fromarray(noise).convert(mode).save(buffer, kind)
        assert len(hits(client.post("api/search", files={"picture": ("x", buffer.getvalue())}))) == 10


def test_thumbnails_are_small_fresh_copies(client):
    answer = client.get("api/items/1/thumbnail", params={"side": 64})
    assert answer.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(answer.content)).size) == 64
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert client.get("api/items/1/thumbnail", params={"side": 100_000}).status_code == 422
    assert client.get("api/items/999999/thumbnail").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/hostname",
        "gradio_api/file={collection}/collection.json",
        "gradio_api/file={picture}",
        "file=/etc/hostname",
        "api/items/..%2f..%2fetc%2fpasswd",
        "api/items/1/thumbnail/../../../collection.json",
        "gradio_api/proxy=http://127.0.0.1:1/x",
        "static/../../../../etc/hostname",
        "assets/..%2f..%2f..%2f..%2f..%2fetc%2fhostname",
    ],
)
def test_no_file_is_served_by_its_path(client, server, pictures, path):
    path = path.format(collection=server.paths[0], picture=pictures / "chair" / "image_0001.jpg")
    answer = client.get(path)
    assert answer.status_code in (400, 403, 404, 405, 422)
    assert b"root:" not in answer.content


def test_the_page_takes_no_path_from_a_client(client, server, pictures):
    """A forged upload event that names a file of the server must not open it."""
    config = PROBES.Target(server.address).config()
    events = [one for one in config["dependencies"] if any(target[1] == "input" for target in one["targets"])]
    named = next(one for one in config["components"] if one["props"].get("elem_id") == "dh-picture")["id"]
    event = next(one for one in events if named in one["inputs"])
    path = str(pictures / "chair" / "image_0001.jpg")
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}} if one == named else None for one in event["inputs"]]
    sent = {"data": data, "fn_index": event["id"], "session_hash": "forged", "event_data": None}
    told = client.post("gradio_api/queue/join", json=sent)
    assert told.status_code == 403
    assert "image_0001" not in told.text


def test_items_that_point_outside_the_collection_are_not_shown(tmp_path):
    """By a path, by a symbolic link, by another scheme; and what is shown carries no EXIF data."""
    from tests.web.conftest import Server

    root, secret = tmp_path / "pictures", tmp_path / "secret.png"
    root.mkdir()
    Image.new("RGB", (90, 90), (200, 10, 77)).save(secret)
    (root / "link.png").symlink_to(secret)
    photo = Image.new("RGB", (90, 90), "green")
    photo.getexif()[0x010E] = "a secret place"
    photo.save(root / "own.jpg", exif=photo.getexif())
    uris = ["own.jpg", "link.png", "../secret.png", str(secret), f"file://{secret}", "http://127.0.0.1:1/a.png"]
    collection = Collection.create(tmp_path / "x.dh", num_bits=8, root=root)
    own, *others = collection.append(uris=uris, codes=BinaryCodes.from_bits(np.eye(6, 8, dtype=int))).tolist()
    running = Server([tmp_path / "x.dh"]).start()
    try:
        with running.client() as client:
            shown = client.get(f"api/items/{own}/thumbnail")
            assert shown.status_code == 200
            assert b"secret" in (root / "own.jpg").read_bytes()
            assert b"secret" not in shown.content
            for item in others:
                answer = client.get(f"api/items/{item}/thumbnail")
                assert answer.status_code in (400, 404)
                if answer.headers["content-type"] == "application/json":
                    continue
                colours = Image.open(io.BytesIO(answer.content)).convert("RGB").getcolors(1 << 20)
                assert all(colour != (200, 10, 77) for _, colour in colours)  # a grey placeholder
    finally:
        running.stop()


def test_too_many_searches_are_told_to_come_back(client, server, monkeypatch):
    monkeypatch.setattr(server.workspace, "turns", Turns(at_once=1, waiting=0))
    with server.workspace.turns:
        answer = client.post("api/search", data={"id": 1})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "busy" in answer.json()["error"]
        assert client.get("api/items/1").status_code == 200  # only what encodes or searches waits
    assert client.post("api/search", data={"id": 1}).status_code == 200


def test_picture_and_words_with_sliders_and_reranking(client, server, photo):
    buffer = io.BytesIO()
    coloured("red", 7).save(buffer, "PNG")
    first = {}
    for beta, alpha_image in ((0, 0), (0, 2), (1, 1)):
        sent = {"text": "something blue", "collection": "colours", "beta": beta, "alpha_image": alpha_image}
        answer = client.post("api/search", files={"picture": ("a.png", buffer.getvalue())}, data=sent)
        first[beta, alpha_image] = answer.json()["hits"][0]["path"].split("_")[0]
    assert first == {(0, 0): "red", (0, 2): "blue", (1, 1): "blue"}
    found = client.post("api/search", files={"picture": ("a.jpg", photo)}, data={"k": 7, "rerank": True}).json()["hits"]
    expected = server.workspace.place("photos").searcher.by_image(photo, 7, rerank=200)
    assert [hit["id"] for hit in found] == [hit.id for hit in expected]
    assert [hit["score"] for hit in found] == sorted((hit["score"] for hit in found), reverse=True)


def test_an_item_with_words_that_are_wanted_or_not(client, photo):
    def first(**data) -> str:
        answer = client.post("api/search", data={"collection": "colours", **data}).json()
        return answer["hits"][0]["path"].split("_")[0]

    green = client.get("api/items/1", params={"collection": "colours"}).json()
    assert green["path"].startswith("green")
    assert first(id=1) == "green"
    assert first(id=1, text="something yellow") == "yellow"
    assert first(id=1, minus="green") != "green"
    answer = client.post("api/search", files={"picture": ("a.jpg", photo)}, data={"id": 1})
    assert (answer.status_code, "not both" in answer.json()["error"]) == (400, True)


def test_other_sites_and_names_are_refused(client):
    assert client.get("api/stats", headers={"host": "evil.example"}).status_code == 421
    sent = client.post("api/search", data={"id": 1}, headers={"origin": "https://evil.example"})
    assert sent.status_code == 403


def test_adding_over_rest_and_read_only(server, photo, photo_model, pictures, tmp_path):
    from tests.web.collections import caltech_collection
    from tests.web.conftest import Server

    caltech_collection(tmp_path / "live.dh", pictures, photo_model)
    running = Server([tmp_path / "live.dh"], user="me", password="secret").start()
    try:
        with running.client() as client:
            assert client.get("api/stats").status_code == 401
            assert client.get("").status_code == 401
            client.auth = ("me", "secret")
            added = client.post("api/add", files=[("pictures", ("new.jpg", photo)), ("pictures", ("bad.jpg", b"x"))])
            assert added.status_code == 200, added.text
            (item,) = added.json()["ids"]
            assert added.json()["skipped"][0][0] == "bad.jpg"
            first = client.post("api/search", files={"picture": ("new.jpg", photo)}).json()["hits"][0]
            assert (first["id"], first["distance"]) == (item, 0)
            assert first["path"].startswith("collection:uploads/")
            assert client.get(f"api/items/{item}/thumbnail").status_code == 200
            again = client.post("api/add", files={"pictures": ("again.jpg", photo)})
            assert "already in the collection" in again.json()["error"]
            running.workspace.read_only = True
            assert "read-only" in client.post("api/add", files={"pictures": ("b.jpg", photo)}).json()["error"]
    finally:
        running.stop()
    assert len(Collection.open(tmp_path / "live.dh")) == 97
