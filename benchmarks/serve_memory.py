"""Claim: a server whose encoder needs no torch takes less than half of the memory, and answers sooner.

    python benchmarks/serve_memory.py --pictures FOLDER --weights mobilenetv2_100_imagenet.safetensors [--rounds 5]

``deephash serve`` as a process of its own, with the portable encoder and with ``--engine torch``, in alternating rounds
on one collection; medians. Seconds from the start of the process to the first page and to the answer to a first picture
(sent as soon as the page is there); then resident memory, and the part of it that no file backs.
Byte code is there, as scripts/setup leaves it.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

PROGRAM = Path(sys.executable).with_name("deephash")
COLUMNS = {"first page": "s", "first picture": "s", "resident": "MiB", "own": "MiB"}


def memory(process: int) -> tuple[float, float]:
    """Return the resident memory of a process, and what of it is no file that others may share, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    found = {name: int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1024 for name in ("VmRSS", "RssAnon")}
    return found["VmRSS"], found["RssAnon"]


def first_page(client: httpx.Client, process: subprocess.Popen) -> None:
    """Ask until the page is there."""
    while True:
        try:
            if client.get("/").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        time.sleep(0.01)


def measure(collection: Path, picture: Path, *words: str) -> tuple[float, ...]:
    """Start a server, ask it once, and end it."""
    started = time.perf_counter()
    command = [PROGRAM, "serve", collection, "--port", "0", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = next(found for line in process.stderr if (found := re.search(r"http://\S+/", line))).group(0)
            with httpx.Client(base_url=address, timeout=120) as client:
                first_page(client, process)
                page = time.perf_counter() - started
                with picture.open("rb") as file:
                    client.post("/api/search", files={"picture": file}).raise_for_status()
                answer = time.perf_counter() - started
                while client.get("/readyz").status_code != 200:
                    time.sleep(0.05)
                return page, answer, *memory(process.pid)
        finally:
            process.terminate()


def processor() -> str:
    """Return the name of this CPU."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else "unknown CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "x.dh"
        model = ("--model", "itq:timm:mobilenetv2_100", "--weights", options.weights)
        subprocess.run([PROGRAM, "index", options.pictures, "--out", made, *model, "--quiet"], check=True)
        picture = next(path for path in sorted(options.pictures.rglob("*")) if path.suffix.lower() in (".jpg", ".png"))
        cells = {"onnx": ("--engine", "onnx"), "torch": ("--engine", "torch")}
        rounds = [
            {name: measure(made, picture, *words) for name, words in cells.items()} for _ in range(options.rounds)
        ]
    print(f"{processor()}, {os.cpu_count()} cores; medians of {options.rounds} alternating rounds")
    for place, (column, unit) in enumerate(COLUMNS.items()):
        onnx, torch = (statistics.median(row[name][place] for row in rounds) for name in cells)
        print(f"{column:14} onnx {onnx:8.2f} {unit:4} torch {torch:8.2f} {unit:4} torch / onnx {torch / onnx:5.2f}")


if __name__ == "__main__":
    main()
