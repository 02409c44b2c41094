"""`deephash demo` as people type it: the page opens early, the table comes, and nothing of others is replaced."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from deephash.cli.main import main

METHODS = ["OrthoHash", "ITQ", "PCASign", "LSH"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def opened(address: str, process: subprocess.Popen, seconds: float = 180) -> bool:
    """Wait until a page answers; False where the process ended or it took too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
        time.sleep(0.2)
    return False


def test_the_demo_opens_its_page_while_other_models_are_trained(tmp_path):
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "deephash", "demo", "--port", str(port)]
    with open(tmp_path / "errors", "w") as errors:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert opened(f"{address}/healthz", process), (tmp_path / "errors").read_text()
        lines = list(iter(lambda: process.stdout.readline().rstrip(), f"page    {address}   (Ctrl-C ends)"))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()
    folder = tmp_path / "deephash-demo"
    begun = [(folder / name).stat().st_mtime for name in ("report/report.json", "runs/16bits_seed0/config.yaml")]
    assert begun == sorted(begun)  # the report is written as the last thing before the page opens
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=5)
    scores = {line.split()[0]: line.split()[-3:] for line in lines[:7] if line.split()[0] in METHODS}
    numbers = {name: [float(score) for score in found] for name, found in scores.items()}
    assert list(numbers) == METHODS
    assert min(numbers["OrthoHash"]) > 0.9 > max(numbers["ITQ"]) > max(numbers["LSH"])
    assert any("digits-fifth/v1 | mAP@all" in line for line in lines)
    from deephash.collection import Collection

    assert len(Collection.open(folder / "digits.dh")) == 1438
    assert len(Collection.open(folder / "queries.dh")) == 359  # whose pictures the page shows


def test_the_demo_replaces_no_folder_that_is_not_its_own(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert main(["demo", "--no-serve", "--out", "mine"]) == 2
    assert "something else than a demo" in capsys.readouterr().err
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_the_demo_says_first_that_the_page_cannot_be_shown(capsys, monkeypatch):
    monkeypatch.setattr("deephash.foreign.extras.find_spec", lambda name: None if name == "gradio" else name)
    assert main(["demo"]) == 2
    assert 'pip install "deephash[serve]"' in capsys.readouterr().err
