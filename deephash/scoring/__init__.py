"""Floor 5: score a model, a run folder, a collection or code files; torch only where a model must encode."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'deephash.scoring' has no attribute {name!r}")
    return getattr(import_module(f"deephash.scoring.{_HOME[name]}"), name)
