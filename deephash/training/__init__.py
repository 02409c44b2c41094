"""Floor 5: training a hash model, with exact retrieval figures on the way, and a folder that tells the whole story.

Loaded when first used, so that ``deephash train --list`` works without torch.
"""

from typing import TYPE_CHECKING

from deephash.lazily import lazily

if TYPE_CHECKING:
    from deephash.training.callbacks import ModelSaver as ModelSaver
    from deephash.training.callbacks import RetrievalEvaluation as RetrievalEvaluation
    from deephash.training.callbacks import TrainingProgress as TrainingProgress
    from deephash.training.fitting import TrainingInterrupted as TrainingInterrupted
    from deephash.training.fitting import fit as fit
    from deephash.training.fitting import make_trainer as make_trainer
    from deephash.training.run_folder import RunFolder as RunFolder

_HOME = {
    "ModelSaver": "callbacks",
    "RetrievalEvaluation": "callbacks",
    "RunFolder": "run_folder",
    "TrainingInterrupted": "fitting",
    "TrainingProgress": "callbacks",
    "fit": "fitting",
    "make_trainer": "fitting",
}

__all__ = list(_HOME)
__getattr__, __dir__ = lazily(__name__, _HOME)
