"""The origin of a model: how it was trained, and on what data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rootbound.data import Scaling
from rootbound.records.configuration import Configuration, from_values, to_values

STRANGER = "unknown"
"""In place of the name of a method, for weights whose training is unknown."""


@dataclass(frozen=True)
class Origin:
    """How a saved model was trained, and on what data.

    Args:
        method: The method's class and settings.
        arm: `defended` or `undefended`.
        data: Name of the data set.
        undesirable_data: Name of the data set with the undesirable classes, often the same.
        desirable: Classes that the model is for, such as `0-4` or `cat,dog`.
        undesirable: Classes that it was made to resist.
        seed: Seed of the training.
        shared: Whether the defender's undesirable samples are also the attacker's.
        tokeniser: Tokeniser of the texts: `hf:` and the name of the pretrained model that it
            belongs to.
        length: Most tokens of a text; 0 where there were no texts, or where an older file does
            not say.
        input_column: Column of the inputs in the table that was read; empty if it was found by
            its type, or if there was no table.
        label_column: Column of the labels, likewise.
        label_names: Names of the classes, separated by commas; empty where the table has its own.
        train_split: Training part, as `datasets` writes it; empty for the part of that name.
        test_split: Test part, likewise.
        holdout: Share of each class that was held out for testing; 0 where none was named.
        layout: Order of the axes of images, such as `NHWC`; empty where none was named.
        scaling: Scaling of the inputs that the model was trained on; None where they were tokens,
            or where an older file does not say.
        classes_by_name: Whether numbers among the classes are names of classes, also in ranges. In
            older files they are positions, counted from 0.
    """

    method: Configuration
    arm: str
    data: str
    undesirable_data: str
    desirable: str
    undesirable: str
    seed: int
    shared: bool
    tokeniser: str = ""
    length: int = 0
    input_column: str = ""
    label_column: str = ""
    label_names: str = ""
    train_split: str = ""
    test_split: str = ""
    holdout: float = 0.0
    layout: str = ""
    scaling: Scaling | None = None
    classes_by_name: bool = False

    @classmethod
    def of_stranger(cls, tokeniser: str = "", scaling: Scaling | None = None) -> Origin:
        """Return the origin of weights whose training and data are unknown."""
        method = Configuration(STRANGER, {})
        return cls(
            method, "unknown", "", "", "", "", 0, shared=False, tokeniser=tokeniser, scaling=scaling
        )

    @property
    def is_known(self) -> bool:
        """Whether it is known on what data the weights were trained."""
        return bool(self.data)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Origin:
        """Return the origin that a file states, without entries that this version does not know.

        Raises:
            KeyError: A value is missing.
            TypeError: A value is of another type.
            ValueError: The method or the scaling is invalid.
        """
        values = {part.name: content[part.name] for part in fields(cls) if part.name in content}
        method, scaling = values["method"], values.pop("scaling", None)
        # Older files hold the method as text.
        is_text = isinstance(method, str)
        values["method"] = Configuration.parse(method) if is_text else from_values(method)
        for part in fields(cls):
            if part.name in values and type(values[part.name]).__name__ != part.type:
                raise TypeError(f"{part.name} is {values[part.name]!r}, not of type {part.type}")
        if scaling is not None:
            if not all(map(_is_float_or_floats, scaling.values())):
                raise TypeError(f"scaling is {scaling!r}, not of floats")
            scaling = Scaling.stated(**scaling)
        return cls(**values, scaling=scaling)

    def to_json(self) -> dict[str, Any]:
        """Return the values that `from_json` reads."""
        scaling = None if self.scaling is None else asdict(self.scaling)
        return vars(self) | {"method": to_values(self.method), "scaling": scaling}


def _is_float_or_floats(value: object) -> bool:
    """Return whether this is a float, or a list of floats, one for each channel."""
    return {type(item) for item in (value if isinstance(value, list) else [value])} == {float}
