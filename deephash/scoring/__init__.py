"""Floor 5: score a model, a run folder, a collection or code files; torch only where a model must encode."""

from typing import TYPE_CHECKING

from deephash.lazily import lazily

if TYPE_CHECKING:
    from deephash.scoring.comparison import compare_reports as compare_reports
    from deephash.scoring.encoding import mean_average_precision_of as mean_average_precision_of
    from deephash.scoring.floats import float_mean_average_precision as float_mean_average_precision
    from deephash.scoring.targets import evaluate as evaluate

_HOME = {
    "compare_reports": "comparison",
    "evaluate": "targets",
    "float_mean_average_precision": "floats",
    "mean_average_precision_of": "encoding",
}
__all__ = list(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)
