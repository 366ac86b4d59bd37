"""Networks of `transformers` small enough for tests, a row for every known family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rootbound.data import PADDING

transformers: Any = pytest.importorskip("transformers", reason="the extra is not installed")

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
TEXT: dict[str, Any] = {"vocab_size": 40, "max_position_embeddings": 16}
ROWS: dict[str, dict[str, Any]] = {
    "bert": {**SIZES, **TEXT},
    # Padding is 1 to this family, and its positions are counted from there on.
    "roberta": {**SIZES, **TEXT, "max_position_embeddings": 18, "pad_token_id": 1},
    "distilbert": {**TEXT, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "gpt2": {"vocab_size": 40, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "vit": {**SIZES, "image_size": 16, "patch_size": 4},
    "resnet": {**STAGES, "embedding_size": 8, "layer_type": "basic"},
    "convnext": {**STAGES, "num_stages": 2},
}
SEQUENCES, IMAGES = "AutoModelForSequenceClassification", "AutoModelForImageClassification"
AUTO = {
    **dict.fromkeys(("bert", "roberta", "distilbert"), SEQUENCES),
    "gpt2": "AutoModelForCausalLM",
    **dict.fromkeys(("vit", "resnet", "convnext"), IMAGES),
}
TEXTS = ("bert", "roberta", "distilbert", "gpt2")
CLASSES = 3


def network(family: str, seed: int = 0, **changes: Any) -> Any:
    """Return a network with random weights, also where the library begins with zeros and ones."""
    settings: dict[str, Any] = {**ROWS[family], "num_labels": CLASSES, **changes}
    config = transformers.AutoConfig.for_model(family, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, AUTO[family]).from_config(config)
        for value in model.parameters():
            value.data += 0.1 * torch.randn_like(value)
    return model.eval()


def shape(family: str) -> tuple[int, ...]:
    """Return the shape of a sample."""
    return (10,) if family in TEXTS else (3, 16, 16)


def samples(family: str) -> Tensor:
    """Return images, or texts of 10, 6, 1 and 3 tokens."""
    generator = torch.Generator().manual_seed(1)
    if family not in TEXTS:
        return torch.randn(4, *shape(family), generator=generator)
    tokens = torch.randint(2, 40, (4, 10), generator=generator)
    for row, length in enumerate((10, 6, 1, 3)):
        tokens[row, length:] = PADDING
    return tokens


def logits(plain: Any, inputs: Tensor) -> Tensor:
    """Return the library's own logits of our samples, with its padding and its mask."""
    with torch.no_grad():
        if inputs.is_floating_point():
            image_logits: Tensor = plain(inputs).logits
            return image_logits
        mask = inputs != PADDING
        padding = plain.config.pad_token_id or PADDING
        tokens = torch.where(mask, inputs, padding)
        text_logits: Tensor = plain(input_ids=tokens, attention_mask=mask.long()).logits
    last = mask.sum(1) - 1
    if text_logits.dim() == 2:
        return text_logits
    return text_logits[torch.arange(len(text_logits)), last]
