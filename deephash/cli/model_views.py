"""``deephash models info RUN --views``: how much each view of a multi-view model counts."""

from __future__ import annotations

from pathlib import Path

from deephash.cli.output import print_json, table
from deephash.errors import UsageError
from deephash.foreign.names import printable


def show_views(folder: Path, *, json: bool = False) -> None:
    """Print a row a view: weight, bits in the fused code, and the correlation of its distances with each other view's.

    Raises:
        UsageError: the model has no views.
        CollectionDamaged, FormatTooNew: the folder cannot be loaded.
    """
    from deephash.encoding.record import model_folder
    from deephash.models import MultiViewEnhancementHash, load_model

    model = load_model(model_folder(folder))
    if not isinstance(model, MultiViewEnhancementHash):
        raise UsageError(f"{folder} is a {type(model).__name__}, which has no views; leave --views out")
    facts = model.view_facts()
    if json:
        print_json({"num_bits": model.num_bits, "fusion": model.fusion, "views": facts})
        return
    names = [printable(each["view"]) for each in facts]
    rows = [
        (
            name,
            each["width"],
            f"{each['weight']:.3f}",
            each["bits"],
            each["distinct"],
            *(f"{value:.2f}" for value in each["relation"].values()),
        )
        for name, each in zip(names, facts)
    ]
    print(f"{model.num_bits} bits: {model.num_bits - model.view_bits} of the image, {model.view_bits} of views by "
          f"{model.fusion}; a query needs its picture only\n")  # fmt: skip
    print(table(rows, ("view", "width", "weight", "bits", "distinct", *(f"with {name}" for name in names))))
