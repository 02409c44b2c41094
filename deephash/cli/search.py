"""``deephash search``: who looks like this?"""

from __future__ import annotations

import os
import re
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path
from typing import Annotated, Any
from urllib.error import URLError

from cyclopts import Parameter

from deephash.cli.output import note, print_json
from deephash.collection.pictures import looks_like_picture
from deephash.errors import DataError, UsageError
from deephash.search import Hit, Searcher, Term, group_near_duplicates, remarks
from deephash.search.encoder import Kind

LARGEST_DOWNLOAD = 32 << 20
PATIENCE = 15.0  # seconds for a picture from the network
_WEIGHTED = re.compile(r"(\d+(?:\.\d+)?):(.+)", re.DOTALL)


def search(
    collection: Path,
    query: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    image: str | None = None,
    text: str | None = None,
    beta: float = 0.5,
    k: Annotated[int, Parameter(name=["-k", "--k"])] = 10,
    plus: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006 - read only; None would read "[default: None]"
    minus: Annotated[list[str], Parameter(negative="")] = [],  # noqa: B006
    where: str | None = None,
    max_distance: int | None = None,
    group_duplicates: bool = False,
    rerank: int = 0,
    correct_hubs: bool = False,
    explain: bool = False,
    json: bool = False,
    paths: bool = False,
    null: Annotated[bool, Parameter(name=["-0", "--null"])] = False,
    open: bool = False,
    model: Path | None = None,
    index: str = "faiss:flat",
) -> int:
    """Search a collection by a picture, words, or one of its own items.

    $ deephash search pictures.dh cat.jpg
    $ deephash search pictures.dh "two dogs on a beach" -k 20 --where 'year >= 2019'
    $ deephash search pictures.dh id:123 --max-distance 12
    $ deephash search pictures.dh cat.jpg --plus "on a sofa" --minus 0.5:dog.jpg
    $ deephash search pictures.dh --image street.jpg --text "at night" --beta 0.7 --minus people
    $ deephash search pictures.dh "at the sea" --correct-hubs
    $ deephash search pictures.dh cat.jpg --paths -0 | xargs -0 ls -l

    Args:
        collection: made by ``deephash index``.
        query: a picture file, an http(s) address of a picture, ``id:NUMBER``, ``-`` for a picture on standard input, or
            words. Left out where --image or --text say it.
        image: a picture, as a file, an address, ``id:NUMBER`` or ``-``.
        text: words, whatever they look like; with --image, the picture as these words change it.
        beta: share of --text beside --image: 0 is the picture alone, 1 the words alone.
        k: at most so many answers.
        plus: move the query towards this too (a query like the first one, optionally ``WEIGHT:QUERY``).
        minus: move the query away from this.
        where: only items that pass, for example ``label = cat and year >= 2019``.
        max_distance: only answers at most so many bits away.
        group_duplicates: show one of each group of near-duplicates.
        rerank: reorder so many of the nearest codes by the stored vectors (``deephash index --keep-vectors``).
        correct_hubs: add to each distance what ``deephash collection hubs`` found the item too near to every query by.
        explain: say which engine answered, and how the codes look.
        json: one JSON object a line.
        paths: only the paths, one a line.
        null: with --paths, end each with a NUL byte instead of a new line.
        open: show the best answer in the system's picture viewer or browser.
        model: encode the query with this model folder instead of the collection's own.
        index: which index answers; ``auto`` starts slower and pays for many queries, as in ``deephash serve``.
    """
    searcher = Searcher.open(collection, model=model, index=index)
    started = time.perf_counter()
    asked, terms = _asked(searcher, query, image, text, beta)
    terms += [_weighted(searcher, text, 1.0) for text in plus]
    terms += [_weighted(searcher, text, -1.0) for text in minus]
    code = searcher.encoder.compose(terms)
    encoded = time.perf_counter()
    vector = _vector(searcher, terms, asked) if rerank else None
    itself = int(asked.removeprefix("id:")) if len(terms) == 1 and terms[0].kind == "code" else None
    hubs = _single_kind(terms) if correct_hubs else None
    hits = searcher.by_codes(
        code, k, where=where, max_distance=max_distance, vector=vector, rerank=rerank, first=itself, hubs=hubs
    )
    times = (1000 * (encoded - started), 1000 * (time.perf_counter() - encoded))
    if not hits:
        note(_nothing(searcher, searcher.nearest_distance(code, where=where), where, max_distance))
        return 1
    notes = remarks(hits, searcher.codes_of(hits))
    if group_duplicates:
        hits, notes = _first_of_groups(searcher, hits, notes)
    if json:
        _print_records(hits, asked)
    elif paths or null:
        _print_paths(searcher, hits, "\0" if null else "\n")
    else:
        _print_table(searcher, hits, notes, asked, times)
    if explain:
        note(f"engine: {searcher.snapshot.narrowing.explain()}\nquery:  {code.hex()[0]}")
        for hit, hexadecimal in zip(hits, searcher.codes_of(hits).hex()):
            note(f"#{hit.rank:<5} {hexadecimal}")
    if open:
        _open(searcher, hits[0])
    return 0


def _asked(
    searcher: Searcher, query: str | None, image: str | None, text: str | None, beta: float
) -> tuple[str, list[Term]]:
    """Return what was asked as one line for people, and as terms."""
    if (query is None) == (image is None and text is None):
        raise UsageError("give a query, or --image and --text, one of them or both: deephash search X.dh cat.jpg")
    if not 0 <= beta <= 1:
        raise UsageError(f"--beta is the share of --text beside --image and lies between 0 and 1, not {beta:g}")
    if query is not None:
        return query, [_term(searcher, query, 1.0)]
    both = image is not None and text is not None
    terms = [] if image is None else [_picture(searcher, image, 1 - beta if both else 1.0)]
    terms += [] if text is None else [Term("text", text, beta if both else 1.0)]
    return " + ".join(filter(None, [image, text])), [term for term in terms if term.weight]


def _picture(searcher: Searcher, text: str, weight: float) -> Term:
    term = _term(searcher, text, weight)
    if term.kind == "text":
        raise DataError(f"--image {text}: no such file")
    return term


def _term(searcher: Searcher, text: str, weight: float) -> Term:
    if text.startswith("id:"):
        number = text.removeprefix("id:")
        if not number.isdigit():
            raise UsageError(f"{text!r}: an item is named by its number, such as id:123")
        return searcher.item_term(int(number), weight)
    if text == "-":
        return Term("image", sys.stdin.buffer.read(LARGEST_DOWNLOAD + 1), weight)
    if text.startswith(("http://", "https://")):
        searcher.encoder.require("image")
        return Term("image", _download(text), weight)
    if os.path.isfile(text):  # not Path.is_file, which raises for words longer than a file name can be
        return Term("image", text, weight)
    if os.path.exists(text) and (looks_like_picture(text) or "/" in text):
        raise DataError(f"{text} is a folder or a device; the query is one picture file")
    if looks_like_picture(text) or ("/" in text and " " not in text):
        raise DataError(f"{text}: no such file. To search for these words, add a space or leave out the suffix")
    return Term("text", text, weight)


def _vector(searcher: Searcher, terms: list[Term], query: str) -> Any:
    if len(terms) > 1:
        raise UsageError("--rerank compares one picture or phrase with stored vectors; leave out the others")
    if query.startswith("id:"):
        return searcher.collection.vectors([int(query.removeprefix("id:"))])
    return searcher.encoder.vector(terms[0].kind, terms[0].value)


def _single_kind(terms: list[Term]) -> Kind:
    if len(terms) > 1 or terms[0].kind == "code":
        raise UsageError("--correct-hubs knows queries of one phrase or one picture file; leave out the others")
    return terms[0].kind


def _weighted(searcher: Searcher, text: str, sign: float) -> Term:
    match = _WEIGHTED.fullmatch(text)
    weight, value = (float(match[1]), match[2]) if match else (0.5, text)
    return _term(searcher, value, sign * weight)


def _download(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"User-Agent": "deephash"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            data: bytes = answer.read(LARGEST_DOWNLOAD + 1)
    except (URLError, OSError, ValueError) as error:
        raise DataError(f"{address}: {getattr(error, 'reason', error)}; save the picture and give its path") from None
    if len(data) > LARGEST_DOWNLOAD:
        raise DataError(f"{address}: larger than {LARGEST_DOWNLOAD >> 20} MiB; save the picture and give its path")
    return data


def _nothing(searcher: Searcher, nearest: int | None, where: str | None, cutoff: int | None) -> str:
    if not len(searcher):
        return f"{searcher.path} is empty; fill it with: deephash index PICTURES --out {searcher.path}"
    if nearest is None:
        return f"no item passes --where {where!r}"
    return f"no match within {cutoff} bits (nearest is {nearest})"


def _first_of_groups(searcher: Searcher, hits: list[Hit], notes: list[str]) -> tuple[list[Hit], list[str]]:
    leaders = group_near_duplicates(searcher.codes_of(hits), searcher.num_bits // 32)
    kept = [place for place, leader in enumerate(leaders) if leader == place]
    folded = {place: leaders.count(place) - 1 for place in kept}
    texts = [
        "; ".join(filter(None, [notes[place], f"+ {folded[place]} near-duplicates" if folded[place] else ""]))
        for place in kept
    ]
    return [hits[place] for place in kept], texts


def _print_records(hits: list[Hit], query: str) -> None:
    for hit in hits:
        record: dict[str, Any] = {
            "rank": hit.rank,
            "distance": hit.distance,
            "similarity": round(hit.similarity, 6),
            "path": hit.uri,
            "id": hit.id,
            "tie_size": hit.tie_size,
            "num_bits": hit.num_bits,
            "attributes": dict(hit.attributes),
            "query": query,
        }
        record |= {} if hit.corrected is None else {"corrected": round(hit.corrected, 4)}
        print_json(record)


def _print_paths(searcher: Searcher, hits: list[Hit], end: str) -> None:
    collection = searcher.collection
    for item in collection.items([hit.id for hit in hits]):
        print(collection.picture_path(item) if collection.root else item.uri, end=end)
    sys.stdout.flush()


def _open(searcher: Searcher, hit: Hit) -> None:
    collection = searcher.collection
    path = collection.picture_path(collection.items([hit.id])[0])
    if not path.is_file():
        raise DataError(f"{path}: no such file, so it cannot be shown; run deephash index again where it was moved")
    if not webbrowser.open(path.resolve().as_uri()):
        note(f"nothing on this machine opens pictures; the best answer is {path}")


def _print_table(searcher: Searcher, hits: list[Hit], notes: list[str], query: str, times: tuple[float, float]) -> None:
    encode_ms, search_ms = times
    note(
        f"query  {query}   model {searcher.encoder.description}   {searcher.num_bits} bit   "
        f"{len(searcher):,} items   {search_ms:.1f} ms (+{encode_ms:.0f} ms encode)"
    )
    wide = max(4, *(len(hit.uri) for hit in hits))
    ranks = max(2, len(str(hits[-1].rank)))
    far = max(3, len(str(hits[-1].distance)))
    order = "" if hits[0].corrected is None else "  d + bias"
    print(f"{'#':>{ranks}}  {'d':>{far}}    sim{order}  path")
    for hit, text in zip(hits, notes):
        by = "" if hit.corrected is None else f"  {hit.corrected:8.1f}"
        line = f"{hit.rank:>{ranks}}  {hit.distance:>{far}}  {hit.similarity:.3f}{by}  {hit.uri:<{wide}}  {text}"
        print(line.rstrip())
    chance = searcher.chance()
    if chance is not None:
        note(str(chance))
