"""Floor 5: training a hash model, with exact retrieval figures on the way, and a folder that tells the whole story."""

from deephash.training.callbacks import ModelSaver, RetrievalEvaluation, TrainingProgress
from deephash.training.fitting import TrainingInterrupted, fit, make_trainer
from deephash.training.run_folder import RunFolder
from deephash.training.scoring import (
    float_mean_average_precision,
    mean_average_precision_of,
    protocol_of,
    retrieval_tasks,
)

__all__ = [
    "ModelSaver",
    "RetrievalEvaluation",
    "RunFolder",
    "TrainingInterrupted",
    "TrainingProgress",
    "fit",
    "float_mean_average_precision",
    "make_trainer",
    "mean_average_precision_of",
    "protocol_of",
    "retrieval_tasks",
]
