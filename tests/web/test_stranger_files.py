"""No event of the page opens a file that did not come through its own upload, whatever its payload looks like."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest
from deephash.webui.predictions import checked
from deephash.webui.refusals import Refused
from deephash.webui.uploads import DEEPEST, FILE_ROUTE, Uploads
from PIL import Image

from deephash.collection import Collection
from tests.web import probes
from tests.web.conftest import Server

PROBES = probes.load()


class Opened:
    """Paths that this process opens while it is being watched. (Audit hooks cannot be taken off again.)"""

    def __init__(self):
        self.paths, self.watching = [], False
        sys.addaudithook(self.hook)

    def hook(self, event, arguments):
        if self.watching and event in ("open", "os.listdir", "os.scandir", "shutil.copyfile", "os.link", "os.symlink"):
            self.paths.append(str(arguments[0]))


@pytest.fixture(scope="module")
def opened():
    return Opened()


@pytest.fixture(scope="module")
def target(server):
    return PROBES.Target(server.address)


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "outside" / "secret.png"
    path.parent.mkdir()
    Image.new("RGB", (90, 90), (200, 10, 77)).save(path)
    return path


def test_the_probe_knows_every_event_of_the_page(server, target):
    """The numbers in the page are those of Gradio's own table, so no event is left out."""
    assert len(server.guard.events) > 30
    assert {number for number, _ in target.events()} == server.guard.events.keys()


def test_no_event_takes_a_path(server, target, secret, opened, tmp_path):
    """Every event, every shape of payload: refused, and nothing is opened, copied or added."""
    link = tmp_path / "link.png"
    link.symlink_to(secret)
    upload = target.upload("own.png", secret.read_bytes())
    before = (versions(server), files_below(server.guard.uploads.folder))
    opened.paths, opened.watching = [], True
    tally = PROBES._paths(target, PROBES.strange_paths(secret, link, upload, "http://127.0.0.1:1/x.png"), upload)
    opened.watching = False
    assert tally.wrong == []
    assert tally.tried > 100 * len(server.guard.events)
    outside = [path for path in opened.paths if "secret" in path or "link.png" in path or path.startswith("/dev/z")]
    assert outside == []
    assert (versions(server), files_below(server.guard.uploads.folder)) == before


def test_no_event_takes_a_foreign_address(server, target, secret):
    upload = target.upload("own.png", secret.read_bytes())
    with PROBES._foreign() as (foreign, asked):
        tally = PROBES._urls(target, PROBES.strange_addresses(upload, foreign, secret))
        assert asked == []
    assert tally.wrong == []
    assert tally.tried > 5 * len(server.guard.events)


def test_dev_zero_hangs_nobody(server, target):
    """Ten visitors name it at once; the next one still gets an answer at once."""
    data = [{"path": "/dev/zero", "meta": PROBES.META}] * 20
    threads = [threading.Thread(target=target.join, args=(event, data)) for event, _ in target.events()[:10]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    with server.client() as client:
        assert client.get("api/stats", timeout=5).status_code == 200


def test_gradios_own_check_is_on_as_well(server):
    """``mount_gradio_app`` leaves it off; behind the guard it is the second lock."""
    from gradio import processing_utils
    from gradio.context import LocalContext

    (mounted,) = [route.app for route in server.guard.app.routes if route.path == ""]
    blocks = mounted.get_blocks()
    assert blocks.has_launched
    token = LocalContext.blocks.set(blocks)
    try:
        with pytest.raises(Exception, match="not uploaded by a user"):
            processing_utils._check_allowed("/etc/hostname", check_in_upload_folder=True)
    finally:
        LocalContext.blocks.reset(token)


def test_an_upload_is_taken_and_shown(server, target, secret):
    """The other side: what did come through the upload passes, with and without its own address."""
    path = target.upload("mine & yours %.png", secret.read_bytes())
    assert Path(path).read_bytes() == secret.read_bytes()
    with server.client() as client:
        assert client.get("gradio_api/file=" + PROBES.quote(path)).content == secret.read_bytes()
    config = target.config()
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    event, inputs = next(
        (one["id"], one["inputs"]) for one in config["dependencies"] if is_input_into(one, "dh-picture", config)
    )
    sound = [values[one] for one in inputs]
    for url in (None, FILE_ROUTE + path, server.address[:-1] + FILE_ROUTE + PROBES.quote(path)):
        file = {"path": path, "url": url, "meta": PROBES.META}
        assert target.join(event, [file, *sound[1:]]).status == 200


# The judgement itself ------------------------------------------------------------------------------


@pytest.fixture
def uploads(tmp_path) -> Uploads:
    folder = tmp_path / "uploads"
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "own.png").write_bytes(b"own")
    return Uploads(folder)


def test_only_regular_files_below_the_folder_are_uploads(uploads, secret):
    own = uploads.folder / "ab" / "own.png"
    assert uploads.accepted(str(own)) == own
    os.mkfifo(uploads.folder / "fifo")
    (uploads.folder / "out.png").symlink_to(secret)
    (uploads.folder / "zero").symlink_to("/dev/zero")
    (uploads.folder / "loop").symlink_to(uploads.folder / "loop")
    (uploads.folder / "up").symlink_to(secret.parent)
    strange = [
        "fifo",
        "out.png",
        "zero",
        "loop",
        "up/secret.png",
        "ab",
        "ab/none.png",
        "ab/../../outside/secret.png",
        ".",
    ]
    assert [name for name in strange if uploads.accepted(str(uploads.folder / name))] == []
    others = [str(secret), "own.png", "", None, 3, b"x", [str(own)], "\0", str(own) + "\0", "\ud800", "x" * 5000]
    assert [path for path in others if uploads.accepted(path)] == []
    assert uploads.accepted(str(uploads.folder) + "-beside/own.png") is None


def test_a_path_outside_is_not_even_looked_at(uploads, opened, monkeypatch):
    looked = []
    monkeypatch.setattr(os, "lstat", lambda path, **_: looked.append(path))
    monkeypatch.setattr(os, "stat", lambda path, **_: looked.append(path))
    assert uploads.accepted("/net/slow/host/file.png") is None
    assert looked == []


def body(**changed) -> bytes:
    return json.dumps({"data": [], "fn_index": 1, "session_hash": "abc"} | changed).encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'{"data": [NaN], "fn_index": 1, "session_hash": "a"}', 400),
        (b'{"data": ["\\ud800"], "fn_index": 1, "session_hash": "a"}', 400),
        (b'{"data": [' + b"9" * 5000 + b'], "fn_index": 1, "session_hash": "a"}', 400),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (body(data=None), 422),
        (body(data={}), 422),
        (body(data=[0] * 1000), 422),
        (body(fn_index=-1), 422),
        (body(fn_index=10**30), 422),
        (body(fn_index="1"), 422),
        (body(fn_index=7), 404),
        (body(data=[1]), 422),
        (body(session_hash="a/../b"), 422),
        (body(session_hash=""), 422),
        (body(session_hash=None), 422),
        (body(trigger_id="x"), 422),
        (body(data=[json.loads("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))]), 422),
        (b'{"data": [], "fn_index": 1, "session_hash": "a", "data": [{"path": "/etc/hostname"}]}', 403),
    ],
)
def test_what_is_no_event_is_refused(uploads, sent, status):
    with pytest.raises(Refused) as refused:
        checked(sent, {1: 0}, uploads)
    assert refused.value.answer.status_code == status
    assert b"hostname" not in refused.value.answer.body


def test_gradio_reads_what_was_checked_and_nothing_else(uploads):
    twice = b'{"data": [{"path": "/x"}], "data": [1], "fn_index": 1, "session_hash": "a"'
    sent = twice + b', "oauth_token": "t", "batched": true}'
    assert json.loads(checked(sent, {1: 1}, uploads)) == {
        "data": [1],
        "fn_index": 1,
        "session_hash": "a",
        "trigger_id": None,
        "event_data": None,
    }


def test_each_process_has_a_folder_of_its_own(server):
    """Gradio's default is one folder for every server of the machine."""
    folder = server.guard.uploads.folder
    assert folder.stat().st_mode & 0o077 == 0
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    assert Uploads.of_this_process().folder == folder


def test_the_uploads_of_a_password_server_need_the_password(tmp_path):
    Collection.create(tmp_path / "x.dh", num_bits=8)
    running = Server([tmp_path / "x.dh"], user="me", password="secret").start()
    try:
        inside = PROBES.Target(running.address, "me:secret")
        path = inside.upload("a.png", b"data")
        assert inside.send("GET", f"/gradio_api/file={path}").status == 200
        outside = PROBES.Target(running.address)
        assert outside.send("GET", f"/gradio_api/file={path}").status == 401
        assert outside.join(0, [{"path": path}]).status == 401
        assert outside.upload("b.png", b"data") == ""
    finally:
        running.stop()


def versions(server) -> list[int]:
    return [Collection.open(path).version for path in server.paths]


def files_below(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def is_input_into(event: dict, name: str, config: dict) -> bool:
    """Say whether this is the event of a visitor's input into the component of that name."""
    (number,) = [one["id"] for one in config["components"] if one["props"].get("elem_id") == name]
    return [number, "input"] in [list(one) for one in event["targets"]]
