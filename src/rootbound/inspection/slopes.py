"""Gradients against finite differences: are a network's gradients those of its outputs?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from rootbound.networks import Classifier
from rootbound.networks.block_outputs import is_masked

PLACES = 3
"""Blocks that are checked: evenly spaced, with the first and the last."""
DIRECTIONS = 2
"""Random directions in each block."""
STEPS = {torch.float64: (1e-5, 1e-8, 1e-3), torch.float32: (3e-3, 3e-2)}
"""Lengths of a step, relative to the size of what is changed. The length with the smallest error
counts, because code may round to float32 or have kinks."""
LEAST = {torch.float64: 1e-7, torch.float32: 1e-3}
"""Slopes below this share of the outputs do not count."""
GOOD = 1e-3
"""Relative error below which no other step is tried."""
LONG = 1e-2
"""One more step, which is tried if outputs change slightly from call to call."""
FEATURES, WEIGHTS = "gradient_error_features", "gradient_error_weights"
ALL_WRONG = {FEATURES: 1.0, WEIGHTS: 1.0}
"""The errors of a network that has no gradients."""
Slopes = tuple[str, list[float], Callable[[int, float], float]]
"""The name of the measure; the slope along each direction according to the gradient; and a function
that computes the random sum of logits for a direction and a step along it."""
ABOVE_CHANCE = 30.0
"""A slope counts if it is this many times as large as the error from such changes."""


def measure_slopes(model: Classifier, inputs: Tensor) -> dict[str, float]:
    """Return the relative error of gradients, in features and in weights, of the worst block.

    The slope of a random sum of logits along random directions is compared with the slope according
    to the gradient. The error is 0 if they agree, 1 for no gradient, 2 for one of the wrong sign.

    Args:
        model: The network in evaluation mode, with weights that no layer computes.
        inputs: A few inputs of both tasks.

    Returns:
        The errors by their names in `MEASURES`; nothing if all slopes are 0, or if outputs are not
        finite or change much from call to call.
    """
    exact: _Slopes | None
    try:
        exact = _Slopes(copy.deepcopy(model).double(), _convert_to_float64(inputs))
        errors = exact.measure()
    except Exception:  # foreign code may not support float64; float32 is less exact
        exact, errors = None, {}
    given = _Slopes(copy.deepcopy(model), inputs)
    if exact is not None:
        return _keep_larger(errors, _compare_precisions(given, exact))
    try:
        return given.measure()
    except Exception:  # foreign code may not support gradients
        return dict(ALL_WRONG)


def _compare_precisions(given: _Slopes, exact: _Slopes) -> dict[str, float]:
    """Return how far gradients are from those in float64.

    A network may detect float64, and return true gradients then only. Nothing is returned if the
    outputs differ too: then weights amplify rounding errors.
    """
    if len(given.inputs) != len(exact.inputs) or given.noise or exact.noise:
        return {}
    least = LEAST[torch.float32] * exact.size
    if float((given.logits.double() - exact.logits).norm()) > least:
        return {}
    try:
        pairs = zip(given.slopes, exact.slopes, strict=True)
    except Exception:  # the network has gradients in float64 only
        return dict(ALL_WRONG)
    errors: dict[str, float] = {}
    for (name, own, _), (_, others, _) in pairs:
        size = max(math.hypot(*own), math.hypot(*others))
        if least < size < math.inf:
            errors = _keep_larger(errors, {name: math.dist(own, others) / size})
    return errors


def _keep_larger(errors: dict[str, float], others: dict[str, float]) -> dict[str, float]:
    """Return all errors; if both have a name, the larger one."""
    return errors | {name: max(one, errors.get(name, one)) for name, one in others.items()}


def _convert_to_float64(inputs: Tensor) -> Tensor:
    return inputs.double() if inputs.is_floating_point() else inputs


class _Slopes:
    """A network, the inputs of its blocks, and the gradients of a random sum of logits."""

    def __init__(self, model: Classifier, inputs: Tensor) -> None:
        self.model = model.eval().requires_grad_(True)
        self.blocks = [*model.blocks, model.head]
        self.dtype = model.head.weight.dtype
        self.generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            logits, again = (model(inputs.clone()) for _ in range(2))
        finite = (logits.isfinite() & again.isfinite()).all(1)
        self.logits = logits[finite]
        self.inputs = inputs[finite].clone()
        self.noise = float((self.logits - again[finite]).norm())
        self.weighting = self._draw(self.logits)
        self.size = float(logits.nan_to_num(0.0, 0.0, 0.0).std() * math.sqrt(logits.numel()))

    def measure(self) -> dict[str, float]:
        """Return the worst errors."""
        errors: dict[str, float] = {}
        for name, slopes, compute in self.slopes:
            error = self._measure_error(slopes, compute)
            if error is not None:
                errors[name] = max(error, errors.get(name, error))
        return errors

    @cached_property
    def slopes(self) -> list[Slopes]:
        """Slopes in the features and in the weights of some blocks, by their gradients."""
        if not len(self.inputs):
            return []
        last = len(self.blocks) - 2
        places = sorted({round(last * k / (PLACES - 1)) for k in range(PLACES)})
        entering = self._backward()
        found = [self._list_feature_slopes(k, entering[k]) for k in places]
        found += [self._list_weight_slopes(k) for k in places]
        return [one for one in found if one is not None]

    def _backward(self) -> list[Tensor]:
        """Run a forward and a backward pass; return each block's inputs with their gradient."""
        values, entering = self.inputs, []
        for block in self.blocks:
            if values.is_floating_point():
                values = values if values.requires_grad else values.requires_grad_(True)
                values.retain_grad()
            entering.append(values)
            # Pass a copy, because a block may change its inputs in place.
            values = block(values.clone())
        (values * self.weighting).sum().backward()
        return entering

    def _list_feature_slopes(self, place: int, values: Tensor) -> Slopes | None:
        """Return slopes with respect to a block's inputs; None if these are integers."""
        if not values.is_floating_point():
            return None
        start = values.detach()
        directions = [self._draw(start) * _measure_size(start) for _ in range(DIRECTIONS)]
        if place and is_masked(self.blocks[place - 1]):
            for direction in directions:
                direction[..., -1] = 0.0
        gradient = torch.zeros_like(start) if values.grad is None else values.grad
        slopes = [float((gradient * direction).sum()) for direction in directions]
        return (
            FEATURES,
            slopes,
            lambda number, step: self._compute_sum(start + step * directions[number], place),
        )

    def _list_weight_slopes(self, place: int) -> Slopes | None:
        """Return slopes with respect to a block's weights; None if it has none."""
        weights = list(self.blocks[place].parameters())
        starts = [weight.detach().clone() for weight in weights]
        directions = [
            [self._draw(start) * _measure_size(start) for start in starts]
            for _ in range(DIRECTIONS)
        ]
        slopes = [
            sum(
                float((weight.grad * part).sum())
                for weight, part in zip(weights, direction, strict=True)
                if weight.grad is not None
            )
            for direction in directions
        ]

        @torch.no_grad()
        def compute(number: int, step: float) -> float:
            for weight, start, part in zip(weights, starts, directions[number], strict=True):
                weight.copy_(start + step * part)
            found = self._compute_sum(self.inputs, 0)
            for weight, start in zip(weights, starts, strict=True):
                weight.copy_(start)
            return found

        return (WEIGHTS, slopes, compute) if weights else None

    def _measure_error(
        self, slopes: list[float], compute: Callable[[int, float], float]
    ) -> float | None:
        """Return the relative error of slopes along all directions; None if they are 0."""
        best: float | None = None
        for step in (*STEPS[self.dtype], *([LONG] if self.noise else [])):
            found = [
                (compute(number, step) - compute(number, -step)) / (2 * step)
                for number in range(DIRECTIONS)
            ]
            size = max(math.hypot(*found), math.hypot(*slopes))
            least = max(LEAST[self.dtype] * self.size, ABOVE_CHANCE * self.noise / step)
            if not math.isfinite(size) or size <= least:
                continue
            error = math.dist(found, slopes) / size
            best = error if best is None else min(best, error)
            if best < GOOD:
                break
        return best

    @torch.no_grad()
    def _compute_sum(self, values: Tensor, place: int) -> float:
        """Return the random sum of logits for given inputs of a block."""
        values = values.detach().clone()
        for block in self.blocks[place:]:
            values = block(values)
        return float((values * self.weighting).sum())

    def _draw(self, like: Tensor) -> Tensor:
        drawn = torch.randn(like.shape, generator=self.generator, dtype=torch.float64)
        return drawn.to(like.device, like.dtype)


def _measure_size(values: Tensor) -> Tensor:
    """Return the root mean square; 1 if all values are 0."""
    size = values.square().mean().sqrt()
    return torch.where(size > 0, size, torch.ones_like(size))
