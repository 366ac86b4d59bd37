"""Holding out test samples where a data set has no test part."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.datasets.dataset import Layout

SHARE = 0.2
"""Share of each class that is held out by default."""


def refuse_holdout(layout: Layout, test: str) -> None:
    """Raise an `InputError` where a share should be held out although there is a test part."""
    if layout.holdout is not None and "holdout" not in layout.optional:
        raise InputError("no `holdout`, as there is a test part", test, "leave `holdout` out")


def hold_out(
    labels: Tensor, classes: tuple[str, ...], layout: Layout
) -> tuple[Tensor, Tensor, str]:
    """Choose samples to hold out: the same share of every class, with a fixed seed.

    Args:
        labels: The class of each sample.
        classes: Names of the classes.
        layout: The share.

    Returns:
        Training rows and test rows, both in order, and a remark for the data set's description.

    Raises:
        InputError: A class has only one sample.
    """
    share = SHARE if layout.holdout is None else layout.holdout
    generator = torch.Generator().manual_seed(0)
    held: list[Tensor] = []
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().squeeze(1)
        if len(rows) < 2:
            raise InputError(
                f"at least 2 samples of {classes[label]}, to hold one out",
                "1",
                "add some, or leave the class out",
            )
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    test = torch.cat(held).sort().values
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[test] = False
    remark = f"{100 * share:g} % of each class held out to be judged on, for there is no test part"
    return kept.nonzero().squeeze(1), test, remark
