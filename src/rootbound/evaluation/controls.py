"""Arms that no defender has a part in: what an attacker gets without the weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from torch import nn

from rootbound.evaluation.jobs import Contender
from rootbound.models import Classifier, shallow_cnn

RAW_INPUTS = "raw inputs"
SMALL_NET = "small net"


def controls(model: Classifier, shape: Sequence[int]) -> list[Contender]:
    """Return the control arms for a model.

    Random weights of a small network, for images and where the model is not that network
    itself: an attacker need not take the architecture it is offered. And the inputs
    themselves, for probes: features that are worth less than those are worth nothing.

    Args:
        model: what is defended.
        shape: of one sample.
    """
    found = []
    if model.architecture != "shallow_cnn" and len(shape) == 3:
        # Images too small for it have no such arm.
        with contextlib.suppress(RuntimeError):
            small = shallow_cnn(model.classes, (shape[0], shape[1], shape[2]))
            found.append(Contender("scratch", SMALL_NET, small))
    inputs = nn.Sequential(nn.Flatten())
    head = nn.Linear(math.prod(shape), model.classes)
    found.append(Contender("control", RAW_INPUTS, Classifier(inputs, head)))
    return found
