"""Processes to be killed: they change a collection for ever and say after each change that it is done."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from deephash.codes import BinaryCodes
from deephash.collection import Collection

BITS, BATCH = 24, 20


def code_of(uri: str) -> np.ndarray:
    """Return the only code that a row of this name may have."""
    return np.unpackbits(np.frombuffer(uri.encode().rjust(3, b"0")[-3:], np.uint8))


def say(**record: object) -> None:
    print(json.dumps(record), flush=True)


def change_for_ever(path: Path, seed: int) -> None:
    """Append, replace, update, remove and compact in turn, at random."""
    collection, rng, count = Collection.open(path), np.random.default_rng(seed), 0
    say(ready=0.5)
    while True:
        kind = rng.choice(["append", "append", "put", "update", "remove", "compact"])
        ids = collection.ids()
        some = rng.permutation(ids)[:BATCH]
        if kind == "compact":
            collection.compact()
            say(done="compact")
        elif kind == "append" or not len(ids):
            uris = [f"{seed}-{count}-{row}" for row in range(BATCH)]
            count += 1
            codes = BinaryCodes.from_bits(np.stack([code_of(uri) for uri in uris]))
            new = collection.append(uris=uris, codes=codes, attributes=[{"label": uri, "score": 0.0} for uri in uris])
            say(done="append", ids=new.tolist(), uris=uris)
        elif kind == "put":
            uris = [item.uri for item in collection.items(some)]
            codes = BinaryCodes.from_bits(np.stack([code_of(uri) for uri in uris]))
            collection.put(uris=uris, codes=codes, attributes=[{"label": uri} for uri in uris])
            say(done="put")
        elif kind == "update":
            say(doing="update", ids=some.tolist())
            value = float(rng.integers(1, 1000))
            collection.update(some, [{"score": value}] * len(some))
            say(done="update", ids=some.tolist(), value=value)
        else:
            say(doing="remove", ids=some.tolist())
            collection.remove(some)
            say(done="remove", ids=some.tolist())


def tiny_model(bits: int = 16, seed: int = 0):
    """Return a model with random weights for pictures of 8 x 8, the same in every process."""
    import torch

    from deephash.backbones import Backbone
    from deephash.models import LSH

    torch.manual_seed(seed)
    return LSH(bits, Backbone("small_cnn:2", weights=None, image_size=8), centre=False).eval()


def index_for_ever(folder: Path, path: Path) -> None:
    """Make the collection from the folder, delete it, and again; ready says in how many seconds it is made twice."""
    from deephash.ingest import update

    update._COMMIT_ROWS = 8
    model, elsewhere = tiny_model(), path.with_name("first")
    started = time.perf_counter()
    update.index_folder(folder, elsewhere, model, batch_size=2, workers=2)
    shutil.rmtree(elsewhere)
    say(ready=2 * (time.perf_counter() - started))
    while True:
        update.index_folder(folder, path, model, batch_size=2, workers=2)
        say(done="index")
        path.rename(path.with_name("finished"))  # at once, so that what a kill leaves at ``path`` was left by indexing
        shutil.rmtree(path.with_name("finished"))


def upgrade_for_ever(path: Path, seed: int) -> None:
    """Publish a model after another, in the space of the one before and in one of its own; give each some rows.

    Ready says in how many seconds that was done for two models, on this machine and now.
    """
    from deephash.upgrades import reencode

    reencode._COMMIT_ROWS = 8

    def upgrade(seed: int) -> None:
        collection = Collection.open(path)
        collection.publish(tiny_model(seed=seed), same_space=bool(seed % 2))
        say(done="publish", version=collection.current.number)
        say(done="re-encode", rows=reencode.re_encode(path, workers=2).rows)

    with contextlib.redirect_stdout(io.StringIO()):  # what is measured is no news
        started = time.perf_counter()
        upgrade(seed)
    say(ready=2 * (time.perf_counter() - started))
    while True:
        seed += 1
        upgrade(seed)


def run_one_by_one() -> None:
    """Read jobs from standard input and run each in a process of its own, forked from this one, which has imported all.

    A forked process dies of kill -9 like any other, and starts in no time; nothing is run here, so that no thread and
    no lock is inherited.
    """
    import torch  # noqa: F401 - imported once for all jobs

    import deephash.ingest
    import deephash.models
    import deephash.upgrades.reencode  # noqa: F401

    say(waiting=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            say(pid=os.getpid())
            job, *arguments = json.loads(line)
            if job == "change":
                change_for_ever(Path(arguments[0]), int(arguments[1]))
            if job == "upgrade":
                upgrade_for_ever(Path(arguments[0]), int(arguments[1]))
            index_for_ever(Path(arguments[0]), Path(arguments[1]))
        _, status = os.waitpid(child, 0)
        say(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    run_one_by_one()
