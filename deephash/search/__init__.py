"""Floor 5: a model, a collection and an index together, used alike by the command line, Python and the web page."""

from deephash.search.encoder import QueryEncoder, Term
from deephash.search.hits import Chance, Hit, chance_level, group_near_duplicates, remarks
from deephash.search.searcher import Searcher

__all__ = [
    "Chance",
    "Hit",
    "QueryEncoder",
    "Searcher",
    "Term",
    "chance_level",
    "group_near_duplicates",
    "remarks",
]
