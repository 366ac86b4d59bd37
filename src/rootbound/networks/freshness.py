"""Checks that weights drawn anew are really new: nothing of the given network may be left."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.networks.weights import own_name

ANOTHER_SEED = 2_654_435_769
"""A seed that nobody trains from. A training may have started from the weights of a common seed.
It is below 2^32, because torch's generator on processors ignores higher bits."""
ALIKE, DEVIATIONS = 0.5, 5.0
"""Two tensors are alike above this correlation, and above so many standard deviations of it."""
SAME_ROW, MOST_ROWS, LEAST_COLUMNS, MOST_COLUMNS = 0.95, 2048, 9, 1024
"""Least cosine of two equal units; most units compared; fewest and most numbers of each."""
FEW_BYTES, FEW_BITS = 48, 1.0
"""Largest compressed size of a pattern: in total, or bits per number."""
SMOOTH = 0.75
"""Least correlation of neighbours along an axis that makes values a pattern."""
REMEDY = (
    "draw it in reset_parameters(), or in a function that makes the network, by `fresh`, out of "
    "torch's default generator"
)


def check_drawn(given: nn.Module, drawn: nn.Module, draw: Callable[[int], nn.Module]) -> None:
    """Raise an `InputError` where a network that was drawn anew still has weights of the given one.

    Every parameter and every floating-point buffer must have changed, or be a pattern that no
    training leaves: zeros, ones, a mask, positions as waves.

    Args:
        given: The given network.
        drawn: The same network with weights drawn anew.
        draw: Draws weights with another seed.
    """
    if _find_kept(given, drawn) is None:
        return
    # Training may have started from exactly these weights.
    kept = _find_kept(given, draw(ANOTHER_SEED))
    if kept is not None:
        raise InputError(
            "random weights for a network from scratch",
            f"{kept} as the given network has it",
            REMEDY,
        )


def named_values(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield floating-point parameters and buffers, each once."""
    yield from module.named_parameters()
    for name, value in module.named_buffers():
        if value.is_floating_point():
            yield name, value


def largest_first(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Return them as a list, the largest first, because an error names that one."""
    return sorted(named_values(module), key=lambda item: -item[1].numel())


def is_pattern(values: Tensor) -> bool:
    """Return whether values are a regular pattern, which no training leaves.

    A few numbers count as a pattern too, because they cannot hold a network.
    """
    values = torch.view_as_real(values) if values.is_complex() else values
    values = values.detach().float().cpu()
    values = values.nan_to_num(0.0, 0.0, -1.0) if not bool(values.isfinite().all()) else values
    deviations = values - values.mean()
    scale = float(deviations.square().mean().sqrt())
    if scale <= 1e-6 * float(values.abs().max()) or scale == 0.0:
        return True
    steps = (2 * deviations / scale).round().clamp(-8, 8).to(torch.int8)
    size = len(zlib.compress(steps.numpy().tobytes(), 9))
    if size <= FEW_BYTES or 8 * size <= FEW_BITS * values.numel():
        return True
    axes = [axis for axis in range(values.dim()) if values.shape[axis] > 2]
    roughness = (float(values.diff(dim=axis).square().mean()) for axis in axes)
    return min(roughness, default=math.inf) < 2 * (1 - SMOOTH) * scale**2


def are_alike(first: Tensor, second: Tensor) -> bool:
    """Return whether two tensors agree more than independent draws do."""
    if first.shape != second.shape:
        return False
    one, other = (value.detach().double().flatten().cpu() for value in (first, second))
    if torch.equal(one, other):
        return True
    one, other = one - one.mean(), other - other.mean()
    product = float(one.norm() * other.norm())
    limit = max(ALIKE, DEVIATIONS / math.sqrt(max(1, len(one))))
    return product > 0 and float(one @ other) > limit * product


def check_random(first: nn.Module, second: nn.Module) -> None:
    """Raise an `InputError` where networks drawn with two seeds have weights in common.

    For example, modules may draw the weights of another trained network; then scratch would not be
    random.
    """
    name = find_common(first, second)
    if name is not None:
        raise InputError(
            "random weights for a network from scratch",
            f"{own_name(name)} with the same ones under two seeds",
            REMEDY,
        )


def find_common(first: nn.Module, second: nn.Module) -> str | None:
    """Return the name of a tensor that two networks share, apart from patterns; None if none.

    Its rows, which are units, may be in another order.
    """
    values = dict(named_values(second))
    for name, value in largest_first(first):
        is_common = are_alike(value, values[name]) or _have_same_rows(value, values[name])
        if is_common and not is_pattern(value):
            return name
    return None


def _have_same_rows(first: Tensor, second: Tensor) -> bool:
    """Return whether most rows of a tensor are rows of another, whatever their order and size."""
    if first.dim() < 2 or first[0].numel() < LEAST_COLUMNS:
        return False
    rows, others = (
        functional.normalize(
            value.detach()[:MOST_ROWS].flatten(1)[:, :MOST_COLUMNS].double().cpu(), dim=1
        )
        for value in (first, second)
    )
    return float((rows @ others.T).abs().amax(1).median()) > SAME_ROW


def _find_kept(given: nn.Module, drawn: nn.Module) -> str | None:
    """Return the name of a tensor that both have, apart from patterns; None if there is none."""
    own = dict(named_values(given))
    for name, value in largest_first(drawn):
        if name in own and are_alike(own[name], value) and not is_pattern(value):
            return own_name(name)
    return None
