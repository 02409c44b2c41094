"""``deephash index``: make a collection from a folder of pictures, or bring it up to date."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from deephash.cli.choosing import AUTO, Asked, check_asked, model_for
from deephash.cli.engines import encoder_and_server
from deephash.cli.output import note, print_json
from deephash.cli.push import push_to, told
from deephash.encoding.port import Decode, Precision
from deephash.foreign.names import printable

if TYPE_CHECKING:
    from deephash.ingest import IngestReport

SHOWN = 5  # skipped files named on the terminal; skipped.csv names all


def index(
    folder: str,
    /,
    *,
    out: Path,
    model: str = AUTO,
    bits: int | None = None,
    weights: Path | None = None,
    attributes: Path | None = None,
    type: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006 - read only
    exclude: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006 - read only
    follow_symlinks: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    keep_vectors: Annotated[bool | None, Parameter(negative="--no-vectors")] = None,
    precision: Precision | None = None,
    decode: Decode | None = None,
    batch_size: int = 32,
    workers: int | Literal["ray"] | None = None,
    moved: Annotated[bool, Parameter(negative="")] = False,
    allow_empty: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    engine: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Encode a folder of pictures into a collection; run again, it takes in what is new, changed, renamed and gone.

    $ deephash index ~/Pictures --out pictures.dh
    $ deephash index ~/Pictures --out pictures.dh --model clip:ViT-B-32/laion2b_s34b_b79k
    $ deephash index ~/Pictures --out trained.dh --model runs/orthohash
    $ deephash index shards/ --out shards.dh --model runs/orthohash          # *.tar, *.parquet
    $ deephash index ~/Pictures --out pictures.dh --dry-run
    $ deephash index ~/Pictures --out pictures.dh --exclude "*.png" --exclude "2019/**" --attributes labels.csv

    Args:
        folder: pictures, in any sub-folders; the name of a picture's folder becomes its label. Tar shards (WebDataset)
            and Parquet files with pictures are read in place; it may be one of them, or ``s3://BUCKET/PREFIX``.
        out: the collection, by custom ending in .dh.
        model: a run of ``deephash train``, a model folder, a collection, or a training-free model such as
            itq:timm:resnet18, which is fitted to these pictures (``deephash models list``). auto is the collection's
            own; for a new one the best training-free model whose weights are here or can be fetched.
        bits: code length of a training-free model; 256, or the longest that so few pictures can give.
        weights: file with the weights of a training-free model's network.
        attributes: CSV with a column path (relative to the folder) and further columns to filter by.
        type: what a column of it holds, instead of what its cells look like: ``zip=text``. May be repeated.
        exclude: pass over files and folders that match this glob; what is known of them stays. May be repeated.
        follow_symlinks: read linked files and enter linked folders.
        dry_run: only say what would be done.
        keep_vectors: also keep float16 vectors, for ``search --rerank``; decided when the collection is made. A new
            collection of a model named clip:... keeps them unless --no-vectors.
        precision: fp32 for a new collection, and what it has for one that exists. bf16 helps where the processor is
            fast at it (measure first) and flips a few bits. int8 is about twice as fast on a CPU; its ranges are
            measured on the pictures. The rate of flipped bits is shown.
        decode: full decodes JPEGs at their whole size, as other programs do; reduced, the default of a new collection,
            at a size near the network's, which is several times faster and flips some bits.
        batch_size: pictures in one forward pass.
        workers: threads; one a core by default. ray encodes on the workers of a Ray cluster (``RAY_ADDRESS``), or of a
            Ray that is started for it on this machine (``pip install "deephash[ray]"``).
        moved: the pictures of an existing collection are in this folder now, under the same relative paths.
        allow_empty: remove every picture from the collection where the folder holds none any more.
        device: auto, cpu, cuda.
        engine: onnx encodes without torch on a CPU, torch by the weights; auto takes onnx where the model has it. A
            collection goes on with the one it was made by. The address of a server, ``milvus:http://HOST:PORT/NAME``,
            gets a copy of the codes and attributes (``deephash collection push``).
        json: print one JSON object.
    """
    encoder, server = encoder_and_server(engine)
    _check(folder, AUTO if dry_run else model, bits, weights, workers)
    from deephash.collection.attributes import read_attributes, read_kinds
    from deephash.ingest import index_folder
    from deephash.ingest.origin import note_origin
    from deephash.ingest.update import is_free

    table = read_attributes(attributes, read_kinds(type)) if attributes is not None else None
    fresh = is_free(out)
    asked = Asked() if dry_run else model_for(folder, out, model, bits, weights)
    try:
        report = index_folder(
            folder,
            out,
            asked.source,
            batch_size=batch_size,
            workers=workers,
            exclude=exclude,
            follow_symlinks=follow_symlinks,
            dry_run=dry_run,
            keep_vectors=_kept(keep_vectors, asked.name) if fresh else bool(keep_vectors),
            precision=precision,
            decode=decode,
            attributes=table,
            moved=moved,
            allow_empty=allow_empty,
            device=device,
            engine=encoder,
            memory=asked.memory,
        )
    except KeyboardInterrupt:
        kept = f"{_rows(out):,} pictures are in {out}. " if out.exists() else ""
        note(f"interrupted. {kept}Go on with the same command:\n  deephash {shlex.join(sys.argv[1:])}")
        return 130
    finally:
        if fresh and asked.name is not None:
            note_origin(out, asked.name, weights)
    pushed = push_to(out, server) if server is not None and not dry_run else []
    _tell(report, out, dry_run, pushed, as_json=json)
    return 0


def _check(folder: str, model: str, bits: int | None, weights: Path | None, workers: object) -> None:
    """Refuse what cannot be meant, and Ray where it is not installed, before anything is loaded."""
    if workers == "ray":
        from deephash.ingest.ray_workers import require_ray

        require_ray()
    check_asked(folder, model, bits, weights)


def _tell(report: IngestReport, out: Path, dry_run: bool, pushed: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(_record(report, out, dry_run) | ({"tables": pushed} if pushed else {}))
        return
    _print(report, out, dry_run)
    for one in pushed:
        print(told(out, one))


def _kept(wanted: bool | None, model: str | None) -> bool:
    """Say whether a new collection keeps vectors: as asked, else with CLIP, whose embeddings order answers finely."""
    return (model or "").startswith("clip:") if wanted is None else wanted


def _rows(out: Path) -> int:
    from deephash.collection import Collection

    return len(Collection.open(out))


def _record(report: IngestReport, out: Path, dry_run: bool) -> dict[str, object]:
    counts = {name: getattr(report, name) for name in ("added", "changed", "renamed", "removed", "unchanged")}
    skipped = [{"path": path, "reason": reason} for path, reason in report.skipped]
    facts = {"seconds": round(report.seconds, 3), "flip_rate": report.flip_rate, "dry_run": dry_run}
    found = {"skipped": skipped, "scaled": [{"path": path, "how": how} for path, how in report.scaled]}
    return {"collection": out, **counts, **found, **facts, "unmatched": report.unmatched_attributes}


def _print(report: IngestReport, out: Path, dry_run: bool) -> None:
    counts = [(report.added, "new"), (report.changed, "changed"), (report.renamed, "renamed")]
    counts += [(report.removed, "removed"), (report.unchanged, "unchanged"), (len(report.skipped), "skipped")]
    words = ", ".join(f"{number:,} {word}" for number, word in counts if number) or "no pictures found"
    if dry_run:
        print(f"{out}: would be: {words} (changed ones may turn out to be only touched). Nothing was written")
        return
    rate = f" ({report.encoded / report.seconds:.1f} pictures/s)" if report.encoded and report.seconds else ""
    print(f"{out}: {words}{rate}")
    if report.flip_rate is not None:
        print(f"{report.precision} decided {report.flip_rate:.2%} of the bits otherwise than fp32, on a sample")
    for path, reason in report.skipped[:SHOWN]:
        note(f"  skipped {printable(path)}: {printable(reason)}")
    if len(report.skipped) > SHOWN:
        note(f"  ... all {len(report.skipped):,} are listed in {out / 'skipped.csv'}")
    if report.scaled:
        (path, how), more = report.scaled[0], len(report.scaled) - 1
        note(f"  {printable(path)}: {how}{f'; likewise of {more:,} others, each by its own' if more else ''}")
    if report.unmatched_attributes:
        first = report.unmatched_attributes[0]
        note(
            f"  {len(report.unmatched_attributes):,} lines of the attributes name no picture here, the first {first!r}"
        )
    print(f"next: deephash search {out} PICTURE      deephash serve {out}      deephash collection info {out}")
