"""Networks: the built-in ones, and any other by `Classifier.wrap`, as blocks and a head."""

from rootbound.networks.classifier import Classifier
from rootbound.networks.cnn import batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.networks.given import as_classifier
from rootbound.networks.hugging_face.network import from_transformers, to_transformers
from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser
from rootbound.networks.registry import MODELS, build
from rootbound.networks.resnet import resnet_18, resnet_20
from rootbound.networks.text import small_text
from rootbound.networks.vit import small_vit

__all__ = [
    "MODELS",
    "Classifier",
    "as_classifier",
    "batch_norm_cnn",
    "build",
    "deep_cnn",
    "from_transformers",
    "pretrained_tokeniser",
    "resnet_18",
    "resnet_20",
    "shallow_cnn",
    "small_text",
    "small_vit",
    "to_transformers",
]
