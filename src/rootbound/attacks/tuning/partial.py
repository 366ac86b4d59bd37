"""Fine-tuning that changes few weights: some parameters only, or low-rank changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rootbound.attacks.tuning.fine_tune import FineTune
from rootbound.core.fields import PositiveInt
from rootbound.networks import Classifier

NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.RMSNorm,
)  # fmt: skip


@dataclass(frozen=True)
class PartialFineTune(FineTune):
    """Train a new head and only some of the parameters below it.

    Args:
        part: `norms` (scales and shifts of normalisations), `biases`, or `first` (the first `count`
            blocks).
        count: Number of first blocks that are trained.
    """

    part: Literal["norms", "biases", "first"] = field(default="biases", kw_only=True)
    count: PositiveInt = field(default=1, kw_only=True)

    @property
    def family(self) -> str:
        """What is retrained."""
        return f"first {self.count} blocks" if self.part == "first" else f"{self.part} only"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there are such parameters, and others that stay frozen."""
        if self.part == "first":
            return self.count < len(model.blocks)
        return bool(self._choose_parameters(model))

    def trained_parameters(self, model: Classifier) -> list[nn.Parameter]:
        """Return the chosen parameters and the head's."""
        chosen = self._choose_parameters(model)
        trained = {id(parameter) for parameter in chosen}
        for parameter in model.backbone.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        return [*chosen, *model.head.parameters()]

    def _choose_parameters(self, model: Classifier) -> list[nn.Parameter]:
        if self.part == "first":
            # Blocks may share weights, and each is trained once.
            return list(nn.ModuleList(model.blocks[: self.count]).parameters())
        if self.part == "norms":
            norms = (part for part in model.backbone.modules() if isinstance(part, NORMS))
            return [parameter for norm in norms for parameter in norm.parameters()]
        named = model.backbone.named_parameters()
        return [parameter for name, parameter in named if name.rpartition(".")[2] == "bias"]


@dataclass(frozen=True)
class LoRA(FineTune):
    """Train a new head, and a change of low rank to each weight: `W + B A`.

    E. Hu et al., "LoRA", 2021, section 4. Differs from the paper: convolutions have adapters
    too, with the weight seen as a matrix of outputs by everything else; and there is no scale
    `alpha`, which amounts to the learning rate. The library `peft` trains the same change, but
    selects layers by the names of known models; here all layers after the frozen part are adapted.

    Args:
        rank: Rank of the change.
    """

    rank: PositiveInt = field(default=4, kw_only=True)

    @property
    def family(self) -> str:
        """What is retrained."""
        return "low-rank adapters"

    def trained_parameters(self, model: Classifier) -> list[nn.Parameter]:
        """Return the adapters' parameters and the head's; the weights below are frozen."""
        model.backbone.requires_grad_(False)
        added: list[nn.Parameter] = []
        for part in list(model.backbone.modules()):
            weight = _find_linear_weight(part)
            if weight is not None:
                adapter = _LowRank(weight, self.rank)
                parametrize.register_parametrization(part, "weight", adapter)
                added += adapter.parameters()
        return [*added, *model.head.parameters()]


def _find_linear_weight(part: nn.Module) -> nn.Parameter | None:
    """Return the matrix or the filters of a module; None if it has none of its own.

    The class does not matter, because not all linear maps of `transformers` are torch's. An
    embedding of words is not a linear map.
    """
    weight = part._parameters.get("weight")  # its own one: blocks may have a property of this name
    if isinstance(part, (nn.Embedding, nn.EmbeddingBag, *NORMS)):
        return None
    return weight if weight is not None and weight.dim() > 1 else None


class _LowRank(nn.Module):
    """Adds `B A` to a weight; B is 0 at first, so that the function is the same at the start."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + (self.up @ self.down).view_as(weight)
