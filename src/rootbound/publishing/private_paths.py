"""Names of data and models without the places where they lie, which are nobody else's business."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rootbound.networks.hugging_face import PRETRAINED
from rootbound.publishing.checkpoint import Origin

ELSEWHERE = "…/"
"""Before the last part of a path: it is a path on another machine, and nothing is found there."""
QUOTED = re.compile(r"""(?<=['"])[^'"]*[/\\][^'"]*(?=['"])""")
OF_THE_HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def without_place(name: str) -> str:
    """Return the name of data or of a model: of a path the last part, other names as they are."""
    place = name.removeprefix(PRETRAINED)
    prefix = name.removesuffix(place) if place else name
    if prefix and OF_THE_HUB.fullmatch(place) and not Path(place).exists():
        return name
    parts = [part for part in re.split(r"[/\\]", place) if part]
    if "".join(parts) == place:
        return name
    return prefix + ELSEWHERE + "".join(parts[-1:])


def without_places(origin: Origin) -> Origin:
    """Return where a model comes from, with nothing of the machine that it was trained on."""
    return replace(
        origin,
        method=QUOTED.sub(lambda found: without_place(found[0]), origin.method),
        data=without_place(origin.data),
        undesirable_data=without_place(origin.undesirable_data),
        tokeniser=without_place(origin.tokeniser),
    )
