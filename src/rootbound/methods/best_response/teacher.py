"""A teacher for the desirable task: what it says of a sample tells more than the label does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.networks import Classifier

TEMPERATURE = 2.0
"""What logits are divided by before they are compared."""


def learn_or_copy(
    logits: Tensor, inputs: Tensor, labels: Tensor, teacher: Classifier | None, share: float
) -> Tensor:
    """Return `(1 - s) CE(z, y) + s T^2 KL(softmax(z'/T) || softmax(z/T))`, a mean over samples.

    `z` are the logits, `z'` those of the teacher, `T` is `TEMPERATURE` and `s` the share.

    Paper: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015,
    https://arxiv.org/abs/1503.02531, section 2.

    Args:
        logits: `(N, K)`, of the network that learns.
        inputs: The N samples.
        labels: `(N,)`.
        teacher: A trained network, in evaluation mode; None where nothing is copied.
        share: The share of copying, in [0, 1].
    """
    task = functional.cross_entropy(logits, labels)
    if teacher is None or not share:
        return task
    with torch.no_grad():
        said = (teacher(inputs) / TEMPERATURE).log_softmax(1)
    own = (logits / TEMPERATURE).log_softmax(1)
    copied = functional.kl_div(own, said, reduction="batchmean", log_target=True)
    return (1 - share) * task + share * TEMPERATURE**2 * copied
