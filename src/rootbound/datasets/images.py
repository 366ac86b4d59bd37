"""Reading images of any file format into tensors of one kind."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from rootbound.core import progress
from rootbound.core.errors import InputError, take_first_line
from rootbound.datasets.cache import Part, collect
from rootbound.datasets.dataset import Dataset, Layout, build_dataset
from rootbound.datasets.pixels import IN_WORDS, Change, Kind, Picture, read_pixels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFiles:
    """Images with their classes, which are read one by one.

    Args:
        labels: The class of each.
        open_image: Opens the image with a given number.
        locate: Describes where that image is, for errors.
        source: A text that changes whenever the images do.
    """

    labels: Tensor
    open_image: Callable[[int], AbstractContextManager[Image]]
    locate: Callable[[int], str]
    source: str


@dataclass(frozen=True)
class _Stack:
    images: Tensor
    labels: Tensor
    changes: Tensor
    left_out: int


class _OtherKindError(Exception):
    """An image does not fit the kind so far; the argument is a kind that fits all images."""


def build_from_images(
    name: str,
    classes: tuple[str, ...],
    parts: tuple[ImageFiles, ImageFiles],
    layout: Layout,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Return a data set of images, with remarks on how they were converted.

    All become RGB if one is, else grey. All become bytes, or 16-bit numbers if one has these, or
    floating point.

    Args:
        name: The name in reports.
        classes: The name of each class.
        parts: Training images, and test images.
        layout: Whether to leave out images that cannot be read, with a remark; and how much may be
            in memory.
        remarks: Further remarks on the data.

    Raises:
        InputError: There are none, one cannot be read, or one has another size than the first.
    """
    kind: Kind | None = None
    while True:
        try:
            first = _stack(parts[0], kind, (), layout)
            stacks = first, _stack(parts[1], kind, tuple(first.images.shape[2:]), layout)
            break
        except _OtherKindError as found:
            (kind,) = found.args
    assert kind is not None  # the first image said so
    conversion = "; ".join([*_describe_changes(stacks), *remarks])
    train, test = ((stack.images, stack.labels) for stack in stacks)
    return build_dataset(name, classes, train, test, divisor=kind.divisor, conversion=conversion)


def _stack(files: ImageFiles, kind: Kind | None, size: tuple[int, ...], layout: Layout) -> _Stack:
    """Return images `(N, C, H, W)` of one kind and one size; by default those of the first image.

    Raises:
        _OtherKindError: One of them is of another kind.
    """
    count = len(files.labels)

    def read() -> Iterator[Part]:
        expected = size
        with progress.step("images", count) as reading:
            for number in range(count):
                picture = _read(files, number, kind, layout)
                reading.advance()
                if picture is None:
                    continue
                expected = expected or picture.values.shape[1:]
                if picture.values.shape[1:] != expected:
                    raise InputError(
                        f"images of {expected} pixels, as the first one",
                        f"{picture.values.shape[1:]} at {files.locate(number)}",
                        "resize them",
                    )
                values = torch.from_numpy(picture.values.copy())[None]
                yield values, torch.tensor([[number, picture.changes]])

    source = f"{files.source} {kind} {layout.skip_unreadable}"
    images, rows = collect(count, read(), source, layout)
    numbers, changes = rows.unbind(1)
    return _Stack(images, files.labels[numbers], changes, count - len(numbers))


def _read(files: ImageFiles, number: int, kind: Kind | None, layout: Layout) -> Picture | None:
    """Return an image as the given kind; None where it cannot be read and may be left out."""
    try:
        with files.open_image(number) as image:
            picture = read_pixels(image)
        wider = picture.kind if kind is None else kind.join(picture.kind)
    except Exception as error:  # a damaged file may fail in any way
        reason = take_first_line(error, 120)
        if layout.skip_unreadable:
            log.warning("left out the image at %s: %s", files.locate(number), reason)
            return None
        raise InputError(
            f"a readable image at {files.locate(number)}",
            reason,
            "remove or replace it, or pass `skip_unreadable`",
        ) from None
    if wider != kind:
        raise _OtherKindError(wider)
    return picture.written_as(wider)


def _describe_changes(stacks: Sequence[_Stack]) -> list[str]:
    """Describe each conversion, with the number of images."""
    counts = Counter[Change]()
    for stack in stacks:
        for change in IN_WORDS:
            counts[change] += int((stack.changes & change > 0).sum())
    left_out = sum(stack.left_out for stack in stacks)
    total = sum(len(stack.images) for stack in stacks)
    texts = [f"{counts[change]} of {total} images {IN_WORDS[change]}" for change in +counts]
    return [*texts, *([f"{left_out} images left out that cannot be read"] if left_out else [])]
