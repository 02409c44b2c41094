"""What each figure of a report says, in one sentence for somebody who has never read a paper on retrieval."""

from __future__ import annotations

import re

SENTENCES = (
    (r"mAP@H", "Within so many bits, how far in front the right answers stand: 1 when they come before all others."),
    (r"mAP@all", "How far in front the right answers stand in the whole ranking: 1 when they come before all others."),
    (r"mAP@", "How far in front the right answers stand among the first so many: 1 when they come before all others."),
    (
        r"P@H",
        "Of what lies within so many bits of a query, the share that is right; a query with nothing there counts 0.",
    ),
    (r"R@H", "Of all that would be right, the share that lies within so many bits of the query."),
    (r"F1@", "Precision and recall within so many bits in one number; the weaker of the two pulls it down."),
    (r"P@", "Of the first so many answers, the share that is right."),
    (
        r"R@|Recall",
        "Of all that would be right, the share among the first so many answers; for pairs, how often theirs is.",
    ),
    (r"hit@", "How often at least one of the first so many answers is right."),
    (r"NDCG", "How right the first answers are, where the first counts most: 1 for the best order there is."),
    (r"ACG|WAP", "How many labels the answers share with the query, on average."),
    (r"kNN", "How often the nearest answers, by a vote, name the right class."),
    (r"MRR|MedR|median", "How far down the list the first right answer stands."),
    (r"lifelong|forget|transfer|AC|AM", "How well old classes are still found after new ones were learned."),
    (r"success|attack|robust|ASR", "What is left of the ranking when the pictures are changed by an attack."),
)
ELSE = "Higher is better; docs/evaluation.md has the definition."


def in_a_sentence(metric: str) -> str:
    """Return what a metric says; of one that is not known, where its definition is."""
    return next((said for pattern, said in SENTENCES if re.match(pattern, metric)), ELSE)
