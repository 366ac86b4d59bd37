"""Samples held out to be judged on, where a data set has no part for that."""

from __future__ import annotations

import torch
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.datasets.dataset import Layout

SHARE = 0.2
"""Share of each class that is held out where nobody names another."""


def refuse_holdout(layout: Layout, test: str) -> None:
    """Raise an `InputError` where a share is to be held out although there is a test part."""
    if layout.holdout is not None and "holdout" not in layout.optional:
        raise InputError("no `holdout`, for there is a test part", test, "leave `holdout` out")


def hold_out(
    labels: Tensor, classes: tuple[str, ...], layout: Layout
) -> tuple[Tensor, Tensor, str]:
    """Choose samples to hold out: the same share of every class, by a seed that is always the same.

    Args:
        labels: The class of each sample.
        classes: Names of the classes.
        layout: The share.

    Returns:
        Rows to learn from and rows to be judged on, in order, and a word about it.

    Raises:
        InputError: A class has one sample alone.
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
                "add some, or leave the class away",
            )
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held.append(rows[torch.randperm(len(rows), generator=generator)[:count]])
    test = torch.cat(held).sort().values
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[test] = False
    remark = f"{100 * share:g} % of each class held out to be judged on, for there is no test part"
    return kept.nonzero().squeeze(1), test, remark
