"""What a user says about files that do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass

from rootbound.core.errors import InputError


@dataclass(frozen=True)
class Layout:
    """Where samples and labels are, and what to do about samples that cannot be read.

    Args:
        inputs: name of the column with images or texts; found by its type when left out.
        label: name of the column with classes; likewise.
        skip_unreadable: leave out images that cannot be read, in place of an error.
        length: tokens of a text at most, at least 1.
        in_memory: GiB of images or tokens that are kept in memory at most, at least 0; a part of
            a data set that is larger is decoded into a file and read from there.
        train_split: what to learn from, as the library `datasets` writes it: `train[:90%]`; the
            part named train when left out.
        test_split: what to be judged on, likewise; the part named test, or validation.
        label_names: of classes that are the numbers from 0 in the column; found when left out.

    Raises:
        InputError: a number is too small, one split is missing, or a name is there twice.
    """

    inputs: str | None = None
    label: str | None = None
    skip_unreadable: bool = False
    length: int = 64
    in_memory: float = 4.0
    train_split: str | None = None
    test_split: str | None = None
    label_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InputError("at least 1 token of a text", str(self.length), "raise it")
        if not self.in_memory >= 0:
            raise InputError("at least 0 GiB in memory", str(self.in_memory), "raise it")
        if (self.train_split is None) != (self.test_split is None):
            raise InputError("--train-split and --test-split", "one of them", "give both")
        if len(set(self.label_names)) != len(self.label_names):
            raise InputError(
                "every name of a class once", ", ".join(self.label_names), "rename one of them"
            )


AS_FOUND = Layout()
"""Columns by their types; every image must be readable."""
