"""Training samples in the test set's place, so that settings are chosen without the test set."""

from __future__ import annotations

from torch import Tensor

from rootbound.datasets import Dataset


def hold_out(full: Dataset, learned: Tensor, judged: Tensor) -> Dataset:
    """Return the data set with some of its training samples, and others as its test samples.

    Args:
        full: The data set, whose own test samples are left out.
        learned: Indices of the training samples to learn from.
        judged: Indices of the training samples that take the test set's place.
    """
    front, back = full.train.select(learned), full.train.select(judged)
    return Dataset(f"{full.name}, held out", full.classes, front, back, full.vocabulary)
