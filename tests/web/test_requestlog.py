"""Lines about requests: each one an object, none with what was asked."""

import asyncio
import io
import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest
from deephash.webui.app import build_app
from deephash.webui.requestlog import RequestLog, shown
from deephash.webui.workspace import Workspace
from fastapi.testclient import TestClient

from deephash.collection import Collection
from tests.web.collections import colours_collection

FIELDS = ["time", "method", "path", "status", "ms"]


@pytest.fixture
def logged(tmp_path):
    colours_collection(tmp_path / "colours.dh", tmp_path / "colours")
    stream = io.StringIO()
    app = RequestLog(build_app(Workspace([tmp_path / "colours.dh"])), stream)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    return client, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_request_is_one_line_with_time_method_path_status_and_ms(logged):
    client, lines = logged
    client.get("/api/stats")
    (line,) = lines()
    assert list(line) == FIELDS
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/stats", 200)
    assert line["ms"] > 0
    assert datetime.fromisoformat(line["time"]).utcoffset().total_seconds() == 0


def test_what_the_guard_refuses_is_written_too(logged):
    client, lines = logged
    client.get("/", headers={"host": "evil.example"})
    client.get("/config")
    client.put("/api/search")
    assert [line["status"] for line in lines()] == [421, 404, 405]


def test_nothing_of_what_was_asked_is_written(logged):
    client, lines = logged
    client.post("/api/search", data={"text": "secretword"}, headers={"authorization": "Basic c2VjcmV0"})
    client.post("/api/search", files={"picture": ("secretname.png", b"secretbytes")})
    client.get("/", params={"q": "secretword"})
    client.get("/gradio_api/file=/tmp/x/secretname.png")
    written = lines()
    assert len(written) == 4
    assert "secret" not in json.dumps(written)
    assert written[-1]["path"] == "/gradio_api/file=*"
    assert shown("/gradio_api/heartbeat/secretsession") == "/gradio_api/heartbeat/*"


def test_a_path_makes_no_second_line_and_is_not_endless():
    assert shown("/gradio_api/file=a\n{}") == "/gradio_api/file=*"
    assert len(shown("/" + "x" * 5000)) == 200
    stream = io.StringIO()
    _run(RequestLog(_failing, stream)(_scope('/a\n{"status": 1}\x1b[31m\udcff'), None, None))
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().isascii()
    assert "\x1b" not in stream.getvalue()


def _run(answering):
    """Run a coroutine in a thread of its own: Playwright's loop may be running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, answering).result()


def _scope(path):
    return {"type": "http", "method": "GET", "path": path}


async def _failing(scope, receive, send):
    return None


async def _raising(scope, receive, send):
    raise RuntimeError("a fault")


def test_a_request_that_fails_before_its_answer_is_written_as_500_and_the_fault_goes_on():
    stream = io.StringIO()
    with pytest.raises(RuntimeError, match="a fault"):
        _run(RequestLog(_raising, stream)(_scope("/x"), None, None))
    assert json.loads(stream.getvalue())["status"] == 500


def test_a_log_that_cannot_be_written_stops_no_answer():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    _run(RequestLog(_failing, Full())(_scope("/x"), None, None))


def test_serve_writes_lines_to_standard_output_and_metrics_where_asked(tmp_path):
    Collection.create(tmp_path / "x.dh", num_bits=8)
    words = [sys.executable, "-m", "deephash.cli.main", "serve", str(tmp_path / "x.dh"), "--port", "0"]
    words += ["--metrics", "--log-format", "json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            address = re.search(r"http://\S+/", run.stderr.readline()).group(0)
            with httpx.Client(base_url=address, timeout=60) as client:
                assert 'deephash_rows{collection="x"} 0.0' in client.get("/metrics").text
                assert client.get("/healthz?secret=1").status_code == 200
        finally:
            run.send_signal(signal.SIGTERM)
            out, _ = run.communicate(timeout=30)
    assert [json.loads(line)["path"] for line in out.splitlines()] == ["/metrics", "/healthz"]
