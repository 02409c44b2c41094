"""Reports of an evaluation: built of sections, kept as JSON, shown as table, Markdown and pictures."""

from deephash.evaluation.settings import Settings as Settings
from deephash.reports.assembling import Question as Question
from deephash.reports.assembling import evaluate_codes as evaluate_codes
from deephash.reports.attack import Attack as Attack
from deephash.reports.protocol import Protocol as Protocol
from deephash.reports.record import Figure as Figure
from deephash.reports.report import EvaluationReport as EvaluationReport
from deephash.reports.sections import Section as Section
