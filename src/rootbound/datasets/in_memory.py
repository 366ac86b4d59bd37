"""Data sets in memory: arrays, data sets of torch, and tables of `datasets`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from rootbound.core.errors import InputError, explain_errors
from rootbound.data import Data, Scaling
from rootbound.data.arrays import as_inputs, as_labels, gather, is_torch_dataset, list_names
from rootbound.datasets.arrays import read_inputs
from rootbound.datasets.classes import number_classes
from rootbound.datasets.dataset import Dataset, Layout, Samples, build_dataset
from rootbound.datasets.holdout import hold_out, refuse_holdout
from rootbound.datasets.hugging_face import read_parts
from rootbound.datasets.image_folder import TRAIN
from rootbound.datasets.images import ImageFiles, build_from_images
from rootbound.datasets.texts import Texts
from rootbound.datasets.unused import OF_ROWS, refuse_unused

log = logging.getLogger(__name__)
LIBRARY = "datasets"
"""The library whose tables have columns."""


@dataclass(frozen=True)
class InMemory:
    """A data set in memory, and what it does not say itself.

    Args:
        train: Training samples: a pair of inputs and labels, a data set of torch, a loader of one,
            or a table of `datasets`; or tables by the names of their parts.
        test: Test samples, likewise; if there are none, some training samples are held out.
        classes: The name of each class, by its label; if left out, those of the data set, or the
            numbers.
        name: The name in reports.
        layout: The share to hold out, the order of axes, and the names of columns.
    """

    train: object
    test: object | None
    classes: Sequence[str] | str | None
    name: str
    layout: Layout

    def read(self) -> Dataset | Texts:
        """Return the data set, or texts that are not tokenised yet.

        Bytes are scaled by mean and deviation of the training samples, as in files. Floating-point
        inputs are not scaled, because a network was probably made for them.

        Raises:
            InputError: Samples or labels are of no known kind, or do not fit together; or the
                layout has settings that they have no use for.
        """
        if _is_table(self.train):
            refuse_unused(self.layout, "a table in memory", OF_ROWS)
            return self._read_tables()
        holds_images = _holds_images(self.train)
        refuse_unused(
            self.layout, "data in memory", ("holdout",) if holds_images else ("holdout", "axes")
        )
        if self.test is not None:
            refuse_holdout(self.layout, "one in memory")
        if holds_images:
            return self._read_images()
        pairs = [gather(self.train), *([] if self.test is None else [gather(self.test)])]
        named = _number_names([labels for _, labels in pairs])
        given = [labels for _, labels in pairs] if named is None else named[1]
        parts = [
            self._read_part(inputs, labels)
            for (inputs, _), labels in zip(pairs, given, strict=True)
        ]
        names, labels = self._name_classes([one for _, one in parts], named and named[0])
        inputs = [one for one, _ in parts]
        if inputs[0].shape[1:] != inputs[-1].shape[1:]:
            raise InputError(
                "training and test samples of one shape",
                f"{tuple(inputs[0].shape[1:])} and {tuple(inputs[-1].shape[1:])}",
                "resize one of them",
            )
        remark = ""
        if self.test is None:
            rows, held, remark = hold_out(labels[0], names, self.layout)
            log.warning("%s: %s", self.name, remark)
            inputs, labels = ([one[0][rows], one[0][held]] for one in (inputs, labels))
        train, test = zip(inputs, labels, strict=True)
        return self._build(names, train, test, remark)

    def _build(
        self, classes: tuple[str, ...], train: Samples, test: Samples, remark: str
    ) -> Dataset:
        if train[0].dtype == torch.uint8:
            return build_dataset(self.name, classes, train, test, conversion=remark)
        return Dataset(self.name, classes, Data(*train), Data(*test), conversion=remark)

    def _read_part(self, inputs: object, labels: object) -> Samples:
        """Return inputs, with the channels of images first, and labels with their own numbers."""
        if isinstance(inputs, list | tuple) and len(inputs):
            inputs = _stack(inputs)
        if isinstance(inputs, Tensor) and inputs.dtype == torch.uint8:
            inputs = inputs.numpy(force=True)  # bytes are images in tensors, too
        if isinstance(inputs, Tensor) and self.layout.axes is not None:
            inputs = as_inputs(inputs).float().numpy(force=True)
        if isinstance(inputs, np.ndarray) and not _holds_tokens(inputs):
            inputs = read_inputs("the array of inputs", np.array(inputs), self.layout.axes)
        numbers = as_labels(labels)
        is_column = numbers.numel() == len(numbers) if numbers.ndim else True
        data = Data(as_inputs(inputs), numbers.reshape(-1) if is_column else numbers)
        return data.inputs, data.labels

    def _name_classes(
        self, labels: Sequence[Tensor], found: Sequence[str] | None = None
    ) -> tuple[tuple[str, ...], Sequence[Tensor]]:
        """Return the names of classes: found, given, or from the data set; else the numbers."""
        if found and self.classes:
            raise InputError(
                "no names of classes, for the labels are names", str(self.classes), "leave them out"
            )
        given = found or self.classes or _find_names(self.train)
        if given is None:
            return number_classes(*labels)
        names = list_names(given)
        highest = max(int(part.max()) for part in labels)
        if highest >= len(names):
            raise InputError(
                f"names for {highest + 1} classes, as labels go up to {highest}",
                f"{len(names)}",
                "name the others; the first name is that of label 0",
            )
        return names, labels

    def _read_tables(self) -> Dataset | Texts:
        """Return the images or texts in tables of the library `datasets`."""
        parts: dict[str, Any] = (
            dict(self.train) if isinstance(self.train, dict) else {TRAIN: self.train}
        )
        if self.test is not None:
            parts["test"] = self.test
        for part in parts.values():
            if not isinstance(part, Sized):
                raise InputError(
                    "tables that can be read in any order",
                    f"{type(part).__name__}, a stream",
                    "load them without `streaming`",
                )
        layout = self.layout
        if self.classes is not None:
            layout = replace(layout, label_names=list_names(self.classes))
        return read_parts(self.name, self.name, parts, Path(), layout)

    def _read_images(self) -> Dataset:
        """Return a data set of PIL images, which torchvision's data sets have by default."""
        sources: list[Any] = [one for one in (self.train, self.test) if one is not None]
        read = [_read_labels(source) for source in sources]
        named = _number_names(read)
        labels = [as_labels(part) for part in (read if named is None else named[1])]
        names, numbered = self._name_classes(labels, named and named[0])
        files = [_as_files(*pair) for pair in zip(sources, numbered, strict=True)]
        remarks = []
        if self.test is None:
            rows, held, remark = hold_out(numbered[0], names, self.layout)
            log.warning("%s: %s", self.name, remark)
            files, remarks = [_choose(files[0], rows), _choose(files[0], held)], [remark]
        return build_from_images(self.name, names, (files[0], files[1]), self.layout, remarks)


def scaled(data: Dataset, scaling: Scaling) -> Dataset:
    """Return a data set with another scaling."""
    train, test = (replace(part, scaling=scaling) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


def _stack(samples: Sequence[Any]) -> Tensor | np.ndarray[Any, Any]:
    """Stack samples, which are tensors, arrays or PIL images, into one tensor or array."""
    with explain_errors("a list of inputs that are all of a size", "resize them, or pass an array"):
        if isinstance(samples[0], Tensor):
            return torch.stack(list(samples))
        return np.stack([np.asarray(sample) for sample in samples])


def _number_names(labels: Sequence[object]) -> tuple[tuple[str, ...], list[Any]] | None:
    """Return sorted names of classes and numbered labels; None if labels are numbers already."""
    with explain_errors("one label per sample", "pass them as an array"):
        arrays = [np.asarray(part) for part in labels if not isinstance(part, Tensor)]
    words = all(array.ndim == 1 and len(array) and isinstance(array[0], str) for array in arrays)
    if len(arrays) < len(labels) or not words:
        return None
    for array in arrays:
        others = [row for row, label in enumerate(array) if not isinstance(label, str)]
        if others:
            raise InputError(
                "a name in every label, as in the first one",
                f"{array[others[0]]!r} in row {others[0]}",
                "leave out samples without a class",
            )
    names, numbers = np.unique(np.concatenate(arrays).astype(str), return_inverse=True)
    ends = np.cumsum([len(array) for array in arrays])[:-1]
    return tuple(map(str, names)), np.split(numbers, ends)


def _find_names(source: Any) -> Sequence[str] | None:
    """Return the names of classes of a data set, also inside a subset or a loader."""
    while source is not None:
        if isinstance(names := getattr(source, "classes", None), list | tuple):
            return [str(name) for name in names]
        source = getattr(source, "dataset", None)
    return None


def _is_table(source: object) -> bool:
    return type(source).__module__.partition(".")[0] == LIBRARY


def _holds_tokens(inputs: np.ndarray[Any, Any]) -> bool:
    return inputs.ndim == 2 and inputs.dtype.kind in "iu" and inputs.dtype != np.uint8


def _holds_images(source: object) -> bool:
    if not is_torch_dataset(source) or isinstance(source, IterableDataset):
        return False
    try:
        first: Any = source[0]  # type: ignore[index]
    except Exception:  # it is the user's code; reading all samples will report the error
        return False
    return isinstance(first, tuple) and isinstance(first[0], Image)


def _read_labels(source: Any) -> Any:
    """Return the labels of a data set; torchvision stores them apart, so no image is opened."""
    targets = getattr(source, "targets", None)
    with explain_errors("samples that are pairs of an image and a label", "correct the data set"):
        return [source[row][1] for row in range(len(source))] if targets is None else targets


def _as_files(source: Any, labels: Tensor) -> ImageFiles:
    return ImageFiles(
        labels,
        lambda row: source[row][0],
        lambda row: f"sample {row} of {type(source).__name__}",
        _describe(source, labels),
    )


def _describe(source: Any, labels: Tensor) -> str:
    """Return a text computed from the labels and a hundred images."""
    digest = hashlib.sha256(labels.numpy().tobytes())
    for row in np.linspace(0, len(labels) - 1, min(100, len(labels))).astype(int).tolist():
        digest.update(np.asarray(source[row][0]).tobytes())
    return f"{type(source).__name__} in memory {digest.hexdigest()}"


def _choose(files: ImageFiles, rows: Tensor) -> ImageFiles:
    numbers = rows.tolist()
    return replace(
        files,
        labels=files.labels[rows],
        open_image=lambda row: files.open_image(numbers[row]),
        locate=lambda row: files.locate(numbers[row]),
        source=f"{files.source} {hashlib.sha256(rows.numpy().tobytes()).hexdigest()}",
    )
