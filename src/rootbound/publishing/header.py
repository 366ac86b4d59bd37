"""The header of a model file: what the weights are for and where they come from.

Published headers do not contain paths of the machine that trained the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.networks.origin import Origin
from rootbound.records.configuration import Text

__all__ = ["ELSEWHERE", "METADATA_KEY", "Header", "Origin", "hide_path", "hide_paths"]
METADATA_KEY = "rootbound"
"""Key of our description in the metadata of a safetensors file."""
ELSEWHERE = "…/"
"""Prefix of the last part of a path on another machine, which does not exist on this one."""
QUOTED_PATH = re.compile(r"""(?<=['"])[^'"]*[/\\][^'"]*(?=['"])""")
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Header:
    """A model file's description of its weights.

    Args:
        architecture: Name of the network in `MODELS`, or `transformers:` and its configuration;
            empty for a network of the user's own.
        classes: Number of classes.
        shape: Shape of the samples that the network was built for.
        origin: Where the model comes from.
    """

    architecture: str
    classes: int
    shape: tuple[int, ...]
    origin: Origin

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Header:
        """Return the header that a file states.

        Raises:
            ValueError: A value is missing, has another type, or is impossible.
        """
        try:
            classes = int(content["classes"])
            if classes < 2:
                raise ValueError(f"{content['classes']} classes")
            origin = Origin.from_json(content["origin"])
            shape = tuple(int(size) for size in content["shape"])
            return cls(str(content["architecture"]), classes, shape, origin)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of a safetensors file that states this."""
        return {METADATA_KEY: json.dumps(vars(self) | {"origin": self.origin.to_json()})}


def hide_path(name: str) -> str:
    """Return the name of data or of a model, with only the last part of a path.

    The paths of files on a machine are private.
    """
    path = name.removeprefix(PRETRAINED)
    prefix = name.removesuffix(path) if path else name
    if prefix and HUB_NAME.fullmatch(path) and not Path(path).exists():
        return name
    parts = [part for part in re.split(r"[/\\]", path) if part]
    if "".join(parts) == path:
        return name
    return prefix + ELSEWHERE + "".join(parts[-1:])


def hide_paths(origin: Origin) -> Origin:
    """Return the origin of a model without paths of the machine that it was trained on."""
    return replace(
        origin,
        method=origin.method.changed(_hide_in_setting),
        data=hide_path(origin.data),
        undesirable_data=hide_path(origin.undesirable_data),
        tokeniser=hide_path(origin.tokeniser),
    )


def _hide_in_setting(value: object) -> object:
    """Return a setting without the path of a file or folder that it names."""
    if isinstance(value, Text):
        return Text(QUOTED_PATH.sub(lambda match: hide_path(match[0]), value.text))
    return hide_path(value) if isinstance(value, str) else value
