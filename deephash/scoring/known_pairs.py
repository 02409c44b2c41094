"""Known pairs of a trained model: its validation queries against the training items, counted by distance."""

from __future__ import annotations

from deephash.collection.pair_counts import PairCounts
from deephash.data.datamodule import HashDataModule
from deephash.evaluation.counts import count_blocks
from deephash.evaluation.relevance import relevance_from_labels
from deephash.models import HashModel
from deephash.scoring.encoding import labelled_codes, tasks_of
from deephash.scoring.sides import TASKS

ASKING, ANSWERING = "validation_query", "validation_database"


def known_pairs(model: HashModel, data: HashDataModule) -> list[PairCounts]:
    """Count relevant and irrelevant pairs at each distance, one table a direction; never with a query of the test.

    Args:
        model: trained.
        data: set up, with a labelled validation part.

    Raises:
        UsageError: the splits have no labels.
    """
    ways = TASKS.values() if tasks_of(model) != ("",) else [(None, None)]
    tables = []
    for ask, answer in ways:
        asking, asked = labelled_codes(model, data, ASKING, ask)
        answering, answered = labelled_codes(model, data, ANSWERING, answer)
        if not len(asking) or not len(answering):
            continue
        parts = [part for _, part in count_blocks(asking, answering, relevance_from_labels(asked, answered))]
        own = next(iter(model.encoders))
        source = f"validation part of {data.protocol_name}"
        table = PairCounts.of(parts, query=ask or own, database=answer or own, source=source)
        tables += [] if table is None else [table]
    return tables
