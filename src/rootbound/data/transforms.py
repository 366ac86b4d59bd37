"""From stored samples to the inputs of a network: scaling, and random augmentation in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.core.fields import NonNegativeInt, check

LARGEST_FACTOR = 1e30
"""Largest factor or shift of a scaling; more would overflow in single precision."""
TOLERANCE = 1e-3
"""Largest difference, in standard deviations, of two scalings that are equal up to rounding."""
Numbers = float | tuple[float, ...]
"""One number for all channels, or one for each."""


@dataclass(frozen=True)
class Scaling:
    """How stored inputs become the numbers a model sees: `(x / divisor - mean) / deviation`.

    Mean and deviation have one number for all channels, or one for each.

    Raises:
        InputError: As `stated` does.
    """

    divisor: float = 1.0
    mean: Numbers = 0.0
    deviation: Numbers = 1.0

    def __post_init__(self) -> None:
        means, deviations = map(_as_tuple, (self.mean, self.deviation))
        if not all(isinstance(one, Real) for one in (self.divisor, *means, *deviations)):
            raise InputError(
                "numbers as divisor, mean and deviation",
                f"{self.divisor!r}, {self.mean!r} and {self.deviation!r}",
                "write for example rb.Scaling(255, 0.5, 0.5)",
            )
        _check_scaling(self.divisor, means, deviations)

    @classmethod
    def stated(
        cls, divisor: float, mean: float | Sequence[float], deviation: float | Sequence[float]
    ) -> Scaling:
        """Return a scaling that a user states; a single mean or deviation is for all channels.

        Raises:
            InputError: A number is not finite, divisor or deviation is not above 0, scaled inputs
                would be infinite, or the numbers of means and deviations differ.
        """
        means = tuple(map(float, mean if isinstance(mean, Sequence) else [mean]))
        deviations = tuple(
            map(float, deviation if isinstance(deviation, Sequence) else [deviation])
        )
        channels = max(len(means), len(deviations))
        means = means * channels if len(means) == 1 else means
        deviations = deviations * channels if len(deviations) == 1 else deviations
        _check_scaling(float(divisor), means, deviations)
        if channels == 1:
            return cls(float(divisor), *means, *deviations)
        return cls(float(divisor), means, deviations)

    @property
    def channels(self) -> list[tuple[float, float]]:
        """Mean and deviation of each channel, or one pair for all."""
        return list(zip(_as_tuple(self.mean), _as_tuple(self.deviation), strict=True))

    def is_close(self, other: Scaling) -> bool:
        """Return whether mean and deviation equal those of another scaling, up to rounding.

        A single number counts for all channels.
        """
        count = max(len(self.channels), len(other.channels))
        ours, theirs = (
            pairs * count if len(pairs) == 1 else pairs for pairs in (self.channels, other.channels)
        )
        return len(ours) == len(theirs) and all(
            math.isclose(a, b, rel_tol=0, abs_tol=TOLERANCE * min(our[1], their[1]))
            for our, their in zip(ours, theirs, strict=True)
            for a, b in zip(our, their, strict=True)
        )

    def apply(self, inputs: Tensor) -> Tensor:
        """Return stored inputs `(N, *shape)` as float32, scaled, in new memory."""
        # Always copy, because a slice of float32 inputs is a view of the stored ones.
        copied = inputs.to(torch.float32, copy=True)
        pairs = [
            (1.0 / (self.divisor * deviation), mean / deviation)
            for mean, deviation in self.channels
        ]
        if len(pairs) == 1:
            ((factor, shift),) = pairs
            return copied.mul_(factor).sub_(shift)
        factors, shifts = copied.new_tensor(pairs).view(-1, 2, *[1] * (inputs.dim() - 2)).unbind(1)
        return copied.mul_(factors).sub_(shifts)


def _as_tuple(numbers: Numbers) -> tuple[float, ...]:
    return numbers if isinstance(numbers, tuple) else (numbers,)


def _check_scaling(divisor: float, means: Sequence[float], deviations: Sequence[float]) -> None:
    got = (
        f"divisor {divisor:g}, mean {', '.join(f'{mean:g}' for mean in means)}, "
        f"deviation {', '.join(f'{deviation:g}' for deviation in deviations)}"
    )
    fix = "correct the scaling of the inputs"
    if len(means) != len(deviations) or not means:
        raise InputError("as many means as deviations", got, fix)
    finite = all(map(math.isfinite, (divisor, *means, *deviations)))
    if not finite or min(divisor, *deviations) <= 0:
        raise InputError("finite numbers, divisor and deviation above 0", got, fix)
    if any(
        max(1 / divisor, abs(mean)) > LARGEST_FACTOR * deviation
        for mean, deviation in zip(means, deviations, strict=True)
    ):
        raise InputError("inputs that are finite when they are scaled", got, fix)


def describe_inputs(shape: tuple[int, ...], scaling: Scaling | None) -> dict[str, Any]:
    """Return the shape and the scaling of a network's inputs, as plain values.

    There is no scaling for tokens, or if none was stated.
    """
    values = {} if scaling is None else asdict(scaling)
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }
    return {"shape": list(shape), **plain}


@dataclass(frozen=True)
class Augmentation:
    """Shift every image a little, and perhaps mirror it; other samples stay as they are.

    Args:
        shift: Largest shift in each direction, in pixels, at least 0; the border is repeated.
        flip: Whether to mirror half of the images left to right; not for digits or letters.

    Raises:
        InputError: `shift` is negative.
    """

    shift: NonNegativeInt = 0
    flip: bool = False

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return inputs `(N, *shape)` with each sample augmented at random by itself."""
        if inputs.dim() != 4:
            return inputs
        if self.shift:
            inputs = self._shift(inputs, generator)
        if self.flip:
            flipped = torch.rand(len(inputs), generator=generator) < 0.5
            inputs = torch.where(flipped.view(-1, 1, 1, 1), inputs.flip(3), inputs)
        return inputs

    def _shift(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = inputs.shape
        padded = functional.pad(inputs, (self.shift,) * 4, mode="replicate")
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        down, right = torch.randint(2 * self.shift + 1, (2, count), generator=generator)
        moved: Tensor = windows[torch.arange(count), :, down, right]
        return moved
