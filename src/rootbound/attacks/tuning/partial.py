"""Fine-tuning of a few kinds of parameters: norms, biases, or the first blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from rootbound.attacks.tuning.fine_tune import FineTune
from rootbound.networks import Classifier

NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.RMSNorm,
)  # fmt: skip


@dataclass(frozen=True)
class PartialFineTune(FineTune):
    """Train a new head and only some of the parameters below it.

    Args:
        part: `norms` (scales and shifts of normalisations), `biases`, or `first` (the first
            `count` blocks).
        count: of first blocks.
    """

    part: Literal["norms", "biases", "first"] = field(default="biases", kw_only=True)
    count: int = field(default=1, kw_only=True)

    @property
    def family(self) -> str:
        """What is retrained."""
        return f"first {self.count} blocks" if self.part == "first" else f"{self.part} only"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there are such parameters, and others that stay."""
        if self.part == "first":
            return self.count < len(model.blocks)
        return bool(self._chosen(model))

    def trained_parameters(self, model: Classifier) -> list[nn.Parameter]:
        """Return the chosen parameters and the head's."""
        chosen = self._chosen(model)
        kept = {id(parameter) for parameter in chosen}
        for parameter in model.backbone.parameters():
            parameter.requires_grad_(id(parameter) in kept)
        return [*chosen, *model.head.parameters()]

    def _chosen(self, model: Classifier) -> list[nn.Parameter]:
        if self.part == "first":
            return [one for block in model.blocks[: self.count] for one in block.parameters()]
        if self.part == "norms":
            norms = (part for part in model.backbone.modules() if isinstance(part, NORMS))
            return [parameter for norm in norms for parameter in norm.parameters()]
        named = model.backbone.named_parameters()
        return [parameter for name, parameter in named if name.rpartition(".")[2] == "bias"]
