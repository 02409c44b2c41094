"""``deephash collection hubs``: keep a bank of queries with a collection, against items that are near every query."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deephash.cli.output import note
from deephash.collection import Collection
from deephash.encoding import encode_all
from deephash.errors import DataError, UsageError

if TYPE_CHECKING:
    from deephash.codes import BinaryCodes
    from deephash.encoding.port import CodeEncoder, Row


def hubs(
    collection: Path,
    /,
    *,
    bank: Path | None = None,
    beta: float = 20.0,
    model: Path | None = None,
) -> int:
    """Find the items that are near every query, by a bank of typical queries, for ``search --correct-hubs``.

    Items indexed later are corrected by the same bank; without --bank those that still lack it are done now.

    $ deephash collection hubs pictures.dh --bank captions.txt
    $ deephash collection hubs pictures.dh --bank ~/typical-queries
    $ deephash collection hubs pictures.dh

    Args:
        collection: the folder.
        bank: a text file with a phrase a line, for queries in words; or a folder of pictures, for queries by picture.
            Some thousand, like those that will be asked, but none of the collection's own pictures.
        beta: how sharply hubs are told from other items; 20 suits most codes.
        model: encode the bank with this model folder instead of the collection's own.
    """
    from deephash.collection.hubs import store_hub_bank

    opened = Collection.open(collection)
    if bank is None:
        return _complete(opened)
    kind, codes = _encoded(opened, bank, model)
    rows = store_hub_bank(opened, kind, codes, beta=beta)
    print(f"{collection}: {rows:,} items corrected for {kind} queries by a bank of {len(codes):,}")
    note(f"next: deephash search {collection} {'PICTURE' if kind == 'image' else 'WORDS'} --correct-hubs")
    return 0


def _complete(opened: Collection) -> int:
    from deephash.collection.hubs import complete_hub_biases, kinds_with_bank

    kinds = kinds_with_bank(opened)
    if not kinds:
        raise UsageError(f"{opened.path} keeps no bank of queries yet; give one with --bank captions.txt")
    print(f"{opened.path}: {complete_hub_biases(opened):,} items corrected ({' and '.join(kinds)} queries)")
    return 0


def _encoded(opened: Collection, bank: Path, source: Path | None) -> tuple[str, BinaryCodes]:
    from deephash.search import QueryEncoder

    encoder = QueryEncoder(source or opened.model_path, opened.fingerprint, str(opened.path))
    if bank.is_dir():
        encoder.require("image")
        return "image", _codes_of_pictures(encoder.model, bank)
    if not bank.is_file():
        raise DataError(f"{bank}: no such file; a bank is a text file with a phrase a line, or a folder of pictures")
    encoder.require("text")
    return "text", _codes_of_phrases(encoder.model, bank)


def _codes_of_phrases(encoder: CodeEncoder, bank: Path) -> BinaryCodes:
    try:
        phrases = [line.strip() for line in bank.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise DataError(f"{bank} is no UTF-8 text; a bank is a text file with a phrase a line") from None
    known, unknown = [], 0
    for phrase in phrases:
        try:
            known.append(encoder.prepare("text", phrase))
        except UsageError:
            unknown += 1
    if not known:
        raise DataError(f"{bank} holds no phrase that the model understands, of {len(phrases):,}")
    if unknown:
        note(f"{unknown:,} of {len(phrases):,} phrases hold no word that the model knows; passed over")
    return encode_all(encoder, "text", known)


def _codes_of_pictures(encoder: CodeEncoder, bank: Path) -> BinaryCodes:
    codes = encode_all(encoder, "image", _readable(encoder, bank))
    if not len(codes):
        raise DataError(f"{bank} holds no readable picture")
    return codes


def _readable(encoder: CodeEncoder, bank: Path) -> Iterator[Row]:
    from deephash.errors import UnreadablePicture
    from deephash.pictures import open_picture, scan_folder
    from deephash.progress import track

    paths = list(scan_folder(bank))
    for path in track(paths, "encoding the bank", total=len(paths)):
        try:
            yield encoder.prepare("image", open_picture(path, reduced_to=encoder.picture_side))
        except UnreadablePicture as error:
            note(f"  skipped {error}")
