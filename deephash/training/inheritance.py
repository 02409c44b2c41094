"""What a run takes over from runs before it: stored codes, and the targets that its classes are pulled to."""

from __future__ import annotations

from dataclasses import dataclass

from deephash.data.datamodule import HashDataModule
from deephash.encoding.targets import TargetTable
from deephash.errors import UsageError
from deephash.models import HashModel
from deephash.models.stationary import Stationary
from deephash.training.lineage import Ancestor, read_ancestor, require_descendant
from deephash.training.options import TrainOptions


@dataclass(frozen=True)
class Inheritance:
    """What is taken over.

    Attributes:
        ancestor: the run whose stored codes are kept, on an earlier task of the same stream.
        targets: that classes are pulled to, instead of the model's own.
        required: a method without fixed targets is refused; else it learns without them.
    """

    ancestor: Ancestor | None = None
    targets: TargetTable | None = None
    required: bool = False

    def require_fit(self, model: HashModel, data: HashDataModule) -> None:
        """Raise UsageError where model or data cannot take it over."""
        if self.ancestor is not None:
            require_descendant(self.ancestor, model, data)
        self.settle(model, data)

    def settle(self, model: HashModel, data: HashDataModule) -> None:
        """Name the classes of a model with fixed targets, and let it keep those that are taken over.

        Raises:
            UsageError: they do not fit.
        """
        if not isinstance(model, Stationary):
            if self.required:
                raise UsageError(
                    f"{type(model).__name__} has no fixed class targets to replace; take --method orthohash, csq or dpn"
                )
            return
        names = tuple(data.class_names) or tuple(map(str, range(data.num_classes)))
        if self.targets is None:
            model.target_classes = names
        else:
            model.take_targets(self.targets, names)


NOTHING = Inheritance()


def inherited(options: TrainOptions) -> Inheritance:
    """Return what ``--continue-from`` and ``--targets`` name; of a resumed run, the targets that it had."""
    ancestor = None if options.continue_from is None else read_ancestor(options.continue_from, options.stream)
    if options.targets is not None:
        table = TargetTable.load(options.targets)
        if table is None:
            raise UsageError(f"{options.targets} has no class targets; those of OrthoHash, CSQ and DPN have")
        return Inheritance(ancestor, table, required=True)
    if options.resume is not None and options.resume.is_dir():
        return Inheritance(targets=TargetTable.load(options.resume))
    return Inheritance(ancestor, None if ancestor is None else ancestor.targets())
