"""Collections that cost a minute of training and encoding: made once a run, by the worker who comes first."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import replace
from pathlib import Path

from deephash.collection.card import CollectionCard
from tests.web.collections import (
    caltech_collection,
    caltech_folder,
    caltech_model,
    colours_collection,
    digits_collection,
)

PICTURES = {"photos": "photos", "other": "photos", "digits": "digits", "colours": "colours"}  # of each collection


def make(folder: Path) -> None:
    """Make ``photos`` (64 bits), ``other`` (another model), ``digits`` and ``colours``, with their pictures."""
    pictures = caltech_folder(folder / "photos", per_class=12)
    caltech_collection(folder / "photos.dh", pictures, caltech_model(pictures))
    caltech_collection(folder / "other.dh", pictures, caltech_model(pictures, num_bits=32, seed=1))
    digits_collection(folder / "digits.dh", folder / "digits", count=600)
    colours_collection(folder / "colours.dh", folder / "colours")


def made_once(base: Path) -> Path:
    """Return the folder of what :func:`make` makes; the workers of one run share it, so nobody may change it."""
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "web-collections", shared / "web-collections.made"
    with (shared / "web-collections.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed half-way
            make(folder)
            done.touch()
    return folder


def own_copy(made: Path, name: str, path: Path, pictures: Path) -> Path:
    """Copy the collection ``name`` to ``path``, its pictures being in ``pictures``; the copy may be changed."""
    shutil.copytree(made / f"{name}.dh", path)
    replace(CollectionCard.load(path), root=str(pictures)).save(path)
    return path
