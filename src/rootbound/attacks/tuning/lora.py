"""Low-rank adapters on every convolution and linear map."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rootbound.attacks.tuning.fine_tune import FineTune
from rootbound.attacks.tuning.partial import NORMS
from rootbound.networks import Classifier


@dataclass(frozen=True)
class LoRA(FineTune):
    """Train a new head, and a change of low rank to each weight: `W + B A`.

    E. Hu et al., "LoRA", 2021, section 4. Differs from the paper: convolutions have adapters
    too, with the weight seen as a matrix of outputs by everything else; and no scale `alpha`,
    which is one with the learning rate. The library `peft` trains the same change, but finds
    what to adapt by the names of whole models; here it is whatever follows the frozen part.

    Args:
        rank: of the change, at least 1.
    """

    rank: int = field(default=4, kw_only=True)

    @property
    def family(self) -> str:
        """What is retrained."""
        return "low-rank adapters"

    def trained_parameters(self, model: Classifier) -> list[nn.Parameter]:
        """Return the adapters' parameters and the head's; the weights below are frozen."""
        model.backbone.requires_grad_(False)
        added: list[nn.Parameter] = []
        for part in list(model.backbone.modules()):
            weight = _map(part)
            if weight is not None:
                adapter = _LowRank(weight, self.rank)
                parametrize.register_parametrization(part, "weight", adapter)
                added += adapter.parameters()
        return [*added, *model.head.parameters()]


def _map(part: nn.Module) -> nn.Parameter | None:
    """Return the matrix or the filters of a module's own, whatever its class is called.

    Those of `transformers` are not all of torch's; a table of words is no map.
    """
    weight = getattr(part, "weight", None)
    if isinstance(part, (nn.Embedding, nn.EmbeddingBag, *NORMS)):
        return None
    return weight if isinstance(weight, nn.Parameter) and weight.dim() > 1 else None


class _LowRank(nn.Module):
    """Adds `B A` to a weight; B is 0 at first, so that nothing changes at once."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return weight + (self.up @ self.down).view_as(weight)
