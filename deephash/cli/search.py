"""``deephash search``: who looks like this?"""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal, cast

from cyclopts import Parameter

from deephash.cli.engines import encoder_and_server
from deephash.cli.output import note, print_json
from deephash.cli.search_table import print_answer
from deephash.collection.near_values import near_values
from deephash.collection.parser import as_filter
from deephash.collection.reader import CollectionReader, Item
from deephash.collection.sources.again import is_elsewhere, source_of, where_is
from deephash.errors import DataError, UsageError, did_you_mean
from deephash.numbers import real, whole
from deephash.pictures import looks_like_picture
from deephash.search import Answer, Options, Part, Query, Searcher

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
    max_distance: int | Literal["auto"] | None = None,
    group_duplicates: bool = False,
    rerank: int = 0,
    correct_hubs: bool = False,
    rerank_expected: int = 0,
    min_certainty: float | None = None,
    show: str | None = None,
    explain: bool = False,
    json: bool = False,
    paths: bool = False,
    null: Annotated[bool, Parameter(name=["-0", "--null"])] = False,
    open: bool = False,
    model: Path | None = None,
    engine: str = "auto",
    index: str = "faiss:flat",
) -> int:
    """Search a collection by a picture, words, or one of its own items.

    $ deephash search pictures.dh cat.jpg
    $ deephash search pictures.dh "two dogs on a beach" -k 20 --where 'year >= 2019'
    $ deephash search pictures.dh id:123 --max-distance 12
    $ deephash search pictures.dh cat.jpg --max-distance auto
    $ deephash search pictures.dh cat.jpg --plus "on a sofa" --minus 0.5:dog.jpg
    $ deephash search pictures.dh --image street.jpg --text "at night" --beta 0.7 --minus people
    $ deephash search pictures.dh "at the sea" --correct-hubs
    $ deephash search pictures.dh blurred.jpg --min-certainty 0.7 --rerank-expected 200
    $ deephash search pictures.dh cat.jpg --show label,width,height
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
        max_distance: only answers at most so many bits away; ``auto`` those that are likely, or nearer than chance.
        group_duplicates: show one of each group of near-duplicates.
        rerank: reorder so many of the nearest codes by the stored vectors (``deephash index --keep-vectors``), or by
            the product codes that a run of Poeem leaves.
        correct_hubs: add to each distance what ``deephash collection hubs`` found the item too near to every query by.
        rerank_expected: reorder so many of the nearest codes by expected distance: bits that are sure count for more.
        min_certainty: refuse a query whose code is less certain, 0 to 1, such as a blurred picture's; then exit 1.
        show: attributes to print beside the path, for example ``label,taken``; --json prints all.
        explain: say which engine answered, and how the codes look.
        json: one JSON object a line.
        paths: only the paths, one a line.
        null: with --paths, end each with a NUL byte instead of a new line.
        open: show the best answer in the system's picture viewer or browser.
        model: encode the query with this model folder instead of the collection's own.
        engine: onnx encodes without torch, torch by its weights; auto takes what encoded the collection. The address of
            a server, ``milvus:http://HOST:PORT/NAME``, searches the codes there (``deephash collection push``).
        index: which index answers; ``auto`` starts slower and pays for many queries, as in ``deephash serve``.
    """
    whole(k, "-k, the number of answers,", least=1)
    if max_distance not in (None, "auto"):
        whole(max_distance, "--max-distance, in bits,")
    if min_certainty is not None:
        real(min_certainty, "--min-certainty, how sure the query's code must be,", least=0, most=1)
    whole(rerank_expected, "--rerank-expected, the length of the shortlist,")
    names = _checked_columns(collection, where, show)  # a misspelt one is said before a model is loaded
    encoder, server = encoder_and_server(engine)
    searcher = Searcher.open(collection, model=model, index=server or index, engine=encoder)
    parts = _asked(searcher, query, image, text, beta)
    parts += [_weighted(searcher, words, 1.0) for words in plus]
    parts += [_weighted(searcher, words, -1.0) for words in minus]
    options = Options(k, max_distance, where, group_duplicates, rerank, correct_hubs)
    options = replace(options, rerank_expected=rerank_expected, min_certainty=min_certainty)
    answer = searcher.ask(Query.of(*parts), options)
    if not answer.hits:
        note(_nothing(searcher, answer))
        return 1
    if answer.headline:
        note(answer.headline)
    shown = _shown(answer)
    if json:
        _print_records(answer, shown)
    elif paths or null:
        _print_paths(answer, shown, "\0" if null else "\n")
    else:
        print_answer(answer, shown, names)
    if explain:
        note(f"engine: {answer.engine}\nquery:  {answer.code.hex()[0]}")
        codes = [code.hex()[0] for code in answer.codes]
        for place, _ in shown:
            note(f"#{answer.hits[place].rank:<5} {codes[place]}")
    if open:
        _open(answer)
    return 0 if answer.is_match else 1


def _checked_columns(collection: Path, where: str | None, show: str | None) -> list[str]:
    """Return the attributes to show. Raises UsageError for one that is not there, also in the filter."""
    names = list(dict.fromkeys(name.strip() for name in (show or "").split(",") if name.strip()))
    if not where and not names:
        return names
    kinds = CollectionReader.open(collection).attribute_kinds
    if where:
        as_filter(where).to_sql(kinds)
    for name in names:
        if name not in kinds:
            raise UsageError(f"--show: no column {name!r}" + did_you_mean(name, list(kinds)))
    return names


def _asked(searcher: Searcher, query: str | None, image: str | None, text: str | None, beta: float) -> list[Part]:
    """Return what was asked, as parts; their label is what was typed."""
    if (query is None) == (image is None and text is None):
        raise UsageError("give a query, or --image and --text, one of them or both: deephash search X.dh cat.jpg")
    if not 0 <= beta <= 1:
        raise UsageError(f"--beta is the share of --text beside --image and lies between 0 and 1, not {beta:g}")
    if query is not None:
        return [_part(searcher, query, 1.0)]
    both = image is not None and text is not None
    parts = [] if image is None else [_picture(searcher, image, 1 - beta if both else 1.0)]
    parts += [] if text is None else [Part("text", text, beta if both else 1.0, text)]
    return [part for part in parts if part.weight]


def _picture(searcher: Searcher, text: str, weight: float) -> Part:
    part = _part(searcher, text, weight)
    if part.kind == "text":
        raise DataError(f"--image {text}: no such file")
    return part


def _part(searcher: Searcher, text: str, weight: float) -> Part:
    if text.startswith("id:"):
        number = text.removeprefix("id:")
        if not number.isdecimal():
            raise UsageError(f"{text!r}: an item is named by its number, such as id:123")
        return Part("item", int(number), weight, text)
    if text == "-":
        return Part("image", sys.stdin.buffer.read(LARGEST_DOWNLOAD + 1), weight, text)
    if text.startswith(("http://", "https://")):
        searcher.encoder.require("image")
        return Part("image", _download(text), weight, text)
    if os.path.isfile(text):  # not Path.is_file, which raises for words longer than a file name can be
        return Part("image", text, weight, text)
    if os.path.exists(text) and (looks_like_picture(text) or "/" in text):
        raise DataError(f"{text} is a folder or a device; the query is one picture file")
    if looks_like_picture(text) or ("/" in text and " " not in text):
        raise DataError(f"{text}: no such file. To search for these words, add a space or leave out the suffix")
    return Part("text", text, weight, text)


def _weighted(searcher: Searcher, text: str, sign: float) -> Part:
    match = _WEIGHTED.fullmatch(text)
    weight, value = (float(match[1]), match[2]) if match else (0.5, text)
    return _part(searcher, value, sign * weight)


def _download(address: str) -> bytes:
    import urllib.request  # which most searches can do without

    request = urllib.request.Request(address, headers={"User-Agent": "deephash"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            data: bytes = answer.read(LARGEST_DOWNLOAD + 1)
    except (OSError, ValueError) as error:  # URLError is an OSError
        raise DataError(f"{address}: {getattr(error, 'reason', error)}; save the picture and give its path") from None
    if len(data) > LARGEST_DOWNLOAD:
        raise DataError(f"{address}: larger than {LARGEST_DOWNLOAD >> 20} MiB; save the picture and give its path")
    return data


def _nothing(searcher: Searcher, answer: Answer) -> str:
    if answer.refusal:
        return answer.refusal
    if not answer.total:
        return f"{searcher.path} is empty; fill it with: deephash index PICTURES --out {searcher.path}"
    if answer.nearest is None:
        meant = near_values(answer.snapshot.collection, answer.options.where or {})
        return "\n".join([f"no item passes --where {answer.options.where!r}", *meant])
    if answer.options.max_distance == "auto":
        return f"no match: nothing is likely, or nearer than chance (nearest is {answer.nearest})"
    return f"no match within {answer.options.max_distance} bits (nearest is {answer.nearest})"


def _shown(answer: Answer) -> list[tuple[int, str]]:
    """Return (place, remark) of the hits to show: all, or the best of each group of nearly equal codes."""
    leaders = answer.leaders
    if not leaders:
        return list(enumerate(answer.remarks))
    best = [place for place, leader in enumerate(leaders) if leader == place]
    return [(place, "; ".join(filter(None, [answer.remarks[place], answer.folded(place)]))) for place in best]


def _print_records(answer: Answer, shown: list[tuple[int, str]]) -> None:
    for place, _ in shown:
        print_json(answer.hit_record(answer.hits[place]) | {"query": answer.query.label})


def _print_paths(answer: Answer, shown: list[tuple[int, str]], end: str) -> None:
    collection = answer.snapshot.collection
    for item in collection.items([answer.hits[place].id for place, _ in shown]):
        print(where_is(collection, item) if collection.root else item.uri, end=end)
    sys.stdout.flush()


def _open(answer: Answer) -> None:
    collection = answer.snapshot.collection
    item = collection.items([answer.hits[0].id])[0]
    path = _copied(collection, item) if is_elsewhere(collection, item) else collection.picture_path(item)
    if not path.is_file():
        raise DataError(f"{path}: no such file, so it cannot be shown; run deephash index again where it was moved")
    if not webbrowser.open(path.resolve().as_uri()):
        note(f"nothing on this machine opens pictures; the best answer is {path}")


def _copied(collection: CollectionReader, item: Item) -> Path:
    """Return a file that has a picture out of a shard or an object store; what opens it reads it later."""
    with NamedTemporaryFile(suffix=Path(item.uri).suffix[:8] or ".img", delete=False) as file:
        file.write(cast(bytes, source_of(collection, item)))
    return Path(file.name)
