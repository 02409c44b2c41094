"""The script that is run after each upgrade of Gradio: it finds nothing here, and it does find what is wrong."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

from tests.web import probes

PROBES = probes.load()


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(probes.SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_the_script_finds_nothing_wrong_with_the_page(server):
    done = run(server.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 8  # a table of kinds, no line of wrongs
    assert all(" 0 wrong" in line for line in done.stdout.splitlines())


@pytest.mark.slow
def test_the_script_serves_a_collection_itself(server):
    done = run(str(server.paths[0]))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_ends_with_one_where_the_page_takes_everything():
    """A page that answers 200 to whatever comes, and follows the addresses it is given."""
    config = json.dumps({"components": [], "dependencies": [{"id": 0, "inputs": [1]}]})
    page = f"<script>window.gradio_config = {config};</script>".encode()

    class Naive(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            if "=http" in self.path:
                self.follow(self.path.split("=", 1)[1])

        do_POST = do_GET  # noqa: N815 - a name of the standard library

        def follow(self, address):
            import urllib.request

            urllib.request.urlopen(address).read()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Naive) as naive:
        threading.Thread(target=naive.serve_forever, daemon=True).start()
        done = run(f"http://127.0.0.1:{naive.server_port}/")
        naive.shutdown()
    assert done.returncode == 1, done.stdout + done.stderr
    wrong = {line[:34].strip(): int(line.split()[-2]) for line in done.stdout.splitlines() if line.endswith(" wrong")}
    kinds = ("paths in events", "addresses in events", "routes the page does not need", "other web sites and names")
    kinds = (*kinds, "uploads that would run script", "foreign addresses fetched")
    assert all(wrong[kind] > 0 for kind in kinds), wrong


def test_without_an_address_the_script_says_how(tmp_path):
    done = run()
    assert done.returncode == 2
    assert "scripts/probe_page http://127.0.0.1:7860/" in done.stdout
