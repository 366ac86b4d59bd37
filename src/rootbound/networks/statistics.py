"""The running statistics of BatchNorm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def keeping_statistics(model: nn.Module) -> list[_BatchNorm]:
    """Return the normalisations that keep running statistics."""
    parts = model.modules()
    return [part for part in parts if isinstance(part, _BatchNorm) and part.track_running_stats]


@contextlib.contextmanager
def running_statistics_left(model: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are: in training every batch is scaled by its own alone."""
    keeping = keeping_statistics(model)
    for part in keeping:
        part.track_running_stats = False
    try:
        yield
    finally:
        for part in keeping:
            part.track_running_stats = True
