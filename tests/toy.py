"""A tiny data set: blurred random patterns with noise, one pattern per class."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from rootbound.data import Data, Scaling
from rootbound.datasets import Dataset

CLASSES, SIDE = 6, 16


def toy_dataset(noise: Sequence[float] = (0.15,) * CLASSES) -> Dataset:
    """Return the data set; `noise` is the deviation of each class from its pattern."""
    generator = torch.Generator().manual_seed(7)
    patterns = functional.interpolate(
        torch.rand(CLASSES, 1, 4, 4, generator=generator), size=(SIDE, SIDE), mode="bilinear"
    )
    scaling = Scaling(255.0, 0.5, 0.25)

    def part(count: int) -> Data:
        labels = torch.arange(CLASSES).repeat(count)
        deviations = torch.tensor(noise)[labels].view(-1, 1, 1, 1)
        added = deviations * torch.randn(len(labels), 1, SIDE, SIDE, generator=generator)
        images = (patterns[labels] + added).clamp(0, 1).mul(255).byte()
        return Data(images, labels, scaling)

    return Dataset("toy", tuple("012345"), part(60), part(20))


def write_idx_folder(folder: Path, dataset: Dataset) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, data in (("train", dataset.train), ("t10k", dataset.test)):
        _write(folder / f"{prefix}-images-idx3-ubyte.gz", data.inputs.squeeze(1))
        _write(folder / f"{prefix}-labels-idx1-ubyte.gz", data.labels.byte())


def _write(path: Path, values: Tensor) -> None:
    header = bytes([0, 0, 8, values.dim()]) + struct.pack(f">{values.dim()}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.numpy().tobytes(), mtime=0))
