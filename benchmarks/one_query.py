"""Claim: one query through Searcher and through the page costs a few bare scans, filter or not.

    git worktree add OLD dacb8e0; python benchmarks/one_query.py --old OLD [--rows 1000000]

In one run, on the same collection of random 64-bit codes in eight classes: the bare scan, ``Searcher.by_codes``, what
the page computes for an answer (hits, codes, histogram, chance, remarks, line), and the page with ``label = c3``. The
peer is 0.1.0 in OLD, in a process of its own; the two take turns, three rounds, and the median of each cell counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS, QUERIES = 3, 25


def make(path: Path, rows: int) -> None:
    from deephash.codes import BinaryCodes
    from deephash.collection import Collection

    draw = np.random.default_rng(0)
    made = Collection.create(path, num_bits=64)
    step = 1_000_000
    for first in range(0, rows, step):
        count = min(step, rows - first)
        codes = BinaryCodes(draw.integers(0, 256, (count, 8), dtype=np.uint8), 64)
        labels = [{"label": f"c{number}"} for number in draw.integers(0, 8, count).tolist()]
        made.append(uris=[f"{first + row}.jpg" for row in range(count)], codes=codes, attributes=labels)
    made.compact()


def measured(path: Path) -> dict[str, float]:
    """Return median milliseconds of every cell; run in the process of one version."""
    from deephash.webui.workspace import Workspace

    from deephash.search import Searcher

    try:
        from deephash.search import Options
    except ImportError:  # 0.1.0
        from deephash.webui.workspace import Options

    workspace = Workspace([path])
    place = workspace.place()
    searcher: Searcher = place.searcher
    snapshot = searcher.snapshot
    index = getattr(snapshot, "current", snapshot).index  # 0.1.0 knew no shards
    draw = np.random.default_rng(1)
    items = [int(item) for item in draw.choice(snapshot.ids, QUERIES + 3, replace=False)]
    codes = [searcher.code_of(item) for item in items]

    def timed(ask) -> float:
        spent = []
        for number in range(len(items)):
            began = time.perf_counter()
            ask(number)
            spent.append(1000 * (time.perf_counter() - began))
        return statistics.median(spent[3:])

    def shown(number: int, where: str | None = None) -> None:
        answer = workspace.answer(place.name, workspace.item_query(place.name, items[number]), Options(24, None, where))
        assert len(answer.hits) == len(answer.remarks) == 24
        assert answer.counts.sum() <= len(snapshot.ids)
        getattr(answer, "line", None)  # what the hits mean, which 0.1.0 took from its cut-off

    return {
        "bare scan": timed(lambda number: index.search(codes[number], 24)),
        "by_codes": timed(lambda number: searcher.by_codes(codes[number], 24)),
        "page": timed(shown),
        "page, label = c3": timed(lambda number: shown(number, "label = c3")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True, help="a checkout of 0.1.0")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--collection", type=Path, help="made already (and kept)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.collection)))
        return
    lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
    print(next(line.partition(": ")[2] for line in lines if line.startswith("model name")), f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        path = options.collection or Path(folder, "x.dh")
        if not path.exists():
            make(path, options.rows)
        found: dict[str, list[dict[str, float]]] = {"0.1.0": [], "now": []}
        here = Path(__file__).resolve().parents[1]
        for _ in range(ROUNDS):
            for version, root in (("0.1.0", options.old.resolve()), ("now", here)):
                command = [sys.executable, __file__, "--measure", "--old", str(options.old), "--collection", str(path)]
                shim = Path(folder, version)
                (shim / "deephash").parent.mkdir(exist_ok=True)
                if not (shim / "deephash").exists():  # deephash.webui is the folder webui of the same checkout
                    (shim / "deephash").symlink_to(root / "deephash")
                code = (
                    f"import sys; sys.path.insert(0, {str(shim)!r}); import deephash, importlib.util as u; "
                    f"spec = u.spec_from_file_location('deephash.webui', {str(root / 'webui/__init__.py')!r}, "
                    f"submodule_search_locations=[{str(root / 'webui')!r}]); module = u.module_from_spec(spec); "
                    f"sys.modules['deephash.webui'] = module; deephash.webui = module; "
                    "spec.loader.exec_module(module); "
                    f"sys.argv = {command[1:]!r}; import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
                )
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
                found[version].append(json.loads(done.stdout.splitlines()[-1]))
    print("| ms | 0.1.0 | now | ratio | now / bare scan |\n|---|---|---|---|---|")
    bare = statistics.median(each["bare scan"] for each in found["now"])
    for cell in found["now"][0]:
        old, new = (statistics.median(each[cell] for each in found[version]) for version in ("0.1.0", "now"))
        print(f"| {cell} | {old:.2f} | {new:.2f} | {old / new:.1f}x | {new / bare:.1f} |")


if __name__ == "__main__":
    main()
