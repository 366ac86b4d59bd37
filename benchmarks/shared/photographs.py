"""CIFAR-10 and what is trained on it, the same in every benchmark of photographs."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.shared.settings import vary
from rootbound.data import Augmentation
from rootbound.methods import METHODS, BestResponse, GenericFeatures, Method, Plain
from rootbound.training import Recipe

CLASSES = {
    "animals": ((2, 3, 4, 5, 6, 7), (0, 1, 8, 9)),
    "half": ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9)),
}
"""Desirable and undesirable classes."""
RANDOM, CLOTHES = "random weights", "features of clothes"


def list_published(epochs: int, augmentation: Augmentation) -> dict[str, Method]:
    """Return every method by name, at its own peak rate, for so many passes over the images."""
    methods = [kind() for kind in METHODS.values()]
    return {
        type(method).__name__: replace(
            method, recipe=replace(method.recipe, epochs=epochs, augmentation=augmentation)
        )
        for method in methods
    }


def list_variants(epochs: int, fashion: str, side: int = 32) -> dict[str, Method | None]:
    """Return the methods to train, by name; None stands for weights that stay random.

    Args:
        epochs: Passes over the desirable images, for every method.
        fashion: The folder of Fashion-MNIST, from which the control learns its features.
        side: Pixels of an image's side; images are shifted by up to a tenth of it.
    """
    augmentation = Augmentation(shift=round(side / 10), flip=True)
    recipe = Recipe(epochs, learning_rate=1e-2, augmentation=augmentation)
    ours = BestResponse(recipe)
    return {
        **list_published(epochs, augmentation),
        "Plain": Plain(recipe),
        RANDOM: None,
        CLOTHES: GenericFeatures(replace(recipe, epochs=3), fashion),
        "BestResponse": ours,
        "last block only": vary(ours, first_weight=0.0, depth_weight=0.0),
        "first weight 10": vary(ours, first_weight=10.0),
        "first weight 10, depth weight 0.6": vary(ours, first_weight=10.0, depth_weight=0.6),
        "first weight 10, depth weight 5": vary(ours, first_weight=10.0, depth_weight=5.0),
        "depth weight 5": vary(ours, depth_weight=5.0),
        "depth weight 10": vary(ours, depth_weight=10.0),
        "nothing spared": vary(ours, spared=0.0),
        "weight 0.3": vary(ours, weight=0.3),
        "weight 0.05": vary(ours, weight=0.05, finishing_weight=30.0),
    }
