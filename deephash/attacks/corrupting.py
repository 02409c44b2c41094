"""Natural corruptions of a subject's queries from beginning to end: codes that are kept, figures, a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deephash.attacks.folders import begin_folder
from deephash.attacks.subject import Subject
from deephash.codes import BinaryCodes
from deephash.collection.card import replace_file
from deephash.errors import UsageError, did_you_mean
from deephash.evaluation.settings import Settings
from deephash.pictures.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from deephash.pictures.details import details, likeness_of_details
from deephash.pictures.lookalike import likeness, miniatures
from deephash.progress import track
from deephash.reports.corrupted import Corrupted, CorruptedQueries
from deephash.reports.report import EvaluationReport
from deephash.reports.sections import Case
from deephash.scoring.targets import Asked, evaluate_pair

SETTINGS, CODES, TABLE = "corrupt.json", "codes", "corruptions.csv"
AGREEING = 0.9  # likeness of pixels, as `deephash dedup` has it
NEAR_SHARE = 16  # one bit in so many may differ in a near-duplicate, unless somebody says otherwise
_COLUMNS = ("kind", "strength", "parameter", "mAP", "flipped_bits", "found", "false", "confirmed", "confused")


@dataclass(frozen=True)
class Corrupting:
    """Which corruptions.

    Attributes:
        kinds: of :data:`~deephash.pictures.corruptions.CORRUPTIONS`; none takes all.
        near: radius of near-duplicates, in bits; None takes a sixteenth of the code.
    """

    kinds: tuple[str, ...] = ()
    near: int | None = None

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in CORRUPTIONS:
                raise UsageError(f"no corruption is called {kind!r}{did_you_mean(kind, list(CORRUPTIONS))}")
        if self.near is not None and self.near < 0:
            raise UsageError(f"a radius in bits is 0 or more, not {self.near}")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The kinds, each once."""
        return tuple(dict.fromkeys(self.kinds)) or tuple(CORRUPTIONS)


@dataclass(frozen=True, eq=False)
class CorruptionFigures:
    """What was measured.

    Attributes:
        report: its figures.
        table: one row a kind and strength, the columns of ``corruptions.csv``.
    """

    report: EvaluationReport
    table: list[dict[str, Any]]


def corrupt(
    subject: Subject, asked: Corrupting, folder: Path, *, settings: Settings | None = None
) -> CorruptionFigures:
    """Corrupt the queries, encode them by the deployed path, and measure; what lies in ``folder`` is not done again.

    Raises:
        UsageError: an unknown kind; the folder holds something else.
        UnreadablePicture: a query cannot be opened.
    """
    begin_folder(folder, _settings(subject), SETTINGS, "corruptions")
    (folder / CODES).mkdir(exist_ok=True)
    clean = _encoded(subject, "clean", 0, folder)
    found = {(kind, strength): _encoded(subject, kind, strength, folder) for kind, strength in _wanted(asked)}
    near = max(1, subject.model.num_bits // NEAR_SHARE) if asked.near is None else asked.near
    pair = subject.pair
    pair = replace(pair, query=replace(pair.query, codes=clean.codes))
    made: list[Corrupted] = []

    def section(case: Case) -> Corrupted:
        made.append(Corrupted(case, found, near))
        return made[-1]

    report = evaluate_pair(pair, Asked(settings, sections=(section,)))
    remark = (
        f"near-duplicates lie within {near} bits; codes of a supervised model are near for one class, so false copies "
        "are items of the class, and pixels (confirmed) tell copies apart"
    )
    table = _table(made[-1], near)
    _write(folder / TABLE, table)
    return CorruptionFigures(replace(report, warnings=(remark, *report.warnings)), table)


def _wanted(asked: Corrupting) -> Iterator[tuple[str, int]]:
    steps = [(kind, strength) for kind in asked.chosen for strength in STRENGTHS]
    yield from track(steps, f"{len(asked.chosen)} corruptions", total=len(steps), unit="step")


def _settings(subject: Subject) -> dict[str, Any]:
    return {
        "model": subject.model.fingerprint(),
        "protocol": str(subject.pair.protocol),
        "queries": subject.names,
        "parameters": {kind: list(each.parameters) for kind, each in CORRUPTIONS.items()},
    }


def _encoded(subject: Subject, kind: str, strength: int, folder: Path) -> CorruptedQueries:
    """Return codes of corrupted queries and whether their pixels agree, computed now or before."""
    says = f"{kind}={CORRUPTIONS[kind].parameters[strength - 1]:g}" if strength else "none"
    file = folder / CODES / f"{kind}-{strength}.npz"
    kept = _kept(file, len(subject.names), subject.model.num_bits)
    if kept is None:
        kept = _computed(subject, kind, strength)
        content = io.BytesIO()
        np.savez_compressed(content, **kept)  # type: ignore[arg-type]
        replace_file(file, content.getvalue())
    return CorruptedQueries(BinaryCodes.from_bits(kept["bits"]), says, kept["confirmed"], kept["confused"])


def _kept(file: Path, queries: int, num_bits: int) -> dict[str, NDArray[np.bool_]] | None:
    """Return what was computed before; None where it was not, or the file is damaged."""
    try:
        with np.load(file, allow_pickle=False) as columns:
            found = {name: np.asarray(columns[name], dtype=bool) for name in ("bits", "confirmed", "confused")}
    except (OSError, ValueError, EOFError, KeyError):
        return None
    return found if found["bits"].shape == (queries, num_bits) else None


def _computed(subject: Subject, kind: str, strength: int, size: int = 64) -> dict[str, NDArray[np.bool_]]:
    names, bits, confirmed, confused = subject.names, [], [], []
    for start in range(0, len(names), size):
        part = names[start : start + size]
        originals = [subject.open_picture(name).convert("RGB") for name in part]
        copies = [corrupted(picture, kind, strength, name) for picture, name in zip(originals, part, strict=True)]
        bits.append(subject.model.encode_images(copies).bits())
        confirmed.append(_agree(originals, copies))
        confused.append(_agree([*originals[1:], originals[0]], copies) & (len(part) > 1))
    return {
        "bits": np.concatenate(bits),
        "confirmed": np.concatenate(confirmed),
        "confused": np.concatenate(confused),
    }


def _agree(first: Sequence[Image.Image], second: Sequence[Image.Image]) -> NDArray[np.bool_]:
    """Return whether the pixels of pairs agree in miniature and in their details, as of ``deephash dedup``."""
    small = [np.stack([miniatures(each) for each in side]) for side in (first, second)]
    fine = [np.stack([details(each) for each in side]) for side in (first, second)]
    return np.asarray((likeness(*small) >= AGREEING) & (likeness_of_details(*fine) >= AGREEING))


def _table(section: Corrupted, near: int) -> list[dict[str, Any]]:
    rows, kept = [], section.case.sides.query_rows
    for (kind, strength), each in section.found.items():
        flipped = section.flipped(each)
        values = (
            kind,
            strength,
            CORRUPTIONS[kind].parameters[strength - 1],
            float(np.nanmean(section.precisions(each))),
            float(flipped.mean()),
            float((flipped <= near).mean()),
            float(section.others(each).mean()),
            float(each.confirmed[kept].mean()),
            float(each.confused[kept].mean()),
        )
        rows.append(dict(zip(_COLUMNS, values, strict=True)))
    return rows


def _write(path: Path, table: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(table)
