"""Networks: the built-in ones, any other by `Classifier.wrap`, and how they are stored."""

from rootbound.models.checkpoint import Origin, load_model, save_model
from rootbound.models.classifier import Classifier
from rootbound.models.cnn import deep_cnn, shallow_cnn
from rootbound.models.registry import MODELS, build

__all__ = [
    "MODELS",
    "Classifier",
    "Origin",
    "build",
    "deep_cnn",
    "load_model",
    "save_model",
    "shallow_cnn",
]
