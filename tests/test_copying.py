"""Copies of networks are what `deepcopy` makes of any module, in less time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.networks import Classifier


class Own(nn.Module):
    """Copies itself in a way of its own, which looks into the copy of what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.seen: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        return self.inner(inputs)  # type: ignore[no-any-return]

    def __deepcopy__(self, memory: dict[int, Any]) -> Own:
        copied = Own()
        copied.inner = copy.deepcopy(self.inner, memory)
        copied.seen = copied.inner.weight.detach().clone()
        return copied


class Whole(nn.Module):
    """Holds parts twice, in lists and in parts of parts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.own = nn.Linear(3, 3), nn.Linear(3, 3), Own()
        self.second.weight = self.first.weight
        self.row, self.names = [self.second, {"second": self.first}], {"first", "second"}
        self.second.whole = [self]  # type: ignore[assignment]
        self.register_buffer("deviation", torch.ones(3), persistent=False)
        self.register_forward_hook(_leave)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.own(self.second(self.first(inputs))) / self.deviation
        return found


def _leave(_module: nn.Module, _inputs: Any, outputs: Tensor) -> Tensor:
    return outputs


def test_copy_keeps_sharing_inside_and_shares_nothing_outside() -> None:
    model = Classifier(nn.Sequential(Whole(), nn.ReLU()), nn.Linear(3, 2))
    copied = copy.deepcopy(model)
    inputs = torch.randn(4, 3)
    assert torch.equal(copied(inputs), model(inputs))
    for before, after in zip(model.modules(), copied.modules(), strict=True):
        assert type(before) is type(after) and before is not after
        assert list(vars(before)) == list(vars(after))
    whole: Any = copied.backbone[0]  # type: ignore[index]
    assert whole.second.weight is whole.first.weight
    assert whole.row[0] is whole.second and whole.row[1]["second"] is whole.first
    assert whole.second.whole[0] is whole
    assert torch.equal(whole.own.seen, whole.own.inner.weight)
    assert whole._non_persistent_buffers_set == {"deviation"} and len(whole._forward_hooks) == 1
    with torch.no_grad():
        for value in (*copied.parameters(), *copied.buffers()):
            value.add_(1.0)
    whole.names.add("third")
    whole.own.inner.register_forward_hook(_leave)
    original: Any = model.backbone[0]  # type: ignore[index]
    assert original.names == {"first", "second"} and not original.own.inner._forward_hooks
    assert not torch.equal(copied(inputs), model(inputs))
