"""Publishing: weights on disk and on the hub, their card, and weights of strangers."""

from rootbound.publishing.checkpoint import load_model, save_model
from rootbound.publishing.foreign import load_weights
from rootbound.publishing.header import Origin
from rootbound.publishing.hub import push_to_hub
from rootbound.publishing.published import load, load_checkpoint

__all__ = [
    "Origin",
    "load",
    "load_checkpoint",
    "load_model",
    "load_weights",
    "push_to_hub",
    "save_model",
]
