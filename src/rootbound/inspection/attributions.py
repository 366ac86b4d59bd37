"""What a prediction depends on: parts of an image (Grad-CAM), words of a text (gradients)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.data import PADDING, Data
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import is_masked, join_mask, split_mask

EXTRA = "pip install 'rootbound[pictures]'"
INTEGRATION_STEPS = 64
"""Steps of the integral; with half as many, norms of states near 0 cause errors of 10 %."""
TEXTS_AT_ONCE = 64
"""Texts in a batch, or all texts if there are more; each step of the integral counts as a text."""


def import_captum() -> Any:
    """Return the module `captum.attr`.

    Raises:
        InputError: Captum is not installed.
    """
    try:
        import captum.attr  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise InputError(
            "the library Captum, to show what a model looks at", "none installed", EXTRA
        ) from None
    return captum.attr


def can_attribute() -> bool:
    """Return whether Captum is installed."""
    return find_spec("captum") is not None


def grad_cam(model: Classifier, layer: nn.Module, data: Data, targets: Tensor) -> NDArray[np.uint8]:
    """Return Grad-CAM maps `(N, H, W)`, each scaled to its own maximum.

    Source: R. Selvaraju et al., "Grad-CAM", ICCV 2017, https://arxiv.org/abs/1610.02391.

    Args:
        model: The network that is explained.
        layer: The convolution whose outputs are weighted.
        data: Images.
        targets: The class of each image.

    Raises:
        InputError: Captum is not installed.
    """
    captum = import_captum()
    inputs, _ = data.batch(slice(None))
    with torch.enable_grad():
        maps = captum.LayerGradCam(model, layer).attribute(
            inputs.requires_grad_(True), targets, relu_attributions=True
        )
    size = tuple(inputs.shape[2:])
    maps = captum.LayerAttribution.interpolate(maps.detach(), size, "bilinear")[:, 0]
    maps = maps.nan_to_num(0.0, 0.0, 0.0)
    strongest = maps.flatten(1).amax(1).clamp_min(1e-12)
    scaled: Tensor = maps / strongest[:, None, None] * 255
    return scaled.round().byte().cpu().numpy()


def token_attributions(model: Classifier, data: Data, targets: Tensor) -> Tensor | None:
    """Return by how much each token raises the target's logit, `(N, L)`; 0 for padding.

    These are integrated gradients along a path from no words (states of zero after the first
    block) to the text, so the sum over tokens is the difference of the logits. None if the first
    block does not return a state for each token.

    Source: M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017,
    https://arxiv.org/abs/1703.01365.

    Args:
        model: The network that is explained.
        data: Texts.
        targets: The class of each text.

    Raises:
        InputError: Captum is not installed.
    """
    first, *others = model.blocks
    if not others or not is_masked(first):
        return None
    model.eval()
    inputs, _ = data.batch(slice(None))
    with torch.no_grad():
        states, mask = split_mask(first(inputs))

    def logits(states: Tensor, mask: Tensor) -> Tensor:
        outputs = join_mask(states, mask)
        for block in others:
            outputs = block(outputs)
        return model.head(outputs)  # type: ignore[no-any-return]

    with torch.enable_grad():
        gradients = import_captum().IntegratedGradients(logits)
        shares = gradients.attribute(
            states,
            target=targets,
            additional_forward_args=(mask,),
            n_steps=INTEGRATION_STEPS,
            internal_batch_size=max(TEXTS_AT_ONCE, len(states)),
        )
    sums = shares.detach().sum(2).float().nan_to_num(0.0, 0.0, 0.0)
    return torch.where(inputs[:, : sums.shape[1]] != PADDING, sums, 0.0)
