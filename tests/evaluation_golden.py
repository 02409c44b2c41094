"""Reports whose every number is kept in tests/golden/reports.json.gz, as 0.1.0 printed them.

``python -m tests.evaluation_golden FILE`` writes them anew; do so only where a figure is meant to change.
"""

import gzip
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from deephash.codes import BinaryCodes
from tests.evaluation_cases import clustered, multi_hot

FILE = Path(__file__).parent / "golden" / "reports.json.gz"
QUERY, DATABASE, ASKED, SEARCHED = clustered()
TAGS = multi_hot(40, seed=1), multi_hot(300, seed=2)
PAIRS = np.arange(40) // 2, np.arange(300) % 25
WORDS = ("ash", "birch", "cedar", "elm", "fir")


def noisy(codes, share=0.3, seed=1):
    """The codes with some of their bits turned."""
    bits = codes.bits()
    return BinaryCodes.from_bits(bits ^ (np.random.default_rng(seed).random(bits.shape) < share))


def reports(evaluate_codes, settings, attack, listed_pairs):
    """Yield (name, report) of every kind of question."""
    own = DATABASE[:40], DATABASE, SEARCHED[:40], SEARCHED
    holes = np.where(np.arange(40) < 7, -1, ASKED), np.where(np.arange(300) % 11 == 0, -1, SEARCHED)
    names = {
        "class_names": WORDS,
        "query_names": [f"q{row}" for row in range(40)],
        "database_names": [f"d{row}" for row in range(300)],
    }
    listed = listed_pairs(
        [np.arange(row % 4) * 7 + row for row in range(40)], 300, ignored=[[299 - row, 250] for row in range(40)]
    )
    targets = (ASKED + 1) % 5
    everything = {"top_k": 50, "trapezoid": True, "at_r": True, "legacy": "hashnet", "ranks": (1, 5, 20)}
    asked = {
        "classes": ((QUERY, DATABASE, ASKED, SEARCHED), {}, names),
        "everything": ((QUERY, DATABASE, ASKED, SEARCHED), everything, {}),
        "stable": ((QUERY, DATABASE, ASKED, SEARCHED), everything | {"ties": "stable"}, {}),
        "random": ((QUERY, DATABASE, ASKED, SEARCHED), {"ties": "random:3", "normalize": "first-k", "top_k": 9}, {}),
        "drop": ((QUERY, DATABASE, *holes), {"empty": "drop", "top_k": 3, "normalize": "total"}, names),
        "optimistic": ((QUERY, DATABASE, *holes), {"ties": "optimistic", "top_k": 20, "radius": 5}, {}),
        "tags": ((QUERY, DATABASE, *TAGS), {"top_k": 30, "at_r": True}, {}),
        "tags stable": ((QUERY, DATABASE, *TAGS), {"top_k": 30, "ties": "stable"}, {}),
        "pairs beside": ((QUERY, DATABASE, ASKED, SEARCHED), {"folds": 5}, {"pairs": PAIRS}),
        "pairs alone": ((QUERY, DATABASE, None, None), {"ties": "stable"}, {"pairs": PAIRS}),
        "attack": ((QUERY, DATABASE, ASKED, SEARCHED), {"top_k": 50}, {"attack": attack(noisy(QUERY), targets)}),
        "attack of tags": ((QUERY, DATABASE, *TAGS), {}, {"attack": attack(noisy(QUERY), TAGS[0][::-1])}),
        "leave one out": (own, {"at_r": True}, {"own": np.arange(40)}),
        "leave one out, stable": (own, {"ties": "stable"}, {"own": np.arange(40)}),
        "listed": ((QUERY, DATABASE, None, None), {"trapezoid": True}, {"listed": listed}),
        "class codes": ((DATABASE[:40], DATABASE[:40], SEARCHED[:40], SEARCHED[:40]), {"radius": 0}, {}),
    }
    for name, (sides, options, more) in asked.items():
        yield name, evaluate_codes(*sides, settings=settings(**({"resamples": 200} | options)), method=name, **more)


def plain(report):
    """Return all that a report says, but time and machine, as JSON data."""
    data = json.loads(report.to_json())
    for passing in ("created", "timings", "environment"):
        del data[passing]
    columns = {name: values for name, values in report.per_query.items() if values.dtype.kind == "f"}
    data["per_query"] = {
        name: [None if np.isnan(value) else value for value in values.tolist()] for name, values in columns.items()
    }
    data["figures_in_full"] = [asdict(figure) for figure in report.figures]
    data["table"], data["markdown"] = str(report), report.to_markdown().split("## How it was made")[0]
    return data


def collected():
    """Return name -> data of all reports."""
    from deephash.evaluation.listed import ListedPairs
    from deephash.evaluation.scores import Settings
    from deephash.reports import evaluate_codes
    from deephash.reports.attack import Attack

    return {name: plain(report) for name, report in reports(evaluate_codes, Settings, Attack, ListedPairs.from_lists)}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(gzip.compress(json.dumps(collected(), separators=(",", ":")).encode(), mtime=0))
