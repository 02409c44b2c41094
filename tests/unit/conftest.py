"""A server that speaks S3 on loopback, for collections and pictures in an object store."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

BUCKET = "pictures"
SECRET = "not-to-be-printed"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
        log.close()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch):
    from deephash.collection.sources import store as stores

    values = {"ACCESS_KEY_ID": "me", "SECRET_ACCESS_KEY": SECRET, "REGION": "us-east-1", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**values, "ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    stores.store.cache_clear()
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()  # of a test before, which may have asked another endpoint
    system = stores.store()
    system.mkdir(BUCKET) if not system.exists(BUCKET) else None
    system.rm(f"{BUCKET}/a", recursive=True) if system.exists(f"{BUCKET}/a") else None
    yield system
    stores.store.cache_clear()
