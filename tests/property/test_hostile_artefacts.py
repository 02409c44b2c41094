"""A thousand hostile models, collections, reports and code files: each loads, or is refused in one sentence.

They are tried in two processes with limits of memory and processor time, so that a hang or gigabytes are a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.property.hostile_artefacts import KINDS

Tries = list[tuple[str, str, str, float]]
HALVES = ("model,words", "collection,report,codes,run,stream")
SEED = 0


def _try(kinds: str, folder: Path) -> tuple[Tries, str]:
    words = [sys.executable, "-m", "tests.property.hostile_child", kinds, str(SEED), str(folder)]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=280, stdin=subprocess.DEVNULL, check=False
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()], done.stderr[-2000:]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tries:
    folders = [tmp_path_factory.mktemp("hostile") for _ in HALVES]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(_try, HALVES, folders))
    for lines, said in found:
        assert lines, said
        assert lines[-1][0] == "peak", f"the process ended at {lines[-1]}: {said}"
    return [line for lines, _ in found for line in lines]


def test_each_loads_or_is_refused_in_one_sentence(tried: Tries) -> None:
    faults = [f"{name}: {words}" for name, outcome, words, _ in tried if outcome == "FAULT"]
    assert not faults, "\n".join(faults[:10])


def test_there_are_many_and_none_is_slow(tried: Tries) -> None:
    artefacts = [line for line in tried if line[0] != "peak" and " $ deephash " not in line[0]]
    assert len(artefacts) >= 1000
    assert sum(outcome == "refused" for _, outcome, _, _ in artefacts) > 600
    assert max(seconds for *_, seconds in artefacts) < 10
    assert sum(seconds for *_, seconds in artefacts) / len(artefacts) < 0.1


def test_the_good_ones_load(tried: Tries) -> None:
    good = {name: outcome for name, outcome, *_ in tried if name.endswith(": nothing")}
    assert good == {f"{kind}: nothing": "loaded" for kind in KINDS}


def test_none_takes_gigabytes(tried: Tries) -> None:
    peaks = [int(words) for name, _, words, _ in tried if name == "peak"]
    assert len(peaks) == len(HALVES)
    assert max(peaks) < 700_000  # kB beyond what the process had


@pytest.mark.parametrize(
    "name",
    [
        "model: num_bits 1000000000000",
        "model: num_bits 1000000",
        "model: backbone features:999999999999",
        "model: options {'colour': 1}",
        "model: model.json bytes 8",
        "model: learned_codes.npz header of 8 TB",
        "model: learned_codes.npz bomb",
        "model: learned_codes.npz overlapping parts",
        "codes: q.npz header of 8 TB",
        "codes: q.npz bomb",
        "collection: collection.json is fifo",
        "collection: collection.json is /dev/zero",
        "collection: next_id '-5'",
        "collection: next_id '19'",
        "collection: rows codes of floats",
        "collection: rows codes null",
        "collection: rows codes half null",
        "collection: rows ids twice",
        "collection: rows code says fingerprint '../../../../'",
        "report: report.json bytes 7",
        "report: report.json is fifo",
        "run: config aliases",
    ],
)
def test_what_the_issue_names_is_refused(name: str, tried: Tries) -> None:
    assert [outcome for each, outcome, *_ in tried if each == name] == ["refused"]


def test_commands_answer_with_a_code_and_a_sentence(tried: Tries) -> None:
    asked = [name.rpartition(" $ deephash ")[2] for name, outcome, *_ in tried if " $ deephash " in name]
    assert {"models", "collection", "search", "evaluate", "compare", "codes"} <= set(asked)
    assert len(asked) > 100
