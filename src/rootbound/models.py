"""What `rb.models` offers: the built-in networks, and weights that are loaded and saved."""

from rootbound.networks import (
    MODELS,
    Classifier,
    batch_norm_cnn,
    build,
    deep_cnn,
    from_transformers,
    pretrained_tokeniser,
    resnet_18,
    resnet_20,
    shallow_cnn,
    small_text,
    small_vit,
    to_transformers,
)
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.publishing import (
    Origin,
    load,
    load_checkpoint,
    load_model,
    load_weights,
    push_to_hub,
    save_model,
)

__all__ = [
    "MODELS",
    "Classifier",
    "Origin",
    "batch_norm_cnn",
    "build",
    "deep_cnn",
    "from_transformers",
    "load",
    "load_checkpoint",
    "load_model",
    "load_weights",
    "own_weights",
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
