"""Which words of a text a prediction rests on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import PADDING, Data
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import is_masked, join_mask, split_mask

STEPS = 64
"""Of the integral; with half as many, a norm over states near zero leaves errors of a tenth."""
AT_ONCE = 64
"""Texts through the network at a time, or all there are: a step of the integral is a text."""


def captum() -> Any:
    """Return the module `captum.attr`.

    Raises:
        InputError: Captum is not installed.
    """
    try:
        import captum.attr  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise InputError(
            "the library Captum, to show what a model looks at", "none installed",
            "pip install 'rootbound[pictures]'",
        ) from None  # fmt: skip
    return captum.attr


def token_attributions(model: Classifier, data: Data, targets: Tensor) -> Tensor | None:
    """Return by how much each token raises the target's logit, `(N, L)`; 0 for padding.

    Integrated gradients from no words at all (zero states after the first block) to the text:
    the sum over tokens is the difference of the logits. None where the network passes nothing
    on that belongs to single tokens.

    Source: M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017,
    https://arxiv.org/abs/1703.01365.

    Args:
        model: what is explained.
        data: texts.
        targets: class of each text.

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
        found: Tensor = model.head(outputs)
        return found

    with torch.enable_grad():
        shares = (
            captum()
            .IntegratedGradients(logits)
            .attribute(
                states,
                target=targets,
                additional_forward_args=(mask,),
                n_steps=STEPS,
                internal_batch_size=max(AT_ONCE, len(states)),
            )
        )
    found = shares.detach().sum(2).float().nan_to_num(0.0, 0.0, 0.0)
    return torch.where(inputs[:, : found.shape[1]] != PADDING, found, 0.0)
