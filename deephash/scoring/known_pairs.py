"""Known pairs of a trained model: its validation queries against the training items, counted by distance."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from deephash.codes import BinaryCodes
from deephash.collection.pair_counts import PairCounts
from deephash.data.datamodule import HashDataModule
from deephash.evaluation.counts import count_blocks
from deephash.evaluation.relevance import relevance_from_labels
from deephash.models import HashModel
from deephash.scoring.encoding import labelled_codes, tasks_of
from deephash.scoring.sides import TASKS

ASKING, ANSWERING = "validation_query", "validation_database"


class ValidationCodes:
    """Labelled codes of a model's validation part; each side is encoded once, whoever asks for it.

    Args:
        model: trained.
        data: set up, with a labelled validation part.
    """

    def __init__(self, model: HashModel, data: HashDataModule) -> None:
        self.model, self.data = model, data
        self._sides: dict[tuple[str, str | None], tuple[BinaryCodes, NDArray[Any]]] = {}

    def side(self, split_name: str, modality: str | None) -> tuple[BinaryCodes, NDArray[Any]]:
        """Return codes and labels of a split. Raises UsageError where it has no labels."""
        key = split_name, modality
        if key not in self._sides:
            self._sides[key] = labelled_codes(self.model, self.data, *key)
        return self._sides[key]


def known_pairs(model: HashModel, data: HashDataModule, codes: ValidationCodes | None = None) -> list[PairCounts]:
    """Count relevant and irrelevant pairs at each distance, one table a direction; never with a query of the test.

    Args:
        model: trained.
        data: set up, with a labelled validation part.
        codes: of both, where somebody has encoded some already.

    Raises:
        UsageError: the splits have no labels.
    """
    codes = codes or ValidationCodes(model, data)
    ways = TASKS.values() if tasks_of(model) != ("",) else [(None, None)]
    tables = []
    for ask, answer in ways:
        asking, asked = codes.side(ASKING, ask)
        answering, answered = codes.side(ANSWERING, answer)
        if not len(asking) or not len(answering):
            continue
        parts = [part for _, part in count_blocks(asking, answering, relevance_from_labels(asked, answered))]
        own = next(iter(model.encoders))
        source = f"validation part of {data.protocol_name}"
        table = PairCounts.of(parts, query=ask or own, database=answer or own, source=source)
        tables += [] if table is None else [table]
    return tables
