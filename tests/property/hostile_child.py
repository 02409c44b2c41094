"""``python -m tests.property.hostile_child KINDS SEED FOLDER``: try every hostile artefact of some kinds under limits.

Prints one JSON line an artefact (name, outcome: loaded, refused or FAULT, words, seconds), and the peak of memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from deephash.cli.main import main
from deephash.codes import BinaryCodes
from deephash.collection import Collection
from deephash.collection.hubs import complete_hub_biases
from deephash.data import StreamTask
from deephash.data.codebook import CodeBook
from deephash.errors import DeephashError
from deephash.evaluation.codefile import read_code_file
from deephash.models import load_model
from deephash.reports import EvaluationReport
from deephash.scoring.runs import data_of_run
from deephash.search.encoder import QueryEncoder
from deephash.training.run_folder import RunFolder
from tests.property.hostile_artefacts import every_artefact, make_good

MEMORY = 1 << 30  # bytes beyond what the process has with everything imported
COMMANDS = {
    "model": [["models", "info", "{}"]],
    "words": [["models", "info", "{}"]],
    "collection": [["collection", "info", "{}"], ["search", "{}", "--id", "3"], ["evaluate", "{}"]],
    "report": [["compare", "{}", "{}"]],
    "codes": [["codes", "info", "{}/q.npz"], ["evaluate", "--query", "{}/q.npz", "--database", "{}/q.npz"]],
    "run": [],
    "stream": [["data", "stream", "--extend", "{}/stream.json", "--out", "{}/more.json"]],
}


def use_model(folder: Path) -> None:
    model = load_model(folder)
    model.fingerprint()
    model.encode({"image_features": torch.ones(2, model.encoders["image"].num_features)})
    _ = QueryEncoder(folder, None, "x").description


def use_words(folder: Path) -> None:
    model = load_model(folder)
    model.encode_texts(["a red car on a beach"])


def use_collection(folder: Path) -> None:
    opened = Collection.open(folder)
    ids, codes = opened.codes()
    for item in opened.items(ids[:5]):
        with contextlib.suppress(DeephashError):  # those that lead out are refused one by one
            opened.picture_path(item)
    assert len(codes) == len(opened)
    repr(opened), opened.attribute_kinds, opened.versions(), opened.matching("year >= 2001")
    if opened.has_vectors:
        opened.vectors(ids[:2])
    _ = opened.model_path
    before = set(opened.ids().tolist())
    (added,) = opened.append(uris=["new.png"], codes=codes[:1]).tolist()
    assert added not in before
    assert added >= 0
    complete_hub_biases(opened)
    opened.check()


def use_report(folder: Path) -> None:
    report = EvaluationReport.load(folder)
    str(report), report.to_markdown(), report.to_json()


def use_codes(folder: Path) -> None:
    for use in (read_code_file, BinaryCodes.load):
        try:
            use(folder / "q.npz")
        except DeephashError as error:
            refused = error
        else:
            refused = None
    if refused is not None:
        raise refused


def use_run(folder: Path) -> None:
    RunFolder(folder).update(status="seen")
    data_of_run(folder)


def use_stream(folder: Path) -> None:
    book, data = CodeBook.load(folder), StreamTask(str(folder / "stream.json"), task=2, replay=5)
    data.setup()
    if book is not None:
        book.over(book.codes[:1], ["x"])
        book.before(1)


USES: dict[str, Callable[[Path], None]] = {
    "model": use_model,
    "words": use_words,
    "collection": use_collection,
    "report": use_report,
    "codes": use_codes,
    "run": use_run,
    "stream": use_stream,
}


def outcome(use: Callable[[], None]) -> tuple[str, str]:
    """Return what came of it: only an error of the family, in one line, is an answer."""
    try:
        use()
    except DeephashError as error:
        text = str(error)
        return (
            ("refused", text)
            if text and "\n" not in text and len(text) < 2000
            else ("FAULT", f"not a line: {text[:300]}")
        )
    except BaseException:
        return "FAULT", traceback.format_exc()[-1500:]
    return "loaded", ""


def command(words: list[str], folder: Path) -> None:
    """Run a command; raise unless it ends with a known code and, where it failed, one sentence."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([word.format(folder) for word in words])
    said = err.getvalue().strip().split("\n")
    if code not in (0, 1, 2, 3, 4) or "internal error" in err.getvalue() or "Traceback" in err.getvalue():
        raise AssertionError(f"{words}: {code}: {err.getvalue()[-500:]}")
    if code and sum(line.startswith("deephash: ") for line in said) != 1:
        raise AssertionError(f"{words}: {code}: {said}")


def limit() -> None:
    """Bound memory, beyond what libraries have mapped by now, and processor time."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (150, 150))


def try_all(kinds: list[str], seed: int, root: Path) -> None:
    good = root / "good"
    make_good(good)
    for kind in kinds:  # what is imported late is imported now
        USES[kind](shutil.copytree(good / kind, root / "warm" / kind))
        for words in COMMANDS[kind]:
            command(words, good / kind)
    limit()
    for kind in kinds:
        try_kind(kind, seed, good / kind, root / "tried" / kind)


def try_kind(kind: str, seed: int, good: Path, tried: Path) -> None:
    """Try every hostile artefact of a kind, and the commands on every eighth."""
    for number, (name, change, drawn) in enumerate(every_artefact(kind, seed)):
        shutil.rmtree(tried, ignore_errors=True)
        shutil.copytree(good, tried)
        change(tried, random.Random(drawn))
        started = time.perf_counter()
        found, words = outcome(lambda: USES[kind](tried))
        seconds = time.perf_counter() - started
        print(json.dumps([f"{kind}: {name}", found, words, round(seconds, 4)]), flush=True)
        for line in COMMANDS[kind] if number % 8 == 0 or found == "FAULT" else ():
            asked, words = outcome(lambda line=line: command(line, tried))
            print(json.dumps([f"{kind}: {name} $ deephash {line[0]}", asked, words, 0.0]), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try_all(sys.argv[1].split(","), int(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps(["peak", "memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 0.0]))
