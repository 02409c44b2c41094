"""What `deephash train` costs a step beside a plain loop, on the same cached features, model, loss and optimiser.

python benchmarks/training_overhead.py                    # 51,000 x 512, 64 bits, batches of 256
python benchmarks/training_overhead.py --old FOLDER       # and a checkout of another version, in the same run

The plain loop slices shuffled batches, sums the losses, steps, and records nothing. Rounds alternate between the two,
so that both meet the same machine; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROWS, WIDTH, CLASSES, BITS, BATCH = 51_000, 512, 10, 64, 256


def make_data(folder: Path) -> Any:
    """Return a data module of noisy class centres."""
    import numpy as np

    from deephash.data import FeatureFile

    generator = np.random.default_rng(0)
    file = folder / "features.npz"
    if not file.exists():
        labels = generator.integers(0, CLASSES, ROWS)
        centres = generator.standard_normal((CLASSES, WIDTH), dtype=np.float32)
        features = centres[labels] + generator.standard_normal((ROWS, WIDTH), dtype=np.float32)
        split = np.where(np.arange(ROWS) < 100, "query", "train,database")
        np.savez(file, image_features=features, labels=labels, split=split)
    return FeatureFile(str(file), batch_size=BATCH, hold_out=False)


def make_model() -> Any:
    """Return OrthoHash on feature vectors."""
    from deephash.backbones import Backbone
    from deephash.models import Optimizer, OrthoHash

    return OrthoHash(
        BITS, CLASSES, Backbone(f"features:{WIDTH}", weights=None), optimizer=Optimizer("adam", milestones=())
    )


def lightning_step(data: Any, epochs: int, folder: Path) -> float:
    """Return seconds a step of `fit`, the first epoch left out."""
    from lightning import Callback

    from deephash.training import RunFolder, fit, make_trainer

    class Clock(Callback):
        def __init__(self) -> None:
            self.began, self.steps = 0.0, 0

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                self.began, self.steps = time.perf_counter(), trainer.global_step

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            self.last, self.at = time.perf_counter(), trainer.global_step

    clock, run = Clock(), RunFolder.fresh(folder)
    trainer = make_trainer(run.path, max_epochs=epochs + 1, accelerator="cpu", callbacks=[clock])
    fit(trainer, make_model(), data, run)
    return (clock.last - clock.began) / (clock.at - clock.steps)


def plain_step(data: Any, epochs: int) -> float:
    """Return seconds a step of a loop that does nothing else, the first epoch left out."""
    model = make_model()
    data.attach(model)
    optimizer = model.configure_optimizers()
    model.train()
    began, steps = 0.0, 0
    for epoch in range(epochs + 1):
        if epoch == 1:
            began, steps = time.perf_counter(), 0
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            sum(model.compute_losses(batch).values()).backward()
            optimizer.step()
            steps += 1
    return (time.perf_counter() - began) / steps


def measured(rounds: int, epochs: int) -> dict[str, float]:
    """Return the median milliseconds a step of each."""
    import logging

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_data(folder)
        data.setup()
        pairs = [(plain_step(data, epochs), lightning_step(data, epochs, folder / "run")) for _ in range(rounds)]
    return {
        "plain_ms": 1000 * median(one for one, _ in pairs),
        "train_ms": 1000 * median(other for _, other in pairs),
        "ratio": median(other / one for one, other in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="a checkout of another version, measured in the same run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.environ |= {"DEEPHASH_QUIET": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # as the command line sets it
    if options.json:
        print(json.dumps(measured(options.rounds, options.epochs)))
        return
    print(f"{ROWS:,} x {WIDTH}, {BITS} bits, batches of {BATCH}; milliseconds a step", flush=True)
    versions = {"here": Path(__file__).parents[1]} | ({"old": options.old} if options.old else {})
    for name, root in versions.items():
        command = [sys.executable, __file__, "--json", f"--rounds={options.rounds}", f"--epochs={options.epochs}"]
        found = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(root)}, check=True, stdout=subprocess.PIPE, text=True
        )
        row = json.loads(found.stdout.splitlines()[-1])
        print(
            f"{name:5} plain {row['plain_ms']:6.2f}   train {row['train_ms']:6.2f}   ratio {row['ratio']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
