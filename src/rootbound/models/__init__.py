"""Networks: the built-in ones, any other by `Classifier.wrap`, and how they are stored."""

from rootbound.models.checkpoint import Origin, load_model, save_model
from rootbound.models.classifier import Classifier
from rootbound.models.cnn import batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.models.digest import weights_digest
from rootbound.models.foreign import load_weights
from rootbound.models.hub import push_to_hub
from rootbound.models.hugging_face import (
    from_transformers,
    pretrained_tokeniser,
    to_transformers,
)
from rootbound.models.published import load_checkpoint
from rootbound.models.registry import MODELS, build
from rootbound.models.resnet import resnet_18, resnet_20
from rootbound.models.text import small_text
from rootbound.models.vit import small_vit

__all__ = [
    "MODELS",
    "Classifier",
    "Origin",
    "batch_norm_cnn",
    "build",
    "deep_cnn",
    "from_transformers",
    "load_checkpoint",
    "load_model",
    "load_weights",
    "pretrained_tokeniser",
    "push_to_hub",
    "resnet_18",
    "resnet_20",
    "save_model",
    "shallow_cnn",
    "small_text",
    "small_vit",
    "to_transformers",
    "weights_digest",
]
