"""Floor 5: training a hash model, with exact retrieval figures on the way, and a folder that tells the whole story."""

from deephash.training.callbacks import ModelSaver, RetrievalEvaluation, TrainingProgress
from deephash.training.fitting import TrainingInterrupted, fit, make_trainer
from deephash.training.run_folder import RunFolder

__all__ = [
    "ModelSaver",
    "RetrievalEvaluation",
    "RunFolder",
    "TrainingInterrupted",
    "TrainingProgress",
    "fit",
    "make_trainer",
]
