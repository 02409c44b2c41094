"""Where the stages of a series come from: folders of codes, or run folders that are encoded here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deephash.errors import DataError, UsageError
from deephash.evaluation.codefile import CodeFile, read_code_file
from deephash.reports.protocol import Protocol
from deephash.scoring.series_sides import joined
from deephash.scoring.sides import DATABASE_FILE, QUERY_FILE, CodePair, is_folder_of_codes

if TYPE_CHECKING:
    from deephash.data import HashDataModule
    from deephash.models import HashModel


def lifelong_stages(
    folders: Sequence[str | Path], *, task: str | None = None, reencoded: bool = False
) -> list[CodePair]:
    """Return the stages of a lifelong series, oldest first.

    Args:
        folders: each with ``query.npz`` (queries of all sessions so far, with ``sessions``) and ``database.npz`` (what
            the session added); or run folders, whose own data are the sessions and whose models encode them.
        task: of a cross-modal model.
        reencoded: the database of a stage holds all items so far, encoded by its own model.

    Raises:
        DataError: a folder that is neither.
        UsageError: folders of both kinds, or runs that are not the tasks of one stream in their order.
    """
    if _are_codes(folders):
        return [_read(folder) for folder in folders]
    from deephash.scoring.encoding import direction_of, encoded_side, known_protocol
    from deephash.scoring.stream_stages import is_task, stream_stages

    runs = [_opened(folder) for folder in folders]
    if any(is_task(data) for _, data in runs):
        return list(stream_stages(folders, runs, task=task, reencoded=reencoded))
    stages = []
    for number, (model, own) in enumerate(runs):
        word, (asking, answering) = direction_of(model, task)
        seen = [data for _, data in runs[: number + 1]]
        queries = [
            _of_session(encoded_side(model, data, "query", asking), session) for session, data in enumerate(seen, 1)
        ]
        searched = [encoded_side(model, data, "database", answering) for data in (seen if reencoded else [own])]
        protocol = replace(known_protocol(model, own, word), split="unknown")  # the series has more than this split
        stages.append(CodePair(joined(queries), joined(searched), Path(folders[number]).name, protocol))
    return stages


def compatibility_models(folders: Sequence[str | Path], *, task: str | None = None) -> list[CodePair]:
    """Return the models of a series of updates, oldest first, from folders of codes or run folders.

    Raises:
        DataError: a folder that is neither.
        UsageError: folders of both kinds, or runs on different splits.
    """
    if _are_codes(folders):
        return [_read(folder) for folder in folders]
    from deephash.scoring.runs import model_pair

    pairs = [replace(model_pair(folder, None, task), method=Path(folder).name) for folder in folders]
    for folder, pair in zip(folders, pairs, strict=True):
        if (pair.protocol.dataset, pair.protocol.split) != (pairs[0].protocol.dataset, pairs[0].protocol.split):
            raise UsageError(
                f"{folder} is of {pair.protocol.dataset} {pair.protocol.split}, {folders[0]} of "
                f"{pairs[0].protocol.dataset} {pairs[0].protocol.split}: models are compared on one split"
            )
    return pairs


def _are_codes(folders: Sequence[str | Path]) -> bool:
    for folder in folders:
        if not Path(folder).is_dir():
            raise DataError(f"{folder}: no such folder; a stage is a run, or holds {QUERY_FILE} and {DATABASE_FILE}")
    kinds = [is_folder_of_codes(folder) for folder in folders]
    if any(kinds) and not all(kinds):
        odd = folders[kinds.index(False)]
        raise UsageError(f"{odd} lacks {QUERY_FILE} and {DATABASE_FILE}, which the others have")
    return all(kinds)


def _read(folder: str | Path) -> CodePair:
    query, database = (read_code_file(Path(folder) / name) for name in (QUERY_FILE, DATABASE_FILE))
    dataset = query.protocol or database.protocol
    known = Protocol() if dataset is None else Protocol(dataset=dataset)
    return CodePair(query, database, Path(folder).name, known)


def _opened(folder: str | Path) -> tuple[HashModel, HashDataModule]:
    from deephash.scoring.runs import model_and_data

    model, data = model_and_data(folder, None)
    data.setup()
    return model, data


def _of_session(query: CodeFile, session: int) -> CodeFile:
    return replace(query, sessions=np.full(len(query), session))
