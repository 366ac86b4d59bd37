"""The search for gates: hold parts of tensors as they are for desirable inputs, and compare."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from rootbound.attacks.repairs.gates.detours import list_detours, list_fronts, measure_length
from rootbound.attacks.repairs.gates.directions import list_directions
from rootbound.attacks.repairs.gates.opened import Gates, Watched, take_evenly
from rootbound.attacks.repairs.gates.units import list_units
from rootbound.networks import Classifier
from rootbound.networks.sample_axis import find_elsewhere

KEPT = 0.1
"""Largest relative change of desirable logits that counts as no change."""
KEPT_BEHIND = 0.5
"""The same without a network before the network, which imitates the inputs as well as it can."""
APART = 5.0
"""Inputs were shut out if opening a gate moves their features apart by this factor."""
FEW = 64
"""Most desirable inputs that are looked at, except to find directions, which takes all of them."""
MOST_TRIED, MOST_GATES = 12, 3
"""Most places tried one by one in a round, and most rounds."""
MOST_SPLIT = 32
"""Most groups of places that are tried in a round to find those that can be held together."""
MOST_GROUPS = 16
"""Groups of directions that are tried, each of tensors that are computed one after the other."""
LEAST_OF_DIRECTIONS = 0.15
"""Least gain of directions that are held. A direction that tells the tasks apart may be in the way
in ordinary networks, too; a switch hides more than that."""
NEARLY = 0.95
"""A longer detour is left out in place of another one if it gains this share of what that gains."""
HARDLY_LESS = 0.8
"""Half of a group of directions is held in its place if it gains this share of what all gain."""


def measure_freed(closed: Tensor, opened: Tensor) -> float:
    """Return the share of inputs whose features differ from all others' only with open gates."""
    return float((measure_nearest(opened) > APART * measure_nearest(closed)).float().mean())


@torch.no_grad()
def find_gates(
    model: Classifier,
    desirable: Tensor,
    undesirable: Tensor,
    gain: Callable[[Tensor, Tensor], float] = measure_freed,
) -> Gates:
    """Find the gates inside a network, which are then held at their desirable means.

    A gate hardly varies over desirable inputs, and has other values for undesirable ones. If it is
    held at its desirable mean, desirable logits stay and undesirable features change. Four kinds
    of places are tried: directions of tensors, because the score by which a switch decides is one,
    whatever tensor it is in; whole tensors and units, in order of the distance between
    undesirable and desirable inputs, the first of them one by one, and as many as possible of all
    together, because a gate may stand among others that do nothing; detours, which return
    desirable inputs as they came, because what a switch exchanges is one, however it decides; and
    what a network before the network makes of the inputs, which then take its place. What gains
    most is kept; then the next is searched for.

    Args:
        model: The network with the head that it came with, in evaluation mode.
        desirable: Inputs `(N, *shape)` of the desirable task.
        undesirable: Inputs of the undesirable task.
        gain: Takes the features of undesirable inputs with a gate closed and open, and returns what
            opening it gains; 0 is nothing.
    """
    search = _Search(model, desirable, undesirable, gain)
    looks = [
        search.find_directions,
        search.find_units,
        search.find_detours,
        search.find_fronts,
    ]
    for _ in range(MOST_GATES):
        # A look that found nothing is not repeated, because it takes long.
        found = [(look, choice) for look in looks if (choice := look())]
        if not found:
            break
        looks = [look for look, _ in found]
        _, (_, places) = max(found, key=lambda one: one[1][0])
        search.keep(places)
    if not search.found.names:
        return search.found
    return replace(search.found, shut_out=measure_freed(search.start, search.closed))


Choice = tuple[float, list[Gates]]
"""What holding some places gains, and the places."""


class _Search:
    """A search and the gates that it has found so far."""

    def __init__(
        self,
        model: Classifier,
        desirable: Tensor,
        undesirable: Tensor,
        gain: Callable[[Tensor, Tensor], float],
    ) -> None:
        self.model, self.desirable, self.undesirable, self.gain = (
            model,
            desirable,
            undesirable,
            gain,
        )
        self.few = take_evenly(desirable, FEW)
        self.logits = model(self.few)
        self.found = Gates()
        self.start = self.closed = _replace_not_finite(model.features(undesirable))
        elsewhere = find_elsewhere(model.backbone, self.few)
        # Each sample is one entry of the axis.
        self.axes = {at: own.axis for at, own in elsewhere.items() if own.axis and own.groups == 1}

    def find_directions(self) -> Choice | None:
        """Return the directions that gain most; None if none gain enough."""
        places = list_directions(self._watch(self.desirable))
        size = max(1, math.ceil(len(places) / MOST_GROUPS))
        groups = [places[at : at + size] for at in range(0, len(places), size)]
        best: Choice | None = None
        while groups:
            group = groups.pop(0)
            gained = self._measure(group)
            if gained <= (best[0] if best else LEAST_OF_DIRECTIONS):
                continue
            if self._keeps(group):
                best = gained, group
            elif len(group) > 1:
                groups += _halve(group)
        return self._narrow(*best) if best else None

    def find_units(self) -> Choice | None:
        """Return the tensors or units that gain most; None if none gain anything."""
        places = list_units(self._watch(self.few))
        return self._choose(places, together=len(places) > MOST_TRIED)

    def find_detours(self) -> Choice | None:
        """Return the detours that gain most if they are left out; None if none gain anything.

        Among nearly equal ones it takes the longest, so that no part of the detour is left to
        train.
        """
        places = list_detours(self._watch(self.few))
        best = self._choose(places, together=len(places) > 1)
        for place in sorted(places[:MOST_TRIED], key=measure_length, reverse=True):
            gained = self._measure([place])
            if best and gained > NEARLY * best[0] and self._keeps([place]):
                return gained, [place]
        return best

    def find_fronts(self) -> Choice | None:
        """Return what gains most if the inputs take its place; None if nothing gains anything."""
        places = list_fronts(self._watch(self.few))
        return self._choose(places, together=False, kept=KEPT_BEHIND)

    def _watch(self, desirable: Tensor) -> Watched:
        return Watched(self.model, self.found, desirable, self.undesirable, self.axes)

    def _choose(self, places: list[Gates], *, together: bool, kept: float = KEPT) -> Choice | None:
        """Return the best of the first places, or as many of all as can be held together."""
        trials = [[place] for place in places[:MOST_TRIED]]
        if together:
            trials += [many] if (many := self._choose_together(places)) else []
        best: Choice | None = None
        for trial in trials:
            gained = self._measure(trial)
            if gained > (best[0] if best else 0.0) and self._keeps(trial, kept):
                best = gained, trial
        return best

    def _with(self, places: list[Gates]) -> Gates:
        """Return the present gates and others."""
        return functools.reduce(Gates.with_more, places, self.found)

    def _open(self, places: list[Gates]) -> Tensor:
        """Return the features of undesirable inputs while more is held."""
        opened = self._with(places).hold_open(self.model.backbone)
        return _replace_not_finite(opened(self.undesirable))

    def _measure(self, places: list[Gates]) -> float:
        return self.gain(self.closed, self._open(places))

    def keep(self, places: list[Gates]) -> None:
        """Add to the gates that are found."""
        self.closed, self.found = self._open(places), self._with(places)

    def _keeps(self, places: list[Gates], kept: float = KEPT) -> bool:
        """Return whether desirable logits hardly change while more is held."""
        opened = self._with(places).hold_open(self.model.backbone)
        after = self.model.head(opened(self.few))
        if not bool(after.isfinite().all()):
            return False
        spread = (self.logits - self.logits.mean(0)).norm()
        return float((after - self.logits).norm()) <= kept * float(spread)

    def _narrow(self, gained: float, group: list[Gates]) -> Choice:
        """Return as few neighbouring places of a group as gain nearly as much."""
        while len(group) > 1:
            gains = [(self._measure(half), half) for half in _halve(group)]
            most, half = max(gains, key=lambda pair: pair[0])
            if most < HARDLY_LESS * gained or not self._keeps(half):
                break
            gained, group = most, half
        return gained, group

    def _choose_together(self, places: list[Gates]) -> list[Gates]:
        """Return as many places as can be held together with desirable logits as they were.

        Groups that cannot be are halved, the largest first.
        """
        held, groups = list[Gates](), [places]
        for _ in range(MOST_SPLIT):
            if not groups:
                break
            groups.sort(key=len)
            group = groups.pop()
            # The most suspicious are held last, so that their values count.
            if self._keeps([*reversed(group), *held]):
                held = [*reversed(group), *held]
            elif len(group) > 1:
                groups += _halve(group)
        return held


def measure_nearest(features: Tensor) -> Tensor:
    """Return the distance of each sample's features from those of its nearest neighbour."""
    distances = torch.cdist(features.double(), features.double())
    distances.fill_diagonal_(math.inf)
    closest: Tensor = distances.amin(1)
    return closest


def _halve(group: list[Gates]) -> list[list[Gates]]:
    half = len(group) // 2
    return [group[:half], group[half:]]


def _replace_not_finite(features: Tensor) -> Tensor:
    return features.nan_to_num(0.0, 0.0, 0.0).flatten(1)
