"""Random changes of images that leave their class as it is: more samples out of few."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Move every image a little, and perhaps mirror it; what is not an image stays as it is.

    Args:
        shift: pixels up or down and left or right at most, at least 0; the border is repeated.
        flip: exchange left and right in half of the images; not for digits or letters.

    Raises:
        InputError: `shift` is negative.
    """

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise InputError("a shift of at least 0 pixels", str(self.shift), "raise it")

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Return inputs `(N, *shape)` changed at random, each sample in its own way."""
        if inputs.dim() != 4:
            return inputs
        if self.shift:
            inputs = self._shifted(inputs, generator)
        if self.flip:
            flipped = torch.rand(len(inputs), generator=generator) < 0.5
            inputs = torch.where(flipped.view(-1, 1, 1, 1), inputs.flip(3), inputs)
        return inputs

    def _shifted(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = inputs.shape
        padded = functional.pad(inputs, (self.shift,) * 4, mode="replicate")
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        down, right = torch.randint(2 * self.shift + 1, (2, count), generator=generator)
        moved: Tensor = windows[torch.arange(count), :, down, right]
        return moved
