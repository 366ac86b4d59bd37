"""Loading data of any kind in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rootbound import datasets
from rootbound.core.errors import InputError, unknown_name_error
from rootbound.data import Scaling
from rootbound.datasets import Dataset, HashedWords, Layout, Tokeniser
from rootbound.datasets.in_memory import InMemory, scaled
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser


def load_data(
    source: object,
    test: object | None = None,
    *,
    classes: Sequence[str] | str | None = None,
    scaling: Scaling | None = None,
    tokeniser: Callable[[], Tokeniser] | str = HashedWords,
    name: str = "data",
    **layout: Any,
) -> Dataset:
    """Return a labelled data set, whose `split` makes the tasks.

    `tasks = rb.load_data("photos/").split("cat,dog", "person,bird")`.

    Args:
        source: A path (a folder of images, an `.npz` file, a table), `mnist`, or `hf:NAME` on the
            hub; or data in memory: a pair `(images, labels)` of arrays or tensors, whose labels may
            be names; a data set of torch, a `DataLoader`, or a data set of the library `datasets`.
            Floating-point data in memory are not scaled; bytes are scaled by mean and deviation of
            the training samples.
        test: Test samples for a `source` in memory without any; if left out, a share of each class
            is held out.
        classes: Names of the classes, by label, for a `source` in memory: `"cat,dog"`.
        scaling: How inputs are scaled instead, such as in the network's training.
        tokeniser: Tokeniser for texts: that of a model of `transformers`, `hf:NAME`.
        name: The name in reports, for a `source` in memory.
        layout: Settings of `rb.datasets.Layout` that the data do not say themselves, such as
            `holdout=0.3` or `skip_unreadable=True`.

    Raises:
        InputError: There are no such data, they cannot be read, or an option does not fit them.
    """
    settings = _read_layout(layout)
    if not isinstance(scaling, Scaling | None):
        raise InputError(
            "a rootbound.Scaling", repr(scaling), "write for example rb.Scaling(255, 0.5, 0.5)"
        )
    if isinstance(tokeniser, str):
        tokeniser = partial(pretrained_tokeniser, tokeniser.removeprefix(PRETRAINED))
    if isinstance(source, Path | str):
        if test is not None or classes is not None:
            raise InputError(
                "test samples and names of classes for data in memory",
                f"the path {str(source)!r}",
                "leave them out: the files say both",
            )
        data = datasets.load(source, tokeniser=tokeniser, layout=settings)
    else:
        with torch.device("cpu"):
            content = InMemory(source, test, classes, name, settings).read()
            data = datasets.as_dataset(content, tokeniser, settings)
    return data if scaling is None else scaled(data, scaling)


def _read_layout(given: dict[str, Any]) -> Layout:
    known = [part.name for part in fields(Layout)]
    for name in given:
        if name not in known:
            raise unknown_name_error("setting of the layout", name, known)
    return Layout(**given)
