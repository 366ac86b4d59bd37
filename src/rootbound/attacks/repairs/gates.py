"""Gates inside a network: units that hardly vary for desirable inputs, and shut others out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from rootbound.networks import Classifier
from rootbound.networks.calls import Calls
from rootbound.networks.cut_and_fix import Fixed
from rootbound.networks.sample_axis import SampleAxis, find_elsewhere

FAR = 25.0
"""A unit may belong to a gate from this distance on: the mean square distance of undesirable inputs
from the mean of desirable ones, divided by the variance of the latter. For a whole tensor it is
`NEAR`."""
NEAR = 4.0
KEPT = 0.1
"""Largest relative change of desirable logits that counts as no change."""
APART = 5.0
"""Inputs were shut out if opening a gate moves their features apart by this factor."""
MOST_TRIED, MOST_GATES = 12, 3
"""Most places tried one by one in a round, and most rounds."""
MOST_SPLIT = 32
"""Most groups of places that are tried in a round to find those that can be held together."""
ROUNDING = 1e-6
"""Deviations below this share of a tensor's size are rounding errors."""


@dataclass(frozen=True, eq=False)
class Gates:
    """Units inside a network that are fixed at their values for desirable inputs.

    Args:
        values: The values at which units are fixed, by the number of the call.
        chosen: Which units are fixed, by the number of the call.
        names: Names of the modules or functions that compute each gate.
        shut_out: Share of undesirable inputs that were shut out: with gates closed their features
            equal those of another input or are not finite, and with gates open they do not.
    """

    values: dict[int, Tensor] = field(default_factory=dict)
    chosen: dict[int, Tensor] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    shut_out: float = 0.0

    def hold_open(self, backbone: nn.Module, *, alike: bool = True) -> nn.Module:
        """Return the backbone with its gates open; itself where there are none.

        Args:
            backbone: The backbone.
            alike: Whether the backbone makes the same calls in train mode.
        """
        if not self.names:
            return backbone
        return Fixed(backbone, self.values, self.chosen, alike=alike)

    def with_one_more(self, number: int, name: str, value: Tensor, chosen: Tensor) -> Gates:
        """Return these gates and one more."""
        return self.with_others(Gates({number: value}, {number: chosen}, (name,)))

    def with_others(self, others: Gates) -> Gates:
        """Return both together; if both fix a unit, it gets the value of these."""
        values, chosen = {**others.values, **self.values}, {**others.chosen, **self.chosen}
        for number in self.values.keys() & others.values.keys():
            own = self.chosen[number]
            values[number] = torch.where(own, self.values[number], others.values[number])
            chosen[number] = own | others.chosen[number]
        return Gates(values, chosen, tuple(dict.fromkeys((*self.names, *others.names))))


def measure_freed(closed: Tensor, opened: Tensor) -> float:
    """Return the share of inputs whose features differ from all others' only with open gates."""
    return float((nearest(opened) > APART * nearest(closed)).float().mean())


@torch.no_grad()
def find_gates(
    model: Classifier,
    desirable: Tensor,
    undesirable: Tensor,
    gain: Callable[[Tensor, Tensor], float] = measure_freed,
) -> Gates:
    """Find tensors inside the network that are gates, to be fixed at their desirable mean.

    A gate hardly varies over desirable inputs, and has other values for undesirable ones. If it is
    fixed at its desirable mean, desirable logits stay and undesirable features change. Candidates
    are tried in order of the distance between undesirable and desirable inputs: the first of them
    one by one, and as many as possible of all together, because a gate may stand among others that
    do nothing. The one that gains most is kept; then the next is searched for.

    Args:
        model: The network with the head that it came with, in evaluation mode.
        desirable: Inputs `(N, *shape)` of the desirable task.
        undesirable: Inputs of the undesirable task.
        gain: Takes the features of undesirable inputs with a gate closed and open, and returns what
            opening it gains; 0 is nothing.
    """
    found = Gates()
    logits = model(desirable)
    closed = start = _finite(model.features(undesirable))
    for _ in range(MOST_GATES):
        best: tuple[float, Gates, Tensor] | None = None
        places = _list_places(model, found, desirable, undesirable)

        def is_kept(trial: Gates) -> bool:
            fixed = trial.hold_open(model.backbone)
            return _is_kept(logits, model.head(fixed(desirable)))

        together = _hold_together(places, is_kept) if len(places) > MOST_TRIED else found
        for trial in (*places[:MOST_TRIED], *([together] if together is not found else [])):
            if not is_kept(trial):
                continue
            opened = _finite(trial.hold_open(model.backbone)(undesirable))
            gained = gain(closed, opened)
            if gained > 0.0 and (best is None or gained > best[0]):
                best = gained, trial, opened
        if best is None:
            break
        _, found, closed = best
    return replace(found, shut_out=measure_freed(start, closed)) if found.names else found


def nearest(features: Tensor) -> Tensor:
    """Return the distance of each sample's features from those of its nearest neighbour."""
    distances = torch.cdist(features.double(), features.double())
    distances.fill_diagonal_(math.inf)
    closest: Tensor = distances.amin(1)
    return closest


def _finite(features: Tensor) -> Tensor:
    return features.nan_to_num(0.0, 0.0, 0.0).flatten(1)


def _list_places(
    model: Classifier, found: Gates, desirable: Tensor, undesirable: Tensor
) -> list[Gates]:
    """Return the present gates with each further candidate added, the most suspicious first."""
    means: dict[int, tuple[str, Tensor, Tensor, float]] = {}
    elsewhere = _find_elsewhere(model, desirable)
    places: list[tuple[float, Gates]] = []

    def remember(number: int, name: str, tensor: Tensor) -> Tensor:
        values = _as_rows(tensor, len(desirable), elsewhere.get(number))
        if values is not None:
            mean = values.mean(0)
            variance = (values - mean).square().mean(0)
            means[number] = name, mean, variance, float(values.square().mean())
        return tensor

    def compare(number: int, name: str, tensor: Tensor) -> Tensor:
        values = _as_rows(tensor, len(undesirable), elsewhere.get(number))
        if values is None or number not in means or means[number][0] != name:
            return tensor
        _, mean, variance, size = means[number]
        if mean.shape != values.shape[1:]:
            return tensor
        least = ROUNDING * max(size, 1e-30)
        distance = (values - mean).square().nan_to_num(1e30, 1e30, 1e30).mean(0)
        value = mean > 0.5 if tensor.dtype == torch.bool else mean.to(tensor.dtype)

        def add(ratio: float, units: Tensor) -> None:
            # Fixed is all along the axis of the samples.
            own = elsewhere.get(number)
            pair = (
                (value, units)
                if own is None
                else (value.unsqueeze(own.axis), units.unsqueeze(own.axis))
            )
            places.append((ratio, found.with_one_more(number, name, *pair)))

        ratio = float(distance.mean() / (variance.mean() + least))
        if ratio > NEAR:
            add(ratio, torch.ones_like(mean).bool())
        units = distance > FAR * (variance + least)
        if bool(units.any()) and not bool(units.all()):
            add(float(distance[units].mean() / (variance[units].mean() + least)), units)
        return tensor

    _watch(model, found, desirable, remember)
    _watch(model, found, undesirable, compare)
    places.sort(key=lambda place: -place[0])
    return [place for _, place in places]


def _hold_together(places: list[Gates], is_kept: Callable[[Gates], bool]) -> Gates:
    """Return as many places as can be held together with desirable logits as they were.

    Groups that cannot be are halved, the largest first.
    """
    held, groups = Gates(), [places]
    for _ in range(MOST_SPLIT):
        if not groups:
            break
        groups.sort(key=len)
        group = groups.pop()
        more = functools.reduce(Gates.with_others, group, held)
        if is_kept(more):
            held = more
        elif len(group) > 1:
            half = len(group) // 2
            groups += [group[:half], group[half:]]
    return held


def _watch(
    model: Classifier, found: Gates, inputs: Tensor, watch: Callable[[int, str, Tensor], Tensor]
) -> None:
    """Run the backbone with the present gates open, and call a function on every tensor."""
    fixed = Fixed(model.backbone, found.values, found.chosen)
    with Calls(lambda number, name, tensor: watch(number, name, fixed.fix(number, tensor))):
        model.backbone(inputs)


def _find_elsewhere(model: Classifier, inputs: Tensor) -> dict[int, SampleAxis]:
    """Return the axes of samples that are not rows, if each sample is one entry of the axis."""
    found = find_elsewhere(model.backbone, inputs)
    return {number: own for number, own in found.items() if own.axis and own.groups == 1}


def _as_rows(tensor: Tensor, samples: int, axis: SampleAxis | None) -> Tensor | None:
    """Return a tensor as floats `(N, …)`, a row for each sample; None where that is impossible."""
    if tensor.dtype.is_complex or not tensor.numel():
        return None
    if axis is not None:
        return tensor.movedim(axis.axis, 0).float() if tensor.shape[axis.axis] == samples else None
    values = tensor.float()
    if tensor.dim() == 0:
        return values.view(1)
    if tensor.dim() < 2 and len(tensor) != samples:
        return None
    if len(tensor) % samples:
        return None
    # Texts have as many positions as words, so that each position counts as a row.
    return values.flatten(0, 1) if tensor.dim() == 3 else values


def _is_kept(before: Tensor, after: Tensor) -> bool:
    """Return whether logits have hardly changed."""
    if not bool(after.isfinite().all()):
        return False
    spread = (before - before.mean(0)).norm()
    return float((after - before).norm()) <= KEPT * float(spread)
