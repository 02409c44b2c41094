"""``deephash collection verify``: read everything, and hold an index against exact search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from deephash.cli.engines import server_of
from deephash.cli.output import note, print_json
from deephash.collection import Collection
from deephash.collection.model_versions import ModelVersion
from deephash.errors import CollectionError, UsageError
from deephash.index import CodeIndex

Flag = Annotated[bool, Parameter(negative="")]


def verify(
    collection: Path,
    /,
    *,
    index: str = "auto",
    engine: str | None = None,
    sample: int = 100,
    k: Annotated[int, Parameter(name=["-k", "--k"])] = 10,
    target: float = 0.99,
    json: Flag = False,
) -> int:
    """Read everything, then measure an index against exact search, and write the result into the card.

    Where vectors are kept, also find the shortest list of candidates whose re-ranking reaches the target.

    $ deephash collection verify pictures.dh
    $ deephash collection verify pictures.dh --index faiss:ivf --sample 500
    $ deephash collection verify pictures.dh --engine milvus:http://localhost:19530

    Args:
        collection: the folder.
        index: the kind of index to judge.
        engine: judge the copy on this server instead: ``milvus:http://HOST:PORT/NAME``. Rows that are missing there,
            too many, or different are counted.
        sample: how many stored codes are asked as queries.
        k: answers a query.
        target: recall below this fails (exit code 1).
        json: print one JSON object.
    """
    if sample < 1 or not 0 <= target <= 1:
        raise UsageError(f"--sample is at least 1 and --target between 0 and 1, not {sample} and {target:g}")
    opened = Collection.open(collection)
    opened.check()
    server = server_of(engine)
    index = server or index
    records = [record for space in opened.spaces if (record := _verified(opened, space, index, sample, k, target))]
    worst = min(records, key=lambda record: (record["sound"], record["recall"]))
    try:
        opened.note("recall", worst)
    except CollectionError as error:
        note(f"not written into the card: {error}")
    if json:
        print_json(worst if len(records) == 1 else worst | {"spaces": records})
    else:
        for record in records:
            of = f" of {record['model']}" if len(records) > 1 else ""
            print(f"{collection}: {record['rows']:,} rows{of} read, {_verdict(record)}")
    return 0 if all(_passes(record, target) for record in records) else 1


def _passes(record: dict[str, Any], target: float) -> bool:
    wrong = sum(record.get(name, 0) for name in ("missing", "extra", "different"))
    return bool(record["sound"] and record["recall"] >= target and not wrong)


def _verified(
    opened: Collection, space: ModelVersion, index: str, sample: int, k: int, target: float
) -> dict[str, Any] | None:
    """Judge an index over the codes of one model; None where no row of several models has such a code."""
    from deephash.encoding import open_encoder
    from deephash.encoding.portable import check_model_folder
    from deephash.index import open_index
    from deephash.index.engines import is_milvus
    from deephash.index.verify import choose_shortlist, verify_recall

    ids, codes = opened.codes(space.column)
    if not len(ids) and len(opened.spaces) > 1:
        return None
    folder = opened.path_of_model(space.fingerprint)
    if folder is not None:
        check_model_folder(folder)  # a collection whose model is damaged answers no picture
        open_encoder(folder)
    built, counted = on_server(opened, space, index) if is_milvus(index) else (open_index(index, ids, codes), {})
    check = verify_recall(built, ids, codes, sample, k)
    record: dict[str, Any] = {"index": index, "recall": check.recall, "k": check.k, "queries": check.queries}
    record |= {"sound": check.sound, "engine": check.engine, "version": opened.version, "target": target}
    record |= {"rows": len(ids), "model": space.called} | counted
    if opened.has_vectors and len(opened.model_versions) == 1:
        rows = np.sort(np.random.default_rng(0).choice(len(ids), min(sample, len(ids)), replace=False))
        choice = choose_shortlist(
            built, codes[rows], opened.vectors(ids[rows]), ids, opened.vectors, k=k, target=target
        )
        record |= {"shortlist": choice.length, "shortlist_recall": choice.recall}
    return record


def on_server(opened: Collection, space: ModelVersion, address: str) -> tuple[CodeIndex, dict[str, int]]:
    """Return the index on a server as it stands, and how its rows differ; nothing is written there."""
    from deephash.collection.milvus_push import Pusher, audit
    from deephash.index.milvus import MilvusAddress

    pusher = Pusher(opened, MilvusAddress.parse(address))
    table = pusher.table_of(space)
    return pusher.index_over(table, space), audit(table, opened, space)


def _verdict(record: dict[str, Any]) -> str:
    words = (
        f"{record['index']}: recall@{record['k']} {record['recall']:.4f} of exact search, {record['queries']} queries"
    )
    words += "" if record["sound"] else "; SOME ANSWERS ARE WRONG"
    if "missing" in record:
        names = ("missing", "extra", "different")
        words += "; on the server " + ", ".join(f"{record[name]:,} {name}" for name in names)
    if "shortlist" in record:
        words += (
            f"; re-ranking {record['shortlist']} candidates finds {record['shortlist_recall']:.4f} of the neighbours"
        )
    return words
