"""One `.npz` file of arrays, as Keras, MedMNIST and NumPy users keep data sets; read without trust.

Format: a zip archive of arrays, https://numpy.org/doc/stable/reference/generated/numpy.savez.html.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rootbound.data import Data, Scaling
from rootbound.datasets.dataset import Dataset
from rootbound.errors import InputError

LARGEST = 8 * 2**30
"""Bytes the arrays may unpack to; a larger claim is refused before anything is allocated."""
NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""What the four arrays may be called: by Keras, and by MedMNIST."""


def npz_file(path: Path) -> Dataset:
    """Load inputs and labels for training and testing; nothing in the file is executed.

    Images `(N, H, W)` or `(N, H, W, C)` with 1 or 3 channels become `(N, C, H, W)`; any other
    inputs are taken as they are. Labels are whole numbers from 0, `(N,)` or `(N, 1)`. Inputs
    are scaled by the mean and the deviation of the training samples.

    Raises:
        InputError: the file is missing, damaged or too large, or an array is missing or not of
            that form.
    """
    names, arrays = _read(path)
    parts = [
        (_inputs(path, names[at], arrays[at]), _labels(path, names[at + 1], arrays[at + 1]))
        for at in (0, 2)
    ]
    (inputs, labels), _ = parts
    if inputs.numel() < 2:  # they have no deviation
        raise InputError(f"at least one sample in {path}", "none", "check the file")
    divisor = 255.0 if inputs.dtype == torch.uint8 else 1.0
    sample = inputs[torch.linspace(0, len(inputs) - 1, min(len(inputs), 10_000)).long()] / divisor
    scaling = Scaling(divisor, float(sample.mean()), max(float(sample.std()), 1e-6))
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    train, test = (Data(*part, scaling) for part in parts)
    return Dataset(path.stem, classes, train, test)


def _read(path: Path) -> tuple[tuple[str, ...], list[NDArray[np.generic]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise InputError(f"{path} of at most {LARGEST} bytes", str(size), "split the file")
        with np.load(path, allow_pickle=False) as file:
            names = next((names for names in NAMES if set(names) <= set(file.files)), None)
            if names is None:
                wanted = " or ".join(", ".join(names) for names in NAMES)
                raise InputError(
                    f"arrays {wanted} in {path}", ", ".join(file.files)[:160], "rename them"
                )
            return names, [file[name] for name in names]
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"an .npz file at {path}", "no such file", "check the path") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a readable .npz file at {path}", reason, "the file is damaged or holds objects"
        ) from None


def _inputs(path: Path, name: str, values: NDArray[np.generic]) -> Tensor:
    kept = values.dtype == np.uint8 or values.dtype.kind == "f"
    if not kept or values.ndim < 2:
        raise InputError(
            f"bytes or floating point of at least two dimensions in {name} of {path}",
            f"{values.dtype} of shape {values.shape}",
            "convert them",
        )
    inputs = torch.from_numpy(values if values.dtype == np.uint8 else values.astype(np.float32))
    if inputs.dim() == 3:
        return inputs.unsqueeze(1)
    images = inputs.dim() == 4 and inputs.shape[3] in (1, 3)
    return inputs.permute(0, 3, 1, 2).contiguous() if images else inputs


def _labels(path: Path, name: str, values: NDArray[np.generic]) -> Tensor:
    if values.dtype.kind not in "iu" or values.size != len(values):
        raise InputError(
            f"one whole number a sample in {name} of {path}",
            f"{values.dtype} of shape {values.shape}",
            "store class numbers from 0",
        )
    return torch.from_numpy(values.reshape(-1).astype(np.int64))
