"""The page's budget at 10,000 pictures: the first answer within a second, everything that is pressed within 100 ms.

    python benchmarks/web_budget.py PICTURES [--items 10000] [--runs 9] [--weights mobilenetv1_025.safetensors]

Serves a collection as ``web_latency.py`` builds it and works it in a headless Chromium: from the address of an item to
its pictures on the screen, and from a press to the changed page: what only the browser does (sizes, selecting, the
dialog), and what asks the server (a chip, more results). Prints medians, and a ratio against the budget; 1 or less
keeps it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvicorn
from deephash.webui.app import build_app
from deephash.webui.server import listen
from deephash.webui.workspace import Workspace
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.web_latency import CHROMIUM, FLAGS, build
from deephash.collection import Collection
from deephash.pictures import scan_folder

FIRST, PRESSED = 1000.0, 100.0  # milliseconds
# From the press to the frame that shows what it did, measured inside the page.
WATCHED = """([press, done]) => new Promise(resolve => {
    const begun = performance.now(), shown = new Function(`return ${done}`);
    const look = () => shown() ? resolve(performance.now() - begun) : requestAnimationFrame(look);
    new Function(press)();
    requestAnimationFrame(look);
})"""
BROWSER = {
    "large pictures": (
        "document.querySelector('[data-size=large]').click()",
        "document.querySelector('.dh-large-cards')",
    ),
    "small pictures": (
        "document.querySelector('[data-size=small]').click()",
        "!document.querySelector('.dh-large-cards')",
    ),
    "select": (
        "document.querySelector('#dh-results .dh-pick input').click()",
        "document.querySelector('.dh-selected')",
    ),
    "select nothing": ("document.querySelector('.dh-none').click()", "!document.querySelector('.dh-selected')"),
    "show large": (
        "document.querySelectorAll('#dh-results .dh-hit')[1].click()",
        "document.querySelector('.dh-view[open]')",
    ),
    "close": ("document.querySelector('.dh-view .dh-shut').click()", "!document.querySelector('.dh-view[open]')"),
}
SERVER = {
    "a chip": (
        "document.querySelector('[data-value=b]').click()",
        "location.search.includes('where') && document.querySelectorAll('.dh-card').length === 24",
    ),
    "no chip": (
        "document.querySelector('[data-value=b]').click()",
        "!location.search.includes('where') && document.querySelectorAll('.dh-card').length === 24",
    ),
    "more": ("document.querySelector('.dh-further').click()", "document.querySelectorAll('.dh-card').length === 48"),
}


def first_answers(page: Page, address: str, ids: list[int]) -> list[float]:
    """Return milliseconds from an address to its answer on the screen, a new page load each."""
    taken = []
    for item in ids:
        begun = time.perf_counter()
        page.goto(f"{address}?id={item}")
        page.wait_for_selector(f'#dh-results .dh-card:first-child .dh-hit[data-id="{item}"]')
        taken.append(1000 * (time.perf_counter() - begun))
    return taken


def pressed(page: Page, runs: int, begin: Callable[[], None]) -> dict[str, list[float]]:
    """Return milliseconds of everything that can be pressed."""
    taken: dict[str, list[float]] = {}
    for _ in range(runs):
        begin()
        for name, what in {**BROWSER, **SERVER}.items():
            taken.setdefault(name, []).append(page.evaluate(WATCHED, list(what)))
    return taken


def told(name: str, times: list[float], budget: float) -> None:
    """Print a line."""
    middle = statistics.median(times)
    print(f"{name:16} {middle:8.1f} ms   {middle / budget:5.2f} of {budget:.0f} ms")


def main() -> None:
    """Build, serve, measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "many.dh"
        files = list(scan_folder(options.pictures))[:500]
        build(path, options.pictures, files, options.items, options.bits, options.weights)
        collection = Collection.open(path)
        ids = collection.ids()
        kinds = np.random.default_rng(0).choice(list("aab"), len(ids))
        collection.update(ids, [{"kind": str(kind)} for kind in kinds])
        workspace = Workspace([path])
        workspace.warm_up()
        listening = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(build_app(workspace), log_level="error"))
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        page = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page()
        wanted = [int(ids[place]) for place in range(options.runs + 1)]
        told("first answer", first_answers(page, address, wanted)[1:], FIRST)  # the first fills the browser's cache

        def begin() -> None:
            first_answers(page, address, wanted[:1])
            page.click("#dh-options > button")
            page.wait_for_selector("[data-value=b]", state="visible")

        for name, times in pressed(page, options.runs, begin).items():
            told(name, times, PRESSED)
        server.should_exit = True


if __name__ == "__main__":
    main()
