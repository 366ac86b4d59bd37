"""Publishing: weights on disk and on the hub, their card, and foreign weights."""

from rootbound.networks import Classifier
from rootbound.publishing.checkpoint import load_model, save_model
from rootbound.publishing.foreign import load_weights
from rootbound.publishing.header import Origin
from rootbound.publishing.hub import push_to_hub
from rootbound.publishing.model_folder import save_folder
from rootbound.publishing.published import load, load_checkpoint

Classifier.saver = save_folder  # networks are a floor below, and know nothing about files

__all__ = [
    "Origin",
    "load",
    "load_checkpoint",
    "load_model",
    "load_weights",
    "push_to_hub",
    "save_model",
]
