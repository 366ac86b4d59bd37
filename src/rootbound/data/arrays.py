"""Samples and labels as tensors, made from arrays or data sets of torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data

from rootbound.core.errors import InputError, explain_errors
from rootbound.data.mapped import MappedRows

AT_ONCE = 256
"""Samples of a data set of torch that are read at a time."""
EXPECTED = "inputs and labels as arrays or tensors, a data set of torch, or a loader of one"


def as_inputs(values: object) -> Tensor:
    """Return inputs as a tensor; NumPy's floating-point arrays become float32.

    Raises:
        InputError: They are not an array of numbers.
    """
    if isinstance(values, MappedRows):
        return cast(Tensor, values)  # it takes a tensor's place
    tensor = _as_tensor(values, "inputs as an array or a tensor of numbers")
    if tensor.is_complex() or tensor.layout != torch.strided:
        kind = str(tensor.dtype if tensor.is_complex() else tensor.layout)
        raise InputError(
            "plain numbers as inputs", kind.removeprefix("torch."), "convert them first"
        )
    is_array = not isinstance(values, Tensor)
    return tensor.float() if is_array and tensor.dtype == torch.float64 else tensor


def as_labels(values: object) -> Tensor:
    """Return labels as a tensor; integers of any type become int64.

    Raises:
        InputError: They are not an array of numbers.
    """
    tensor = _as_tensor(values, "labels as an array or a tensor of whole numbers")
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    return tensor.long() if whole else tensor


def list_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return a list of names; a single text may contain several, such as `cat,dog`.

    Raises:
        InputError: It is not a list.
    """
    if not isinstance(names, Iterable):
        raise InputError("names of classes as a list", repr(names), "write for example 'cat,dog'")
    if isinstance(names, str):
        return tuple(name.strip() for name in names.split(","))
    return tuple(map(str, names))


def gather(source: object) -> tuple[object, object]:
    """Return inputs and labels of a pair of arrays, of a data set of torch, or of its loader.

    A loader that shuffles is read in the order of its data set, so that the result is the same
    every time.

    Raises:
        InputError: It is none of these, or its samples cannot be stacked.
    """
    if isinstance(source, tuple | list) and len(source) == 2:
        if all(_holds_both(one) for one in source):
            raise InputError(
                EXPECTED, "two of them in one", "pass the test part by itself, as `test`"
            )
        return source[0], source[1]
    if isinstance(source, torch_data.DataLoader):
        loader: Iterable[Any] = _without_shuffling(source)
    elif is_torch_dataset(source):
        loader = torch_data.DataLoader(cast("torch_data.Dataset[Any]", source), AT_ONCE)
    else:
        raise InputError(
            EXPECTED, type(source).__name__, "pass inputs and labels as one pair: (inputs, labels)"
        )
    with explain_errors(
        f"samples of {type(source).__name__} that are pairs of a tensor and a label, all of a size",
        "give the data set a transform that makes tensors of one size",
    ):
        pairs = [(as_inputs(inputs), labels) for inputs, labels in map(_require_pair, loader)]
        several, inputs = [labels for _, labels in pairs], torch.cat([one for one, _ in pairs])
        if all(map(_are_names, several)):
            return inputs, list(chain.from_iterable(several))
        return inputs, torch.cat([as_labels(labels) for labels in several])


def _require_pair(batch: Any) -> Any:
    """Return a batch of a loader if it may be a pair; one of two keys would look like one."""
    if isinstance(batch, tuple | list):
        return batch
    raise InputError(
        "samples that are pairs of a tensor and a label",
        type(batch).__name__,
        "let the data set return (input, label)",
    )


def _holds_both(source: object) -> bool:
    """Return whether an object contains both inputs and labels."""
    if isinstance(source, tuple) and len(source) == 2:
        return all(isinstance(one, Tensor | np.ndarray) for one in source)
    return isinstance(source, torch_data.DataLoader | torch_data.Dataset)


def _are_names(labels: object) -> bool:
    """Return whether labels are words, in the form in which a loader collates them."""
    return isinstance(labels, list | tuple) and bool(labels) and isinstance(labels[0], str)


def is_torch_dataset(source: object) -> bool:
    """Return whether an object is a data set of torch, or behaves like one."""
    by_place = isinstance(source, Sized) and hasattr(source, "__getitem__")
    is_frame = hasattr(source, "iloc")  # a table of pandas, whose keys are columns
    plain = is_frame or isinstance(source, Sequence | Tensor | np.ndarray | dict)
    return isinstance(source, torch_data.Dataset) or (by_place and not plain)


def _without_shuffling(loader: torch_data.DataLoader[Any]) -> torch_data.DataLoader[Any]:
    """Return a loader of the same samples in order; the loader itself if it selects samples."""
    whole = isinstance(loader.sampler, torch_data.SequentialSampler | torch_data.RandomSampler)
    if not whole or len(loader.sampler) != len(loader.dataset):  # type: ignore[arg-type]
        return loader
    return torch_data.DataLoader(loader.dataset, AT_ONCE, collate_fn=loader.collate_fn)


def _as_tensor(values: object, expected: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    with explain_errors(expected, "convert them first"):
        array = np.asarray(values)
        if array.dtype.kind in "OSU":
            words = "objects" if array.dtype.kind == "O" else "words"
            raise InputError(expected, f"{words} of shape {array.shape}", "convert them first")
        if array.ndim == 0:
            raise InputError(expected, repr(values), "pass all samples at once")
        return torch.tensor(array)  # a copy, because arrays may be read-only
