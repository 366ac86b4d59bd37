"""Arms that no defender has a part in: what an attacker gets without the weights."""

from __future__ import annotations

import contextlib
import math

from torch import nn

from rootbound.data import Data
from rootbound.evaluation.jobs import Contender
from rootbound.networks import Classifier, shallow_cnn, small_text
from rootbound.networks.text import bag_of_words
from rootbound.training import seeded

RAW_INPUTS = "raw inputs"
SMALL_NET = "small net"


def controls(model: Classifier, samples: Data) -> list[Contender]:
    """Return the control arms for a model.

    Random weights of a small network, where the model is not that network itself: an attacker
    need not take the architecture it is offered. And the inputs themselves, of texts the words
    without their order, for probes: features that are worth less than those are worth nothing.

    Args:
        model: what is defended.
        samples: of the kind that it takes.
    """
    small = _small(model.classes, samples)
    found = []
    if small is not None and small.architecture != model.architecture:
        found.append(Contender("scratch", SMALL_NET, small))
    return [*found, Contender("control", RAW_INPUTS, _raw(model.classes, samples))]


def _small(classes: int, samples: Data) -> Classifier | None:
    """Return a small network, None where there is none for samples of that shape."""
    shape = samples.shape
    if samples.tokens:
        return small_text(classes, shape)
    if len(shape) == 3:
        # Images too small for it have no such arm.
        with contextlib.suppress(RuntimeError):
            return shallow_cnn(classes, (shape[0], shape[1], shape[2]))
    return None


def _raw(classes: int, samples: Data) -> Classifier:
    # The head counts for those who give its outputs other names: it is the same in every sitting.
    with seeded(0):
        if samples.tokens:
            return bag_of_words(classes)
        width = math.prod(samples.shape)
        return Classifier(nn.Sequential(nn.Flatten()), nn.Linear(width, classes))
