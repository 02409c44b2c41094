"""Claim: a folder is indexed several times faster by the portable encoder than by torch, near the limit of the CPU.

    python benchmarks/indexing_engines.py FOLDER [--weights mobilenetv2_100_imagenet.safetensors] [--rounds 3]
        [--backbones timm:mobilenetv2_100 timm:resnet18 ...]

For each network, on the same JPEGs and in turn, medians of several rounds, in CPU seconds of the whole process (all
threads, user and system) spread over the cores, which other work on the machine hardly changes; wall time beside them:

- bare: ``session.run`` and decoding at reduced size in a loop a core, nothing else; each arrangement of (threads x
  compute threads, rows in a batch) for the table, the one that ``deephash index`` uses as the limit.
- onnx, torch, int8: ``index_folder`` into a new collection by each engine: scanning, hashing, decoding, encoding,
  attributes, commits.
- naive: what a first script does: for each picture Pillow in full, the transform, torch with a batch of one, all cores.

Networks without ``--weights`` have random weights: time does not depend on them, flipped bits do. Ratios are within one
run; name the CPU beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin would count as work, of the naive loop most

import numpy as np
from indexing_folder import enlarge, naive
from onnxruntime import InferenceSession, SessionOptions

from deephash.backbones import Backbone
from deephash.collection import Collection
from deephash.encoding import open_encoder
from deephash.encoding.onnx import session_of
from deephash.ingest import index_folder
from deephash.models import LSH
from deephash.pictures import open_picture

BACKBONES = (
    "timm:mobilenetv2_100", "timm:resnet18", "timm:resnet50", "timm:vit_small_patch16_224", "timm:vit_base_patch32_224",
)  # fmt: skip
WANTED = {"mobilenetv2": 2.5, "resnet": 1.8, "vit": 1.25}  # x of torch


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def arrangements(cores: int) -> dict[str, tuple[int, int, int]]:
    """Name -> (worker threads, compute threads of each, rows in a batch)."""
    return {
        "a thread a core, one row": (cores, 1, 1),
        "a thread a core, 16 rows": (cores, 1, 16),
        "one thread, all cores, one row": (1, cores, 1),
        "one thread, all cores, 16 rows": (1, cores, 16),
    }


def bare(graph: bytes, files: list[Path], prepare: Callable[[Path], np.ndarray], how: tuple[int, int, int]) -> None:
    workers, compute, batch = how
    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = compute, 1
    session = InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def work(chunk: list[Path]) -> None:
        session.run(["continuous"], {"rows": np.stack([prepare(file) for file in chunk])})

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [files[start : start + batch] for start in range(0, len(files), batch)]))


def measure(name: str, files: list[Path], root: Path, work: Path, given: argparse.Namespace) -> None:
    pretrained = name == "timm:mobilenetv2_100" and given.weights
    backbone = Backbone(
        name, weights=str(given.weights) if pretrained else None, options={"pad_type": "same"} if pretrained else {}
    )
    model = LSH(64, backbone, centre=False).eval()
    model.save(work / "model")
    folder, encoder = work / "model", open_encoder(work / "model", engine="onnx")
    graph = (folder / "encoder.onnx").read_bytes()

    def prepare(file: Path) -> np.ndarray:
        return encoder.prepare("image", open_picture(file, reduced_to=encoder.picture_side))

    ways = arrangements(os.cpu_count() or 1)
    spent: dict[str, list[tuple[float, float]]] = {}

    def timed(key: str, job: Callable[[], object]) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        job()
        spent.setdefault(key, []).append((time.process_time() - cpu, time.perf_counter() - wall))

    for turn in range(given.rounds):
        for way, how in ways.items():
            timed(way, lambda how=how: bare(graph, files, prepare, how))
        for engine, precision in (("onnx", "fp32"), ("torch", "fp32"), ("onnx", "int8")):
            key = precision if precision == "int8" else engine
            target = work / f"{key}{turn}.dh"
            index_folder(root, target, folder, engine=engine, precision=precision, exclude=["rest/**"])
            timed(key, lambda: index_folder(root, target, engine=engine, exclude=["first/**"]))  # noqa: B023
        timed("naive", lambda: naive(model, files))
    print_table(name, ways, {key: per_picture(each, len(files)) for key, each in spent.items()})
    codes = {key: Collection.open(work / f"{key}0.dh").codes()[1].bits() for key in ("onnx", "torch", "int8")}
    again = Collection.open(work / f"onnx{given.rounds - 1}.dh").codes()[1].bits()
    other, small = ((codes[one] != codes[two]).mean() for one, two in (("onnx", "torch"), ("int8", "onnx")))
    changed = int((again != codes["onnx"]).sum())
    print(f"  bits otherwise than torch's: {other:.4%}; int8 otherwise than fp32: {small:.3%}; run to run: {changed}")
    index_folder(root, work / "full.dh", folder, decode="full", exclude=["first/**"])
    in_full, reduced = Collection.open(work / "full.dh").codes()[1].bits(), codes["onnx"][-len(files) :]
    rows, session = np.stack([prepare(file) for file in files]), session_of(graph)
    alone = np.concatenate([session.run(["continuous"], {"rows": row[None]})[0] for row in rows])
    together = np.concatenate([session.run(["continuous"], {"rows": each})[0] for each in np.split(rows, 4)])
    other, batched = (in_full != reduced).mean(), ((alone >= 0) != (together >= 0)).mean()
    print(f"  decoded in full otherwise than reduced: {other:.3%}; a bare session by batches otherwise than by rows: "
          f"{batched:.4%} (continuous codes by up to {np.abs(alone - together).max():.1g})")  # fmt: skip


def per_picture(spent: list[tuple[float, float]], count: int) -> tuple[float, float]:
    """Return ms a picture: of CPU over the cores, and of the clock."""
    cpu, wall = (statistics.median(each) for each in zip(*spent))
    return 1000 * cpu / count / (os.cpu_count() or 1), 1000 * wall / count


def print_table(name: str, ways: dict[str, tuple[int, int, int]], per: dict[str, tuple[float, float]]) -> None:
    cpu = {key: each[0] for key, each in per.items()}
    wanted = next(value for key, value in WANTED.items() if key in name)
    told = {
        "onnx": f"{cpu[next(iter(ways))] / cpu['onnx']:.0%} of bare (wanted: 92 %), {cpu['torch'] / cpu['onnx']:.2f}x "
        f"of torch (wanted: {wanted}), {cpu['naive'] / cpu['onnx']:.2f}x of naive",
        "int8": f"{cpu['onnx'] / cpu['int8']:.2f}x of onnx",
    }
    print(f"\n{name}, ms a picture: CPU over cores (clock)")
    for key, (busy, wall) in per.items():
        print(f"  {'bare, ' + key if key in ways else key:38} {busy:7.2f} ({wall:7.2f})   {told.get(key, '')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--side", type=int, default=1152)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    os.environ["DEEPHASH_QUIET"] = "1"
    print(f"{cpu_name()}, {os.cpu_count()} cores; {given.pictures} JPEGs of {given.side} px; medians of {given.rounds}")
    with tempfile.TemporaryDirectory() as pictures:
        root = Path(pictures)
        for part in ("first", "rest"):
            (root / part).mkdir()
        enlarge(given.folder, root / "first", 64, 300)
        files = enlarge(given.folder, root / "rest", given.pictures, given.side)
        for name in given.backbones:
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as scratch:
                measure(name, files, root, Path(scratch), given)
            print(f"  ({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
