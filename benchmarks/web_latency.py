"""How fast the page answers on 100,000 items: decode, encode, search, thumbnails; and the first page in a browser.

    python benchmarks/web_latency.py PICTURES [--items 100000] [--bits 64] [--weights mobilenetv1_025.safetensors]

Builds a collection of ``--items`` rows over the pictures in PICTURES (their codes, repeated with a few random bits
turned, so that ties and near-duplicates occur as in life), serves it in this process, and asks over HTTP. Medians of
``--runs`` repetitions.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from deephash.webui.actions import picture_query, view_of
from deephash.webui.app import build_app
from deephash.webui.server import listen
from deephash.webui.session import Session
from deephash.webui.thumbnails import encode_thumbnail
from deephash.webui.workspace import Options, Workspace

from deephash.backbones import Backbone
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.models import LSH
from deephash.pictures import open_picture, scan_folder

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def build(path: Path, folder: Path, files: list[Path], items: int, bits: int, weights: str | None) -> None:
    """Write the collection."""
    import torch

    torch.manual_seed(0)
    spec = Backbone("mobilenet_v1:0.25", weights=weights)
    model = LSH(bits, spec)
    transform = model.preprocess("image")
    with torch.inference_mode():
        batches = [
            torch.stack([transform(open_picture(file)) for file in files[s : s + 64]]) for s in range(0, len(files), 64)
        ]
        features = torch.cat([model.features({"image": batch}) for batch in batches]).clone()
    model.fit(features)
    generator = np.random.default_rng(0)
    base = model.encode_images(files).bits()[np.arange(items) % len(files)]
    turned = generator.random((items, bits)) < generator.choice([0.0, 0.05, 0.15, 0.3], (items, 1))
    turned[: len(files)] = False
    uris = [files[row % len(files)].relative_to(folder).as_posix() for row in range(items)]
    names = [uri if row < len(files) else f"{uri}?{row}" for row, uri in enumerate(uris)]
    collection = Collection.create(path, num_bits=bits, model=model, root=folder)
    collection.append(
        uris=names,
        codes=BinaryCodes.from_bits(base ^ turned),
        attributes=[{"label": uri.split("/")[0]} for uri in uris],
    )


def median_ms(action: Callable[[], object], runs: int) -> float:
    """Return the median time of ``action`` in milliseconds, the first call left out."""
    action()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def measure_parts(workspace: Workspace, picture: Path, runs: int) -> dict[str, float]:
    """Time the parts of one answer in Python."""
    place = workspace.place()
    searcher, options = place.searcher, Options(k=24)
    query = picture_query(picture)
    code = workspace.encode(place.name, query)
    answer = workspace.answer(place.name, query, options)
    opened = open_picture(picture, reduced_to=256)
    return {
        "decode the upload": median_ms(lambda: open_picture(picture), runs),
        "encode (decode, preprocess, network)": median_ms(lambda: searcher.encoder.encode("image", picture), runs),
        "search, attributes and ties": median_ms(lambda: searcher.by_codes(code, 24), runs),
        "histogram of all distances": median_ms(lambda: searcher.distance_counts(code), runs),
        "whole answer, code known": median_ms(lambda: workspace.answer(place.name, query, options), runs),
        "HTML of the answer": median_ms(lambda: view_of(workspace, Session().ask(query), answer), runs),
        "one thumbnail, not cached": median_ms(lambda: encode_thumbnail(opened), runs),
    }


def measure_http(address: str, picture: Path, runs: int) -> dict[str, float]:
    """Time whole requests."""
    data = picture.read_bytes()
    with httpx.Client(base_url=address, timeout=60) as client:

        def search() -> None:
            client.post("api/search", files={"picture": ("q.jpg", data)}, data={"k": 24}).raise_for_status()

        def search_item() -> None:
            client.post("api/search", data={"id": 1, "k": 24}).raise_for_status()

        return {
            "POST /api/search with a picture": median_ms(search, runs),
            "POST /api/search with an id": median_ms(search_item, runs),
            "GET a cached thumbnail": median_ms(lambda: client.get("api/items/1/thumbnail").raise_for_status(), runs),
        }


def measure_browser(address: str, runs: int) -> dict[str, float]:
    """Time the first page and a click on a result in headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()

        def first_page() -> None:
            page.goto(address)
            page.wait_for_selector("#dh-results .dh-hit")

        loading = median_ms(first_page, max(3, runs // 5))
        times = []
        for place in range(1, max(4, runs // 3)):
            card = page.locator("#dh-results .dh-hit").nth(place % 8)
            trail = page.locator(".dh-trail li").count()
            card.click()
            started = time.perf_counter()
            page.click("#dh-large [data-act=requery]")
            page.wait_for_function("n => document.querySelectorAll('.dh-trail li').length > n || n >= 12", arg=trail)
            times.append(1000 * (time.perf_counter() - started))
        browser.close()
    return {
        "first page until results are there": loading,
        "click on a result until new results": statistics.median(times),
    }


def main() -> None:
    """Build, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--weights", help="safetensors of mobilenet_v1:0.25; fresh weights where left out")
    arguments = parser.parse_args()
    files = list(scan_folder(arguments.pictures))[:1000]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pictures.dh"
        build(path, arguments.pictures, files, arguments.items, arguments.bits, arguments.weights)
        workspace = Workspace([path])
        workspace.warm_up()
        socket = listen("127.0.0.1", 0)
        address = f"http://127.0.0.1:{socket.getsockname()[1]}/"
        server = uvicorn.Server(uvicorn.Config(build_app(workspace), log_level="error"))
        threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        print(f"{arguments.items:,} items of {arguments.bits} bits, k = 24, medians of {arguments.runs} runs, ms")
        results = measure_parts(workspace, files[0], arguments.runs)
        results |= measure_http(address, files[0], arguments.runs) | measure_browser(address, arguments.runs)
        for name, value in results.items():
            print(f"| {name} | {value:.1f} |")
        server.should_exit = True


if __name__ == "__main__":
    main()
