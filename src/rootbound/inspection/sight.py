"""What a network computes out of sight, where attacks on inner tensors cannot see it.

These attacks record what calls of torch return, and read each sample's values from it. A network
can hide from them: under `torch._C.DisableTorchFunction`, in compiled code, in NumPy arrays, or by
computing with one sample at a time, or with some samples only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rootbound.inspection.idle import find_address, list_tensors, select_influential
from rootbound.networks import Classifier
from rootbound.networks.freshness import is_pattern
from rootbound.networks.sample_axis import are_same, find_sample_axis


def measure_sight(model: Classifier, inputs: Tensor) -> dict[str, float]:
    """Return the share of the numbers that the backbone computes with that are out of sight.

    A weight is in sight if some call uses it, or uses a tensor computed from weights only, and if
    every such call returns a tensor with values for each sample. Weights without influence on the
    outputs do not count.

    A tensor is foreign if no call has returned it, the network does not hold it, and it is not a
    pattern. If a foreign tensor depends on the inputs, nobody knows which weights it was computed
    from: then the share is 1. Otherwise its numbers count like weights that are out of sight.
    Random numbers do not count.

    Args:
        model: The network in evaluation mode, with weights that no layer computes.
        inputs: A few inputs of both tasks.
    """
    weights = list[Tensor](model.backbone.parameters())
    if len(inputs) < 2:
        return {}
    first, again = (_Sight(model, inputs, weights, seed) for seed in (0, 1))
    halved = _Sight(model, inputs[torch.arange(len(inputs)) // 2], weights, 2)
    turned = _Sight(model, inputs.flip(0), weights, 3, (first, halved))
    with torch.no_grad():
        logits = model(inputs.clone())
    shows_other = are_same(first.logits, again.logits) and not are_same(logits, first.logits)
    brought = _count_brought(first, again, turned)
    if shows_other or brought is None:
        return {"out_of_sight": 1.0}
    in_sight = turned.in_sight - turned.out_of_sight
    hidden = [weight for number, weight in enumerate(weights) if number not in in_sight]
    generator = torch.Generator().manual_seed(0)
    unseen = (
        sum(one.numel() for one in select_influential(model, inputs, hidden, generator)) + brought
    )
    total = sum(one.numel() for one in weights) + brought
    return {"out_of_sight": unseen / total} if total else {}


def _count_brought(first: _Sight, again: _Sight, turned: _Sight) -> int | None:
    """Return how many foreign numbers there are; None if any of them depend on the inputs."""
    brought = 0
    for one, two, other in zip(first.foreign, again.foreign, turned.foreign, strict=False):
        is_held = find_address(one[0]) == find_address(other[0])
        value, same, moved = one[1], two[1], other[1]
        if is_held or is_pattern(value):
            continue
        if are_same(value, same):  # it is not random
            if are_same(value, moved):
                brought += value.numel()
            elif value.is_floating_point():  # integers may be lengths of texts
                return None
    return brought


class _Sight(TorchFunctionMode):
    """Follows a pass: which calls of torch use which weights, and which foreign tensors.

    Args:
        model: The network.
        inputs: Its inputs.
        weights: Its weights; each is known by its position in this list.
        seed: Seed of the random numbers that the network draws.
        others: Two earlier passes: with the same inputs in reverse order, and with half of them,
            each twice. A tensor that is the same in all three passes does not depend on the inputs.
    """

    def __init__(
        self,
        model: Classifier,
        inputs: Tensor,
        weights: list[Tensor],
        seed: int,
        others: tuple[_Sight, ...] = (),
    ) -> None:
        super().__init__()
        self.samples, self.others = len(inputs), others
        self.in_sight, self.out_of_sight = set[int](), set[int]()
        self.returned: list[Tensor | None] = []
        self.foreign: list[tuple[Tensor, Tensor]] = []
        """Foreign tensors, each with a copy of its values at that time."""
        inputs = inputs.clone()
        # Keep every tensor, so that no address in memory is used twice.
        self.held: list[Tensor] = [inputs, *weights]
        self.origins: dict[int, set[int]] = {find_address(inputs): set()}
        """For each known tensor, by its address: the positions of weights it is computed from."""
        for number, weight in enumerate(weights):
            self.origins.setdefault(find_address(weight), set()).add(number)
        with torch.no_grad(), torch.random.fork_rng(devices=[]), self:
            torch.manual_seed(seed)
            self.logits: Tensor = model(inputs)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function."""
        kwargs = kwargs or {}
        given = list(list_tensors((*args, *kwargs.values())))
        for value in given:
            if find_address(value) not in self.origins:
                self._meet(value)
        weights = set[int]().union(*(self.origins[find_address(value)] for value in given))
        outputs = function(*args, **kwargs)
        made = list(list_tensors([outputs]))
        for value in made or given[:1]:  # an assignment returns nothing
            if not given:
                self._meet(value)
            self._follow(value, weights)
        return outputs

    def _meet(self, value: Tensor) -> None:
        """Record a tensor that no call has returned."""
        self.held.append(value)
        self.origins[find_address(value)] = set()
        if value.numel() and not (value.is_meta or value.is_complex() or _is_mapped(value)):
            self.foreign.append((value, value.clone()))

    def _follow(self, value: Tensor, weights: set[int]) -> None:
        """Record what a call has returned, and the weights that it used."""
        number = len(self.returned)
        self.held.append(value)
        self.returned.append(None if _is_mapped(value) else value.clone())
        known = self.origins.setdefault(find_address(value), set())
        if not weights or not self.others:
            known |= weights
            return
        now, before, halved = (one.find(number) for one in (self, *self.others))
        if now is None or before is None:
            self.out_of_sight |= weights
        elif find_sample_axis(before, now, self.samples) is not None:
            self.in_sight |= weights
        elif are_same(before, now) and halved is not None and are_same(before, halved):
            known |= weights
        else:
            self.out_of_sight |= weights

    def find(self, number: int) -> Tensor | None:
        """Return what a call returned; None if there was no such call, or `torch.func` hides it.

        Args:
            number: Number of the call.
        """
        return self.returned[number] if number < len(self.returned) else None


def _is_mapped(value: Tensor) -> bool:
    """Return whether `torch.func` has wrapped a tensor, which hides its sample axis."""
    return torch._C._functorch.is_functorch_wrapped_tensor(value)
