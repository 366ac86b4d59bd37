"""How what is stored becomes the numbers that a network is fed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import InputError

LARGEST_FACTOR = 1e30
"""By which a scaling may multiply, or move: what is larger is infinite in single precision."""
Numbers = float | tuple[float, ...]
"""One for all channels, or one for each."""


@dataclass(frozen=True)
class Scaling:
    """How stored inputs become the numbers a model sees: `(x / divisor - mean) / deviation`.

    Mean and deviation are one number each, or as many as there are channels.
    """

    divisor: float = 1.0
    mean: Numbers = 0.0
    deviation: Numbers = 1.0

    @classmethod
    def stated(
        cls, divisor: float, mean: float | Sequence[float], deviation: float | Sequence[float]
    ) -> Scaling:
        """Return a scaling that somebody states; one number stands for as many as the other has.

        Raises:
            InputError: a number is not finite, divisor or deviation is not above 0, what is scaled
                so would be infinite, or there are more of one than of the other.
        """
        means, deviations = (
            tuple(map(float, given if isinstance(given, Sequence) else [given]))
            for given in (mean, deviation)
        )
        channels = max(len(means), len(deviations))
        means, deviations = (
            given * channels if len(given) == 1 else given for given in (means, deviations)
        )
        _check_scaling(float(divisor), means, deviations)
        if channels == 1:
            return cls(float(divisor), *means, *deviations)
        return cls(float(divisor), means, deviations)

    @property
    def channels(self) -> list[tuple[float, float]]:
        """Mean and deviation of each channel, or those of all."""
        means, deviations = (
            given if isinstance(given, tuple) else (given,) for given in (self.mean, self.deviation)
        )
        return list(zip(means, deviations, strict=True))

    def apply(self, inputs: Tensor) -> Tensor:
        """Return stored inputs `(N, *shape)` as float32, scaled, in new memory."""
        # A copy in any case: a slice of what is float32 already is the stored inputs themselves.
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


def _check_scaling(divisor: float, means: Sequence[float], deviations: Sequence[float]) -> None:
    stated = (
        f"divisor {divisor:g}, mean {', '.join(f'{one:g}' for one in means)}, "
        f"deviation {', '.join(f'{one:g}' for one in deviations)}"
    )
    if len(means) != len(deviations) or not means:
        raise InputError("as many means as deviations", stated, "correct the scaling of the inputs")
    finite = all(map(math.isfinite, (divisor, *means, *deviations)))
    if not finite or min(divisor, *deviations) <= 0:
        raise InputError(
            "finite numbers, divisor and deviation above 0",
            stated,
            "correct the scaling of the inputs",
        )
    if any(
        max(1 / divisor, abs(mean)) > LARGEST_FACTOR * deviation
        for mean, deviation in zip(means, deviations, strict=True)
    ):
        raise InputError(
            "inputs that are finite when they are scaled",
            stated,
            "correct the scaling of the inputs",
        )


def described_inputs(shape: tuple[int, ...], scaling: Scaling | None) -> dict[str, Any]:
    """Return what a network must be fed, as plain values: the shape of a sample, and its scaling.

    There is none of tokens, and where nobody said it.
    """
    stated = {} if scaling is None else asdict(scaling)
    plain = {
        name: list(value) if isinstance(value, tuple) else value for name, value in stated.items()
    }
    return {"shape": list(shape), **plain}
