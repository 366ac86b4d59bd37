"""What happens on the way from desirable to undesirable inputs: does the network jump?"""

from __future__ import annotations

import torch

from rootbound.data import Data
from rootbound.networks import Classifier

PAIRS = 16
"""Pairs of a desirable and an undesirable input."""
CELLS, LEVELS = 16, 2
"""Parts into which the way is cut, and how often the steepest part is cut again."""


@torch.no_grad()
def measure_jump(model: Classifier, undesirable: Data, desirable: Data) -> dict[str, float]:
    """Return how much of the change between the tasks happens within a 256th of the way.

    The way goes in a straight line from a desirable to an undesirable input. It is cut into 16
    parts, and the part in which the last features change most is cut into 16 again. Over such a
    short part an ordinary network changes little. A hard switch turns somewhere on the way, and
    the features jump, wherever the switch is and whatever it switches. The median over pairs
    counts.

    Args:
        model: The network in evaluation mode.
        undesirable: Inputs of the undesirable task.
        desirable: Inputs of the desirable task.

    Returns:
        The share of the change; nothing for tokens, which have no values in between, and if inputs
        have different shapes or features never change.
    """
    starts, ends = (data.subset(PAIRS).batch(slice(None))[0] for data in (desirable, undesirable))
    pairs = min(len(starts), len(ends))
    if not starts.is_floating_point() or starts.shape[1:] != ends.shape[1:]:
        return {}
    starts, ends = starts[:pairs], ends[:pairs]
    begins, length = torch.zeros(pairs, 1, dtype=torch.float64), 1.0
    whole = steepest = torch.zeros(pairs, dtype=torch.float64)
    for level in range(LEVELS):
        places = begins + length * torch.linspace(0.0, 1.0, CELLS + 1, dtype=torch.float64)
        shape = (pairs, CELLS + 1, *[1] * (starts.dim() - 1))
        shares = places.view(shape).to(starts)
        inputs = torch.lerp(starts.unsqueeze(1), ends.unsqueeze(1), shares)
        features = torch.cat([model.features(some) for some in inputs])
        rows = features.nan_to_num(0.0, 0.0, 0.0).double().cpu().view(pairs, CELLS + 1, -1)
        changes = rows.diff(dim=1).norm(dim=2)
        if not level:
            whole = changes.sum(1)
        steepest, part = changes.max(1)
        length /= CELLS
        begins = begins + length * part.unsqueeze(1)
    moved = whole > 0
    if not bool(moved.any()):
        return {}
    return {"jump_between_tasks": min(1.0, float((steepest / whole)[moved].median()))}
