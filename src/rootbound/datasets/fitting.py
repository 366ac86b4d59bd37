"""Samples of one data set made to fit a network that was built for another's."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.datasets.cache import changed
from rootbound.datasets.dataset import Dataset

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def fitted(dataset: Dataset, shape: tuple[int, ...]) -> Dataset:
    """Return the data set with samples of `shape`; its name and `conversion` say how.

    Texts are filled up with padding, or cut, under their own name.
    Grey becomes RGB by repetition, RGB becomes grey by luma, sizes change by bilinear
    interpolation with antialiasing. The scaling stays the data set's own.

    Args:
        dataset: of images `(channels, height, width)` or texts `(length,)`.
        shape: the same, of the samples wanted.

    Raises:
        InputError: one is an image and the other is none, or channels are neither 1 nor 3.
    """
    found = dataset.train.shape
    if found == shape:
        return dataset
    if dataset.train.tokens and len(shape) == 1:
        added = (0, shape[0] - found[0])  # below 0 it cuts

        def filled(tokens: Tensor, _: slice) -> Tensor:
            return functional.pad(tokens, added)

        verb = "filled up with padding" if added[1] > 0 else "cut"
        how = f"{verb} from {found[0]} to {shape[0]} tokens"
        parts = [
            replace(part, inputs=changed(part.inputs, shape, filled, how))
            for part in (dataset.train, dataset.test)
        ]
        return replace(dataset, train=parts[0], test=parts[1], conversion=how)
    images = len(found) == len(shape) == 3
    if not images or (found[0] != shape[0] and {found[0], shape[0]} != {1, 3}):
        raise InputError(
            f"samples of {dataset.name} of shape {shape}",
            f"shape {found}",
            "bring data of that shape: only images, grey or RGB, are converted",
        )
    name = f"{dataset.name} as {'x'.join(map(str, shape))}"
    train, test = (
        replace(part, inputs=_converted(part.inputs, shape))
        for part in (dataset.train, dataset.test)
    )
    return replace(dataset, name=name, train=train, test=test, conversion=_in_words(found, shape))


def _in_words(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return how images of one shape become such of another."""
    steps = []
    if shape[0] < found[0]:
        steps.append("colours turned to grey by luma")
    if found[1:] != shape[1:]:
        sizes = (f"{height}x{width}" for _, height, width in (found, shape))
        steps.append(f"resized from {' to '.join(sizes)} bilinearly, with antialiasing")
    if shape[0] > found[0]:
        steps.append("one channel repeated three times")
    return ", ".join(steps)


def _converted(inputs: Tensor, shape: tuple[int, ...]) -> Tensor:
    def fit(part: Tensor, _: slice) -> Tensor:
        part = part.float()
        if shape[0] < part.shape[1]:
            part = torch.einsum("nchw,c->nhw", part, part.new_tensor(LUMA)).unsqueeze(1)
        if part.shape[2:] != shape[1:]:
            part = functional.interpolate(
                part, list(shape[1:]), mode="bilinear", align_corners=False, antialias=True
            )
        whole = part if inputs.is_floating_point() else part.round()
        return whole.to(inputs.dtype).expand(-1, shape[0], -1, -1)

    return changed(inputs, shape, fit, f"fitted to {shape}")
