"""Fake defences: each hides the undesirable task, and removes nothing.

Attacks must break them and flags must name them. Every fake takes an undefended model and returns
a disguised one that still does the desirable task. The from-scratch arm of a fake is the
undefended network with fresh weights (`base(name)(classes, shape)`). Re-initialising the fake
itself would not do: its gates are code and would stay, and make scratch as weak as the fake.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from fakes import (
    batch_dependent,
    brought_along,
    buried_gate,
    crowd,
    dead_zone,
    decoy,
    detector_switch,
    hidden_sign,
    ill_conditioned,
    integers,
    looks_back,
    nan_trap,
    one_by_one,
    opaque_gate,
    other_copies,
    out_of_sight,
    permuted_head,
    poisoned_batch_norm,
    samples_last,
    saturated_head,
    shared_weights,
    some_sizes,
    tiny_gradients,
    train_mode_only,
    unbalanced_layers,
    unused_buffers,
)
from fakes.bases import batch_norm_cnn
from rootbound.data import TaskPair
from rootbound.networks import Classifier, shallow_cnn

Fake = Callable[[Classifier, TaskPair], Classifier]


class Base(Protocol):
    """A function that builds a network with fresh weights."""

    __name__: str

    def __call__(self, classes: int, shape: tuple[int, int, int], seed: int = 0) -> Classifier:
        """Return the network."""


FAKES: dict[str, Fake] = {
    "ill_conditioned_1e4": partial(ill_conditioned.fake, condition=1e4),
    "ill_conditioned_1e6": partial(ill_conditioned.fake, condition=1e6),
    "dead_zone": dead_zone.fake,
    "poisoned_batch_norm": poisoned_batch_norm.fake,
    "unbalanced_layers": unbalanced_layers.fake,
    "saturated_head": saturated_head.fake,
    "tiny_gradients": tiny_gradients.fake,
    "nan_trap": nan_trap.fake,
    "permuted_head": permuted_head.fake,
    "opaque_gate": opaque_gate.fake,
    "detector_switch": detector_switch.fake,
    "train_mode_only": train_mode_only.fake,
    "batch_dependent": batch_dependent.fake,
    "unused_buffers": unused_buffers.fake,
    "decoy": decoy.fake,
    "out_of_sight": out_of_sight.fake,
    "one_by_one": one_by_one.fake,
    "samples_last": samples_last.fake,
    "crowd": crowd.fake,
    "brought_along": brought_along.fake,
    "looks_back": looks_back.fake,
    "some_sizes": some_sizes.fake,
    "buried_gate": buried_gate.fake,
    "shared_weights": shared_weights.fake,
    "soft_switch": partial(shared_weights.fake, sharpness=shared_weights.SOFT),
    "integers": integers.fake,
    "hidden_sign": hidden_sign.fake,
    "other_copies": other_copies.fake,
}


def base(name: str) -> Base:
    """Return the function that builds the undefended network of a fake."""
    return batch_norm_cnn if name == "poisoned_batch_norm" else shallow_cnn


__all__ = ["FAKES", "Fake", "base"]
