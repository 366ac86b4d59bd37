"""Converting samples: to fit a network, or by rotation into a benign task."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.data import Data, Task
from rootbound.datasets.cache import convert
from rootbound.datasets.dataset import Dataset

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""


def fitted(dataset: Dataset, shape: tuple[int, ...]) -> Dataset:
    """Return the data set with samples of `shape`; its name and `conversion` say how.

    Texts are padded or cut, and keep their name.
    Grey becomes RGB by repetition, RGB becomes grey by luma, and sizes change by bilinear
    interpolation with antialiasing. The scaling stays the data set's own.

    Args:
        dataset: Images `(channels, height, width)` or texts `(length,)`.
        shape: The shape that samples must have.

    Raises:
        InputError: Only one of the shapes is that of an image, or channels are neither 1 nor 3.
    """
    before = dataset.train.shape
    if before == shape:
        return dataset
    if dataset.train.tokens and len(shape) == 1:
        return _fit_texts(dataset, shape[0])
    images = len(before) == len(shape) == 3
    if not images or (before[0] != shape[0] and {before[0], shape[0]} != {1, 3}):
        raise InputError(
            f"samples of {dataset.name} of shape {shape}",
            f"shape {before}",
            "bring data of that shape: only images, grey or RGB, are converted",
        )
    return replace(
        dataset,
        name=f"{dataset.name} as {'x'.join(map(str, shape))}",
        train=_fit_images(dataset.train, shape),
        test=_fit_images(dataset.test, shape),
        conversion=_join_conversions(dataset.conversion, _describe_conversion(before, shape)),
    )


def _fit_texts(dataset: Dataset, length: int) -> Dataset:
    before = dataset.train.shape[0]
    verb = "filled up with padding" if length > before else "cut"
    conversion = f"{verb} from {before} to {length} tokens"

    def fit(data: Data) -> Data:
        def pad(tokens: Tensor, _: slice) -> Tensor:
            return functional.pad(tokens, (0, length - before))  # a negative length cuts

        return replace(data, inputs=convert(data.inputs, (length,), pad, conversion))

    return replace(
        dataset,
        train=fit(dataset.train),
        test=fit(dataset.test),
        conversion=_join_conversions(dataset.conversion, conversion),
    )


def _fit_images(data: Data, shape: tuple[int, ...]) -> Data:
    kind = data.inputs.dtype

    def fit(images: Tensor, _: slice) -> Tensor:
        images = images.float()
        if shape[0] < images.shape[1]:
            images = torch.einsum("nchw,c->nhw", images, images.new_tensor(LUMA)).unsqueeze(1)
        if images.shape[2:] != shape[1:]:
            images = functional.interpolate(
                images, list(shape[1:]), mode="bilinear", align_corners=False, antialias=True
            )
        values = images if kind.is_floating_point else images.round()
        return values.to(kind).expand(-1, shape[0], -1, -1)

    return replace(data, inputs=convert(data.inputs, shape, fit, f"fitted to {shape}"))


def _join_conversions(*conversions: str) -> str:
    """Join descriptions of successive conversions."""
    return "; ".join(filter(None, conversions))


def _describe_conversion(before: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Describe how images of one shape become images of another."""
    steps = []
    if shape[0] < before[0]:
        steps.append("colours turned to grey by luma")
    if before[1:] != shape[1:]:
        sizes = (f"{height}x{width}" for _, height, width in (before, shape))
        steps.append(f"resized from {' to '.join(sizes)} bilinearly, with antialiasing")
    if shape[0] > before[0]:
        steps.append("one channel repeated three times")
    return ", ".join(steps)


def rotation_task(task: Task, seed: int = 0) -> Task | None:
    """Return the task to tell by how many quarter turns an image was rotated.

    S. Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations",
    2018. Each image occurs once, rotated at random.

    Args:
        task: The task whose images are used, without its labels.
        seed: Seed of the rotations.

    Returns:
        The task, or None where samples are not square images, or so few that one of the rotations
        does not occur.
    """
    shape = task.train.shape
    if len(shape) != 3 or shape[1] != shape[2]:
        return None
    generator = torch.Generator().manual_seed(seed)
    train, test = (_rotate(data, generator) for data in (task.train, task.test))
    if any(len(data.labels.unique()) < 4 for data in (train, test)):
        return None
    names = ("upright", "a quarter", "a half", "three quarters")
    return Task(f"which way up {task.name} is", names, train, test)


def _rotate(data: Data, generator: torch.Generator) -> Data:
    turns = torch.randint(4, (len(data),), generator=generator)

    def turn(images: Tensor, rows: slice) -> Tensor:
        outputs = images.clone()
        for quarter in (1, 2, 3):
            chosen = turns[rows] == quarter
            outputs[chosen] = torch.rot90(images[chosen], quarter, dims=(2, 3))
        return outputs

    what = f"turned by {hashlib.sha256(turns.numpy().tobytes()).hexdigest()}"
    return replace(data, inputs=convert(data.inputs, data.shape, turn, what), labels=turns)
