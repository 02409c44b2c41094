"""``deephash encode``: pictures or lines of text into a file of codes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

from deephash.cli.choosing import model_named
from deephash.cli.index import SHOWN
from deephash.cli.output import note
from deephash.codes import BinaryCodes
from deephash.collection.folder import FoundFile, Skipped, list_pictures
from deephash.collection.label_words import without_unlabelled
from deephash.collection.schema import first_twice
from deephash.collection.tables import LABELS, PATH, read_table, tab_line
from deephash.errors import DataError, UsageError
from deephash.progress import track

if TYPE_CHECKING:
    from deephash.encoding.opening import Source


def encode(
    source: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    model: str,
    text: Annotated[bool, Parameter(negative="")] = False,
    format: Literal["npz", "hex"] | None = None,
    smooth: float | None = None,
    draws: int = 100,
    precision: Literal["fp32", "bf16"] = "fp32",
    batch_size: int = 32,
    workers: int | None = None,
    device: str = "auto",
) -> int:
    """Encode pictures or lines of text into a file of codes, which ``deephash evaluate`` and others read.

    $ deephash encode pictures/ -o codes.npz --model runs/orthohash
    $ deephash encode labels.csv -o codes.npz --model pictures.dh
    $ find . -name "*.jpg" | deephash encode - -o codes.hex --model runs/orthohash
    $ deephash encode captions.txt -o texts.npz --model runs/rreh --text
    $ deephash encode pictures/ -o smooth.npz --model runs/noise --smooth 0.25

    Args:
        source: a picture, a folder, a table with a column path (and perhaps label), or - for paths on standard input.
        out: the file; names and labels (the folders, or the CSV's) stand beside the codes in an .npz.
        model: a run of ``deephash train``, a model folder, or a collection (the model that made its codes).
        text: the source is a text file (or standard input), and each line is encoded.
        format: npz, or hex: lines of code, tab, name. By default what the ending of --out says.
        smooth: sigma of Gaussian noise: each bit is what the model says of most noisy copies of the picture, and bits
            without a confident majority stand in an array unknown (docs/certified.md).
        draws: noisy copies of each picture, with --smooth.
        precision: bf16 helps where the processor is fast at it (measure first) and flips a few bits.
        batch_size: items in one forward pass.
        workers: threads; one a core by default.
        device: auto, cpu, cuda.
    """
    more: dict[str, NDArray[np.bool_]] = {}
    written = format or ("hex" if out.suffix in (".hex", ".txt", ".tsv") else "npz")
    _require_smoothable(smooth, text, written)
    if text:
        names, labels = _lines(source), None
        codes = _encoded_texts(model_named(model), names, batch_size)
        skipped: list[Skipped] = []
    else:
        files, labels_of, skipped = _pictures(source)
        if not files:
            raise DataError(f"{source} holds no pictures; see deephash encode --help")
        if smooth is not None:
            codes, names, failed, more["unknown"] = _smoothed(model_named(model), files, smooth, draws, device)
        else:
            codes, names, failed = _encoded(model_named(model), files, precision, batch_size, workers, device)
        skipped += failed
        found = without_unlabelled([labels_of.get(name, "") for name in names])
        labels = found if any(found) else None  # an empty one is an item without a label
    _write(out, written, codes, names, labels, more)
    print(f"{out}: {codes.describe()}, {len(skipped):,} skipped{_unknown(more)}")
    for path, reason in skipped[:SHOWN]:
        note(f"  skipped {path}: {reason}")
    return 0 if len(codes) else 3


def _lines(source: str) -> list[str]:
    try:
        content = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source} cannot be read as text: {error}") from None
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{source} holds no lines of text")
    return lines


def _pictures(source: str) -> tuple[list[FoundFile], dict[str, str], list[Skipped]]:
    """Return files, {name: label} (empty where there are none) and what was left out."""
    path = Path(source)
    if source != "-" and path.is_dir():
        listing = list_pictures(path, path)
        return listing.files, {file.uri: Path(file.uri).parent.name for file in listing.files}, listing.skipped
    if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        table = read_table(path)
        names, labels = table.columns[table.require(PATH)], table.heading(LABELS)
        words = [] if labels is None else table.columns[labels]
        if len(set(names)) != len(names):
            raise UsageError(f"{path} names {first_twice(names)!r} more than once")
        return [_file(name, path.parent / name) for name in names], dict(zip(names, words)), []
    if source == "-":
        return [_file(line, Path(line)) for line in _lines(source)], {}, []
    if not path.is_file():
        raise DataError(f"{source}: no such file or folder")
    return [_file(source, path)], {}, []


def _file(name: str, path: Path) -> FoundFile:
    return FoundFile(path, name, 0, datetime.min)


def _encoded(
    model: Source,
    files: Sequence[FoundFile],
    precision: Literal["fp32", "bf16"],
    batch_size: int,
    workers: int | None,
    device: str,
) -> tuple[BinaryCodes, list[str], list[Skipped]]:
    from deephash.ingest import StreamEncoder

    encoder = StreamEncoder(model, precision=precision, device=device)
    codes, names, skipped = [], [], []
    batches = encoder.stream([(file, None) for file in files], batch_size=batch_size, workers=workers)
    for batch in track(batches, "encoding", total=-(-len(files) // batch_size), unit=" batches"):
        codes += [batch.codes] if batch.codes is not None else []
        names += [one.file.uri for one in batch.opened]
        skipped += batch.skipped
    return BinaryCodes.concatenate(codes or [encoder.encode([]).codes]), names, skipped


def _encoded_texts(model: Source, texts: Sequence[str], batch_size: int) -> BinaryCodes:
    from deephash.encoding import encode_all, open_encoder

    encoder = open_encoder(model)
    return encode_all(encoder, "text", (encoder.prepare("text", text) for text in texts), batch_size=batch_size)


def _require_smoothable(smooth: float | None, text: bool, written: str) -> None:
    if smooth is None:
        return
    if text:
        raise UsageError("--smooth puts noise on pixels, and --text encodes words; leave one of them out")
    if written == "hex":
        raise UsageError("--smooth tells which bits are unknown, and lines of hexadecimal do not; use .npz")


def _smoothed(
    model: Source, files: Sequence[FoundFile], sigma: float, draws: int, device: str
) -> tuple[BinaryCodes, list[str], list[Skipped], NDArray[np.bool_]]:
    from deephash.attacks.smoothed_files import encode_smoothed
    from deephash.encoding import open_encoder

    opened = getattr(open_encoder(model, device=device, engine="torch"), "model", None)
    if opened is None:
        raise UsageError("--smooth looks at noisy pixels, and this encoder takes none; take a model of deephash train")
    found = encode_smoothed(opened, [file.path for file in files], sigma, draws=draws)
    skipped = [Skipped(files[row].uri, reason) for row, reason in found.skipped]
    return found.codes, [files[row].uri for row in found.rows], skipped, found.unknown


def _unknown(more: Mapping[str, NDArray[np.bool_]]) -> str:
    return f", {more['unknown'].mean():.1%} of the bits unknown" if "unknown" in more and more["unknown"].size else ""


def _write(
    out: Path,
    written: str,
    codes: BinaryCodes,
    names: Sequence[str],
    labels: Sequence[str] | None,
    more: Mapping[str, NDArray[np.bool_]],
) -> None:
    if written == "hex":
        if not codes.layout.is_flat:
            raise UsageError("codes of several levels have no hexadecimal form; write an .npz")
        with out.open("w", encoding="utf-8", newline="") as file:
            file.writelines(map(tab_line, zip(codes.hex(), names)))
        return
    columns = {"names": np.array(names, dtype=np.str_)} | ({"labels": np.array(labels)} if labels else {})
    codes.save(out, **columns, **more)
