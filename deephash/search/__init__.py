"""Floor 5: a model, a collection and an index together, used alike by the command line, Python and the web page."""

from deephash.search.chance import Chance, chance_level
from deephash.search.encoder import Mixture, QueryEncoder, Sliders, Term
from deephash.search.hits import Hit, group_near_duplicates, remarks
from deephash.search.searcher import Searcher

__all__ = [
    "Chance",
    "Hit",
    "Mixture",
    "QueryEncoder",
    "Searcher",
    "Sliders",
    "Term",
    "chance_level",
    "group_near_duplicates",
    "remarks",
]
