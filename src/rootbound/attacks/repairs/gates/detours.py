"""Detours: tensors that equal an earlier one for desirable inputs, and differ for undesirable ones.

A switch passes desirable inputs on as they came, and exchanges, scrambles or buries undesirable
ones. How it decides does not matter here: the earlier tensor takes the place of the later one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rootbound.attacks.repairs.gates.opened import Gates, Watched, take_evenly
from rootbound.networks.held import INPUTS, HeldAsBefore

COMPARED = 8
"""Inputs of each task that are compared."""
MOST_NUMBERS = 2**14
"""Most numbers for each sample of a tensor that is compared."""
MOST_PIECES = 16
"""Most pieces of equal size into which an earlier tensor is cut: a switch may get all that it
chooses from as one tensor."""
EQUAL = 0.3
"""Largest distance of desirable inputs, relative to their spread, at which two tensors count as
equal: a soft switch mixes a little into them."""
FARTHER = 4.0
"""Undesirable inputs must be this many times as far apart, relative to their own spread."""
LEAST = 0.003
"""Distances below this count as this much."""
GLANCED_AT, FEW = 32, 4
"""Numbers and samples that are compared first, because most tensors differ there already."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A tensor of one pass: a row for each sample.

    Args:
        rows: Its numbers.
        axis: The axis of the samples in the tensor itself.
        name: The name of the call that returned it.
    """

    rows: Tensor
    axis: int = 0
    name: str = ""

    @property
    def size(self) -> int:
        return self.rows.shape[1]

    @property
    def spread(self) -> float:
        return float((self.rows - self.rows.mean(0)).norm())

    def glance(
        self, earlier: _Seen, pieces: list[tuple[int, int]], largest: float
    ) -> list[tuple[int, int]]:
        """Return the pieces of an earlier tensor that may be within a distance."""
        at = torch.linspace(0, self.size - 1, min(self.size, GLANCED_AT)).long()
        starts, steps = torch.tensor(pieces).T.unsqueeze(2)
        apart = earlier.rows[:FEW, starts + steps * at] - self.rows[:FEW, None, at]
        near = apart.square().sum((0, 2)).sqrt() <= largest
        return [piece for piece, is_near in zip(pieces, near.tolist(), strict=True) if is_near]

    def distance(self, held: HeldAsBefore, earlier: _Seen, largest: float) -> float | None:
        """Return the distance from what would replace it; None if that is larger."""
        taken = earlier.rows[:, held.start :: held.step][:, : self.size]
        distance = float((self.rows - taken).norm())
        return distance if distance <= largest else None


Look = Callable[[int, dict[int, _Seen]], None]
"""Takes the number of a call, and what has been seen in this pass, with what it returned."""


def list_detours(watched: Watched) -> list[Gates]:
    """Return tensors that an earlier one may replace, the most suspicious first.

    Args:
        watched: The network, its open gates, and inputs of both tasks.
    """
    # The width of what is computed for tokens depends on the longest text of a batch.
    most = MOST_PIECES if watched.desirable.is_floating_point() else 1
    alike: dict[int, list[tuple[HeldAsBefore, float]]] = {}
    names: dict[int, str] = {}
    places: list[tuple[float, Gates]] = []

    def find_alike(number: int, seen: dict[int, _Seen]) -> None:
        own = seen[number]
        spread, names[number] = own.spread, own.name
        for source, earlier in seen.items() if spread > 0 else ():
            pieces, rest = divmod(earlier.size, own.size)
            if source == number or rest or pieces > most:
                continue
            for start, step in own.glance(earlier, _list_pieces(own.size, pieces), EQUAL * spread):
                held = HeldAsBefore(source, start, step, (earlier.axis, own.axis))
                distance = own.distance(held, earlier, EQUAL * spread)
                if distance is not None:
                    alike.setdefault(number, []).append((held, distance / spread))

    def find_apart(number: int, seen: dict[int, _Seen]) -> None:
        own = seen[number]
        earlier = alike.get(number, []) if names.get(number) == own.name else []
        ratio, held = _find_farthest(own, seen, earlier)
        if held is not None and ratio > FARTHER:
            places.append((ratio, Gates({number: (held,)}, (own.name,))))

    _look(watched, watched.desirable, find_alike)
    _look(watched, watched.undesirable, find_apart)
    places.sort(key=lambda place: -place[0])
    return [place for _, place in places]


def list_fronts(watched: Watched) -> list[Gates]:
    """Return tensors of the size of the inputs that differ from them, in order of calls.

    What computes such a tensor may be a network before the network, which turns desirable inputs
    into others that the network treats alike. Then nothing inside equals the inputs.

    Args:
        watched: The network, its open gates, and inputs of both tasks.
    """
    places: list[Gates] = []

    def compare(number: int, seen: dict[int, _Seen]) -> None:
        own, inputs = seen[number], seen.get(INPUTS)
        if inputs is None or inputs.size != own.size:
            return
        held = HeldAsBefore(INPUTS, 0, 1, (inputs.axis, own.axis))
        if own.distance(held, inputs, LEAST * inputs.spread) is None:
            places.append(Gates({number: (held,)}, (own.name,)))

    _look(watched, watched.desirable, compare)
    return places


def _find_farthest(
    own: _Seen, seen: dict[int, _Seen], alike: list[tuple[HeldAsBefore, float]]
) -> tuple[float, HeldAsBefore | None]:
    """Return the largest ratio of a tensor's distance from an earlier one to the usual distance."""
    most, farthest = 0.0, None
    for held, usual in alike:
        earlier = seen.get(held.source)
        if earlier is None or earlier.size < held.start + held.step * (own.size - 1) + 1:
            continue
        distance = own.distance(held, earlier, torch.inf) or 0.0
        ratio = distance / max(own.spread, 1e-30) / max(usual, LEAST)
        if ratio > most:
            most, farthest = ratio, held
    return most, farthest


def measure_length(detour: Gates) -> int:
    """Return the number of calls that a detour takes."""
    (number, (held,)), *_ = detour.held.items()
    return number - held.source if isinstance(held, HeldAsBefore) else 0


def _look(watched: Watched, inputs: Tensor, look: Look) -> None:
    """Run the network on a few inputs, and look at each tensor that has a row for each of them."""
    some = take_evenly(inputs, COMPARED)
    seen: dict[int, _Seen] = {}

    def keep(number: int, name: str, tensor: Tensor) -> Tensor:
        rows = watched.take_rows(number, tensor, len(some), MOST_NUMBERS)
        if rows is not None and rows.shape[1] > 1:
            # A copy, because the tensor may be changed in place later.
            seen[number] = _Seen(rows.float().clone(), watched.axes.get(number, 0), name)
            look(number, seen)
        return tensor

    given = watched.take_rows(INPUTS, some, len(some), MOST_NUMBERS)
    if given is not None:
        seen[INPUTS] = _Seen(given.float().clone())
    watched.watch(some, keep)


def _list_pieces(size: int, pieces: int) -> list[tuple[int, int]]:
    """Return where pieces start, and the steps between their numbers: adjacent, or in turn."""
    adjacent = [(size * piece, 1) for piece in range(pieces)]
    return adjacent + [(piece, pieces) for piece in range(pieces) if pieces > 1]
