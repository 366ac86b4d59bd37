"""Contenders of a comparison: methods to train, given models, and control arms."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

from torch import nn

from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.methods import Method
from rootbound.networks import Classifier, shallow_cnn, small_text
from rootbound.networks.text import bag_of_words
from rootbound.records import Arm
from rootbound.training import seeded

RAW_INPUTS = "raw inputs"
SMALL_NET = "small net"
TAKEN = ("undefended", "public", "scratch", SMALL_NET, RAW_INPUTS)
"""Names of arms, which no model may have."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A method to train with, or given weights.

    Args:
        arm: `defended`, `undefended`, `public`, `scratch` or `control`.
        name: Its name in reports; different for each contender.
        start: The given weights, or the architecture whose weights the seed draws.
        method: Trains from `start`; None where the weights are attacked as they are.
        pretrained: Whether the method trains from the weights of `start`, not from new ones.
    """

    arm: Arm
    name: str
    start: Classifier
    method: Method | None = None
    pretrained: bool = False

    def draw_start(self, seed: int) -> Classifier:
        """Return the model that the contender starts from, with random weights unless given."""
        trained_afresh = self.method is not None and not self.pretrained
        random = trained_afresh or self.arm == "scratch"
        return self.start.reinitialised(seed) if random else self.start


def make_controls(model: Classifier, samples: Data) -> list[Contender]:
    """Return the control arms: what an attacker can use without the weights.

    One is a small network with random weights, unless the model is that network itself: an
    attacker is free to choose another architecture. The other, for probes, is the inputs themselves
    (for texts, the words without their order): features that do worse than raw inputs are worth
    nothing.

    Args:
        model: The defended model.
        samples: Samples of the kind that it takes.
    """
    classes, shape = model.classes, samples.shape
    small: Classifier | None = None
    if samples.tokens:
        small = small_text(classes, shape)
    elif len(shape) == 3:
        with contextlib.suppress(InputError):  # images may be too small for that network
            small = shallow_cnn(classes, (shape[0], shape[1], shape[2]))
    # An attack may rename the outputs of the given head, so its weights must always be the same.
    with seeded(0):
        if samples.tokens:
            raw = bag_of_words(classes)
        else:
            raw = Classifier(nn.Sequential(nn.Flatten()), nn.Linear(math.prod(shape), classes))
    controls = [Contender("control", RAW_INPUTS, raw)]
    if small is not None and small.architecture != model.architecture:
        controls.insert(0, Contender("scratch", SMALL_NET, small))
    return controls
