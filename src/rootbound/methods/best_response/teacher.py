"""A teacher for the desirable task: its outputs tell more about a sample than the label does."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.data import Data
from rootbound.methods.base import learn
from rootbound.networks import Classifier
from rootbound.training import Recipe, predict

TEMPERATURE = 2.0
"""Logits are divided by this number before they are compared."""
TRAINED_BELOW, LOOKED_AT = 0.75, 1000
"""A network does a task already if its cross-entropy on this many samples, or on all if there are
fewer, is below this share of the cross-entropy of a uniform guess."""


def find_teacher(
    model: Classifier, data: Data, recipe: Recipe, generator: torch.Generator
) -> Classifier:
    """Return a copy of the model, trained on the data unless it does the task already.

    Args:
        model: The network that will be taught; it is not changed.
        data: Desirable training samples.
        recipe: How long and how fast to train the copy.
        generator: Draws the batches.
    """
    teacher = copy.deepcopy(model)
    if not does_task(teacher, data):
        learn(teacher, data, recipe, generator, title="teacher")
    return teacher.eval().requires_grad_(False)


def does_task(model: Classifier, data: Data) -> bool:
    """Return whether a model does the task of the data; see `TRAINED_BELOW`."""
    looked_at = data.subset(LOOKED_AT)
    logits = predict(model, looked_at).double().flatten(0, -2)
    loss = float(functional.cross_entropy(logits, looked_at.labels.flatten()))
    return loss < TRAINED_BELOW * math.log(model.classes)


def learn_or_copy(
    logits: Tensor, inputs: Tensor, labels: Tensor, teacher: Classifier | None, share: float
) -> Tensor:
    """Return `(1 - s) CE(z, y) + s T^2 KL(softmax(z'/T) || softmax(z/T))`, a mean over samples.

    `z` are the logits, `z'` the teacher's logits, `T` is `TEMPERATURE`, and `s` is the share.

    Paper: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015,
    https://arxiv.org/abs/1503.02531, section 2.

    Args:
        logits: `(N, K)`, from the network that is trained.
        inputs: The N samples.
        labels: `(N,)`.
        teacher: A trained network in evaluation mode; None to copy nothing.
        share: The share of the loss that is copying, in [0, 1].
    """
    task = functional.cross_entropy(logits, labels)
    if teacher is None or not share:
        return task
    with torch.no_grad():
        said = (teacher(inputs) / TEMPERATURE).log_softmax(1)
    own = (logits / TEMPERATURE).log_softmax(1)
    copied = functional.kl_div(own, said, reduction="batchmean", log_target=True)
    return (1 - share) * task + share * TEMPERATURE**2 * copied
