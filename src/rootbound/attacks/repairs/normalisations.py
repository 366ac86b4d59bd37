"""Repairs of normalisations: statistics measured anew, scales set back to 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.repair import Repair
from rootbound.attacks.tuning.partial import NORMS
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.layers import find_batch_norms

BATCH = 512


@dataclass(frozen=True)
class RecomputeStatistics(Repair):
    """Measure the means and variances of batch normalisation on the attacker's inputs.

    Each becomes the mean over equal batches, all normalisations in train mode at once (the
    cumulative average of torch's `momentum=None`); everything else stays in evaluation mode.
    """

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network keeps such statistics."""
        return bool(find_batch_norms(model.backbone))

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with other statistics."""
        recompute_statistics(model, attacker.train)
        return model


@dataclass(frozen=True)
class ResetNorms(Repair):
    """Set scales to 1 and shifts to 0, then measure the statistics of batch normalisation.

    The constants get torch's defaults too, because a huge `eps` or a momentum of 0 may be part of
    the defence. Every kind of normalisation is reset, not only batch normalisation.
    """

    def applies_to(self, model: Classifier) -> bool:
        """Return whether the network normalises anything."""
        return any(isinstance(part, NORMS) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with norms as at initialisation."""
        for part in model.backbone.modules():
            if isinstance(part, NORMS):
                part.eps = 1e-5
                if isinstance(part, _BatchNorm):
                    part.momentum = 0.1
                if part.weight is not None:
                    nn.init.ones_(part.weight)
                if getattr(part, "bias", None) is not None:
                    nn.init.zeros_(part.bias)  # type: ignore[arg-type]
        recompute_statistics(model, attacker.train)
        return model


def recompute_statistics(model: Classifier, data: Data) -> None:
    """Replace the running statistics of all batch normalisations, in place."""
    norms = find_batch_norms(model.backbone)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    # Batches have equal sizes, because a last batch of one sample would have no variance.
    count = -(-len(data) // BATCH)
    with torch.no_grad():
        for index in torch.arange(len(data)).tensor_split(count):
            model.backbone(data.batch(index)[0])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)
