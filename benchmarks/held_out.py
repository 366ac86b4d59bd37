"""Some of the training samples in the test set's place, to choose settings by."""

from __future__ import annotations

from torch import Tensor

from rootbound.datasets import Dataset


def held_out(full: Dataset, learned: Tensor, judged: Tensor) -> Dataset:
    """Return the data set with some of its training samples, and others as the test set.

    Args:
        full: the data set, whose own test samples are left out.
        learned: places of what is learned from.
        judged: places of what takes the test set's place.
    """
    front, back = full.train.select(learned), full.train.select(judged)
    return Dataset(f"{full.name}, held out", full.classes, front, back, full.vocabulary)
