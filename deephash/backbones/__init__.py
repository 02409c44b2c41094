"""Floor 3: what turns a picture, a text or a feature vector into features."""

from deephash.backbones.spec import Backbone, Encoder

__all__ = ["Backbone", "Encoder"]
