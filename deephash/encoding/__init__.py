"""Between a collection and the models: what an encoder is, whatever computes it. Importing it needs no torch."""

from deephash.encoding.record import model_folder, read_model_record
from deephash.encoding.transform import PictureTransform

__all__ = ["PictureTransform", "model_folder", "read_model_record"]
