"""A section adds columns, figures, data and warnings to a report, and nothing else has to know of it."""

import json
from functools import partial

import jsonschema
import numpy as np

from deephash.evaluation.scores import Column, QueryScores, Settings
from deephash.reports import EvaluationReport, Figure, Question, Section, evaluate_codes
from deephash.reports.assembling import answer
from tests.evaluation_cases import clustered
from tests.paths import ROOT

SIDES = clustered()
QUICK = Settings(resamples=0)


class NearestDistance(Section):
    """How far the nearest item is: a column, a figure, a count and a warning."""

    def __init__(self, case, limit=3):
        super().__init__(case)
        self.limit = limit
        self.found = case.sides.query.hamming(case.sides.database).min(axis=1).astype(float)

    def columns(self):
        yield Column("nearest", "hits", QueryScores(self.found)), "none"

    def figures(self, headline):
        own = headline.protocol.for_metric("farthest nearest", relevance="none")
        yield Figure("farthest nearest", self.found.max(), own)

    def data(self, headline):
        return {"baselines": {"nearest": (Figure("nearest", self.found.mean(), self.case.protocol),)}}

    def warnings(self, record):
        far = int((self.found > self.limit).sum())
        yield f"{far} of {record.counts['queries']} queries have no item within {self.limit}"


def test_a_section_is_heard_in_every_form_of_a_report(tmp_path):
    plain = evaluate_codes(*SIDES, settings=QUICK)
    report = evaluate_codes(*SIDES, settings=QUICK, sections=[NearestDistance])
    nearest = SIDES[0].hamming(SIDES[1]).min(axis=1)
    assert report.figure("nearest").value == nearest.mean()
    assert report.figure("nearest").protocol.relevance == "none"
    assert report.figure("farthest nearest").value == nearest.max()
    assert report.warnings[-1] == f"{(nearest > 3).sum()} of 40 queries have no item within 3"
    np.testing.assert_array_equal(report.per_query["nearest|hits"], nearest)
    report.save(tmp_path)
    again = EvaluationReport.load(tmp_path)
    assert again.figures == report.figures
    assert again.warnings == report.warnings
    assert "farthest nearest" in (tmp_path / "report.md").read_text()
    assert "farthest nearest" in str(report)
    jsonschema.validate(json.loads(report.to_json()), json.loads((ROOT / "docs" / "report.schema.json").read_text()))
    assert list(again.baselines) == ["nearest"]
    rest = [figure for figure in report.figures if "nearest" not in figure.metric]
    assert tuple(rest) == plain.figures  # what was there is as it was


def test_options_of_a_section_are_its_own():
    question = Question(*SIDES, settings=QUICK, sections=[partial(NearestDistance, limit=0), NearestDistance])
    report = answer(question)
    assert [warning[-8:] for warning in report.warnings[-2:]] == ["within 0", "within 3"]
