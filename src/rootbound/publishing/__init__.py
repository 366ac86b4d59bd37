"""Publishing: weights on disk and on the hub, their card, and weights of strangers."""

from rootbound.networks import Classifier
from rootbound.publishing.checkpoint import load_model, save_model
from rootbound.publishing.foreign import load_weights
from rootbound.publishing.header import Origin
from rootbound.publishing.hub import push_to_hub
from rootbound.publishing.model_folder import save_folder
from rootbound.publishing.published import load, load_checkpoint

Classifier.saver = save_folder  # networks lie below, and do not know how files are laid out

__all__ = [
    "Origin",
    "load",
    "load_checkpoint",
    "load_model",
    "load_weights",
    "push_to_hub",
    "save_model",
]
