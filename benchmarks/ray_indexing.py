"""The rate of ``index --workers ray`` beside that of the plain path, both in one run; asked is >= 90 %.

    python -m benchmarks.ray_indexing                          # 2,000 pictures drawn here, a random ResNet-18
    python -m benchmarks.ray_indexing --pictures 1000 --side 512

The two ways take turns, so that a machine that grows slower slows both. Starting is told apart from encoding: Ray and
the imports of its workers cost seconds once, however many pictures follow.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from deephash.collection import Collection
from deephash.ingest import index_folder
from deephash.ingest.encoder import Batch, Job, StreamEncoder
from deephash.ingest.ray_workers import Recipe, _running, ray_batches
from deephash.ingest.where import look_through

BATCH = 32


def draw(folder: Path, count: int, side: int) -> None:
    """Write JPEGs that compress as photographs do: smooth colours and some noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((side * 4 // 3, side))
        noisy = np.asarray(coarse, np.int16) + rng.integers(-8, 9, (side, side * 4 // 3, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.jpg", quality=88)


def model_in(folder: Path) -> Path:
    """Save an untrained LSH model on ResNet-18: the work of a real one, without weights to fetch."""
    from deephash.fitting import fit_training_free

    pictures = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8) for seed in range(64)]
    fit_training_free("lsh:timm:resnet18", pictures=pictures, num_bits=64, weights="none").save(folder / "model")
    return folder


def marginal(batches_of: Callable[[Sequence[Job]], Iterator[Batch]], jobs: Sequence[Job]) -> tuple[float, float]:
    """Return pictures a second beyond the first quarter, and seconds of starting: of a short and of a long run.

    A single run would flatter whoever hands its first batches over late.
    """
    times = []
    some = jobs[: len(jobs) // 4 // BATCH * BATCH]
    for part in (some, jobs):
        started = time.perf_counter()
        seen = sum(len(batch) for batch in batches_of(part))
        times.append(time.perf_counter() - started)
        assert seen == len(part), (seen, len(part))
    rate = (len(jobs) - len(some)) / (times[1] - times[0])
    return rate, times[0] - len(some) / rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="the whole command too, and whether the rows are the same")
    parser.add_argument("--model", type=Path, help="a run or model folder; else a random ResNet-18")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), asked)


def measure(scratch: Path, asked: argparse.Namespace) -> None:
    """Print each round and the medians."""
    folder = scratch / "pictures"
    folder.mkdir()
    draw(folder, asked.pictures, asked.side)
    model = asked.model or model_in(scratch / "run")
    files = look_through(folder, scratch, None, moved=False, exclude=(), follow_symlinks=False).listing.files
    jobs = [(file, None) for file in files]
    stream = StreamEncoder(model, device="cpu")
    recipe = Recipe.of(stream, model / "model" if (model / "model").is_dir() else model)
    print(f"{len(jobs):,} pictures, {stream.encoder.engine}, batches of {BATCH}")
    ratios = []
    started = time.perf_counter()
    with _running():
        print(f"Ray started in {time.perf_counter() - started:.1f} s")
        for number in range(asked.rounds):
            plain, _ = marginal(lambda part: stream.stream(part, batch_size=BATCH), jobs)
            spread, first = marginal(lambda part: ray_batches(part, recipe, batch_size=BATCH, staged=False), jobs)
            ratios.append(spread / plain)
            rates = f"plain {plain:.1f}/s, ray {spread:.1f}/s, ratio {ratios[-1]:.2f}"
            print(f"round {number + 1}: {rates}; workers start in {first:.1f} s")
        if asked.whole:
            whole(scratch, folder, model, len(jobs))
    print(
        f"ratio {median(ratios):.2f} (median of {asked.rounds}; {min(ratios):.2f} to {max(ratios):.2f}), asked >= 0.90"
    )


def whole(scratch: Path, folder: Path, model: Path, count: int) -> None:
    """Print the rates of the whole command, rows written and workers started, and compare what was written."""
    rates = {}
    for name, workers in (("plain", None), ("ray", "ray")):
        started = time.perf_counter()
        index_folder(folder, scratch / f"{name}.dh", model, workers=workers, device="cpu", batch_size=BATCH)
        rates[name] = count / (time.perf_counter() - started)
    one, other = (Collection.open(scratch / f"{name}.dh") for name in rates)
    same = one.table(["uri", "code"]).equals(other.table(["uri", "code"]))
    told = ", ".join(f"{name} {rate:.1f}/s" for name, rate in rates.items())
    print(f"whole command: {told}, ratio {rates['ray'] / rates['plain']:.2f}; same rows and codes: {same}")


if __name__ == "__main__":
    main()
