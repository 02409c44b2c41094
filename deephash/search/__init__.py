"""Floor 5: a model, a collection and an index together, used alike by the command line, Python and the web page."""

from deephash.search.answer import Answer
from deephash.search.chance import Chance, chance_level
from deephash.search.encoder import Encoded, Mixture, QueryEncoder
from deephash.search.hits import Hit, group_near_duplicates, remarks
from deephash.search.query import Options, Part, Query, Sliders
from deephash.search.searcher import Searcher
from deephash.search.showing import Hits

__all__ = [
    "Answer",
    "Chance",
    "Encoded",
    "Hit",
    "Hits",
    "Mixture",
    "Options",
    "Part",
    "Query",
    "QueryEncoder",
    "Searcher",
    "Sliders",
    "chance_level",
    "group_near_duplicates",
    "remarks",
]
