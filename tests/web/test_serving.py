"""How the server is started: who reaches it, what it says, and what it leaves behind."""

import inspect
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deephash.webui import serve, server
from starlette.datastructures import Headers

from deephash.cli.serve import serve as serve_command
from deephash.collection import Collection
from tests.web import probes

PROBES = probes.load()


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Start without running: return the app that would be served."""
    Collection.create(tmp_path / "x.dh", num_bits=8)
    apps = []
    monkeypatch.setattr(server, "_run", lambda app, listening: (listening.close(), apps.append(app)))

    def start(**settings):
        serve([tmp_path / "x.dh"], port=0, **settings)
        return apps[-1]

    return start


def test_only_this_machine_reaches_it_unless_told_otherwise(started, capsys):
    for function in (serve, serve_command):
        assert inspect.signature(function).parameters["host"].default == "127.0.0.1"
    assert started().local_only
    assert "warning" not in capsys.readouterr().err
    assert not started(host="0.0.0.0").local_only
    assert "0.0.0.0 is reachable from other machines and no --user/--password is set" in capsys.readouterr().err
    started(host="0.0.0.0", user="me", password="secret")
    assert "warning" not in capsys.readouterr().err


def test_the_names_given_with_hostname_are_answered(started, tmp_path):
    app = started(host="0.0.0.0", names=["pictures.example"])
    assert app.refusal(Headers({"host": "pictures.example"}), "GET") is None
    assert app.refusal(Headers({"host": "other.example"}), "GET").status_code == 421
    behind = started(names=["pictures.example"])  # a proxy in front of a loopback address
    assert behind.refusal(Headers({"host": "pictures.example"}), "GET") is None
    assert behind.refusal(Headers({"host": "192.168.1.5"}), "GET").status_code == 421


def test_the_folder_of_uploads_goes_with_the_server_but_not_with_its_workers(tmp_path):
    code = """
import os
from deephash.webui.uploads import Uploads
folder = Uploads.of_this_process().folder
(folder / "a").mkdir()
(folder / "a" / "b.png").write_bytes(b"x")
if os.fork() == 0:
    import atexit
    atexit._run_exitfuncs()
    os._exit(0)
os.wait()
assert (folder / "a" / "b.png").exists()
print(folder)
"""
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path / "here" / "and not yet there")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    folder = Path(done.stdout.strip())
    assert folder.parent == tmp_path / "here" / "and not yet there"
    assert not folder.exists()
    assert folder.parent.exists()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_nothing_of_the_uploads_is_left_when_the_server_is_stopped(tmp_path, ending):
    Collection.create(tmp_path / "x.dh", num_bits=8)
    (tmp_path / "uploads").mkdir()
    words = [sys.executable, "-m", "deephash.cli.main", "serve", str(tmp_path / "x.dh"), "--port", "0"]
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path / "uploads")}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as running:
        try:
            target = PROBES.Target(re.search(r"http://\S+/", running.stderr.readline()).group(0))
            deadline = time.monotonic() + 30
            while not (path := target.upload("a.png", b"data")) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert Path(path).read_bytes() == b"data"
            assert Path(path).is_relative_to(tmp_path / "uploads")
        finally:
            running.send_signal(ending)
            running.wait(30)
    assert list((tmp_path / "uploads").glob("deephash-uploads-*")) == []
    assert not list((tmp_path / "uploads").rglob("*.png"))
