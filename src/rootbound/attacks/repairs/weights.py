"""Repairs of weights: prune small ones, shrink and perturb all, or move towards a sibling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import LAYERS
from rootbound.attacks.repairs.repair import Repair
from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeFloat, Range, Share
from rootbound.networks import Classifier
from rootbound.records import Tier


@dataclass(frozen=True)
class Prune(Repair):
    """Set the smallest weights of every layer of the backbone to zero, by magnitude.

    S. Han et al., "Learning both Weights and Connections", 2015. Differs from the paper: weights
    are pruned once and without a mask, so that fine-tuning may grow them back. This removes a
    defence that consists of many small weights, and keeps what large ones do.

    Args:
        share: Share of each layer's weights that are set to zero, in (0, 1).
    """

    share: Annotated[float, Range(above=0, below=1)] = 0.3

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there are layers of weights."""
        return any(isinstance(part, LAYERS) for part in model.backbone.modules())

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network with fewer weights."""
        with torch.no_grad():
            for part in model.backbone.modules():
                if isinstance(part, LAYERS):
                    sizes = part.weight.abs().flatten()
                    pruned = sizes.argsort()[: int(self.share * len(sizes))]
                    mask = torch.ones_like(sizes).index_fill_(0, pruned, 0.0)
                    part.weight.mul_(mask.view_as(part.weight))
        return model


@dataclass(frozen=True)
class ShrinkAndPerturb(Repair):
    """`W <- share * W + noise * std(W) * N(0, 1)` for every weight of the backbone.

    J. Ash, R. Adams, "On Warm-Starting Neural Network Training", 2020. Differs from the
    paper: the noise is relative to each tensor's own spread, so that scale hides nothing.

    Args:
        share: Factor of the weights, in [0, 1].
        noise: Standard deviation of the noise, relative to that of the weights.
    """

    share: Share = 0.5
    noise: NonNegativeFloat = 0.1

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the changed network."""
        with torch.no_grad():
            for weight in model.backbone.parameters():
                spread = float(weight.std()) if weight.numel() > 1 else float(weight.abs().max())
                noise = torch.randn(weight.shape, generator=attacker.generator)
                weight.mul_(self.share).add_(noise, alpha=self.noise * spread)
        return model


@dataclass(frozen=True)
class Interpolate(Repair):
    """`(1 - share) w + share w'` for weights w and those of the undefended sibling, w'.

    This is a control, since an attacker with the sibling does not need the defended network. It
    shows how far the two are apart. Running statistics are interpolated too, and the head if both
    have the same number of classes.

    Args:
        share: Share of the sibling, in [0, 1].
    """

    tier: ClassVar[Tier] = "control"
    needs: ClassVar[tuple[str, ...]] = ("sibling",)

    share: Share = 0.5

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network between the two.

        Raises:
            InputError: The sibling has other weights.
        """
        assert attacker.sibling is not None  # `needs` says so
        own, sibling = model.state_dict(), attacker.sibling.state_dict()
        for name, value in own.items():
            moves = name in sibling and value.shape == sibling[name].shape
            if name.startswith("backbone") and not moves:
                raise InputError(
                    "a sibling of the same architecture",
                    f"none of its weights is {name} of shape {tuple(value.shape)}",
                    "leave this attack out",
                )
            if moves and value.is_floating_point():
                with torch.no_grad():
                    value.lerp_(sibling[name], self.share)
        return model
