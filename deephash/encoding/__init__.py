"""Between a collection and the models: what an encoder is, whatever computes it. Importing it needs no torch."""

from deephash.encoding.batches import encode_all
from deephash.encoding.opening import open_encoder
from deephash.encoding.port import CodeEncoder, Encoded
from deephash.encoding.record import model_folder, read_model_record
from deephash.encoding.transform import PictureTransform

__all__ = [
    "CodeEncoder",
    "Encoded",
    "PictureTransform",
    "encode_all",
    "model_folder",
    "open_encoder",
    "read_model_record",
]
