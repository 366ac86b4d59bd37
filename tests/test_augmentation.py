"""Augmentation moves and mirrors whole images, each by itself, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rootbound.attacks.tuning.objective import AugmentationName, augment
from rootbound.core.errors import InputError
from rootbound.data import Augmentation, Data
from rootbound.training import Recipe

IMAGES = torch.rand(40, 2, 6, 7, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def variants(image: Tensor, shift: int, flip: bool) -> list[Tensor]:
    """All that may become of one image, by brute force."""
    height, width = image.shape[1:]
    padded = functional.pad(image.unsqueeze(0), (shift,) * 4, mode="replicate")[0]
    moved = [
        padded[:, down : down + height, right : right + width]
        for down in range(2 * shift + 1)
        for right in range(2 * shift + 1)
    ]
    return moved + [one.flip(2) for one in moved] if flip else moved


@pytest.mark.parametrize(("shift", "flip"), [(0, False), (1, False), (2, True), (0, True)])
def test_each_image_becomes_one_of_its_variants(shift: int, flip: bool) -> None:
    changed = Augmentation(shift, flip)(IMAGES, generator())
    chosen = []
    for before, after in zip(IMAGES, changed, strict=True):
        equal = [torch.equal(after, one) for one in variants(before, shift, flip)]
        assert any(equal)
        chosen.append(equal.index(True))
    possible = (2 * shift + 1) ** 2 * (1 + flip)
    assert len(set(chosen)) > possible / 2, "hardly anything is random"


def test_the_seed_determines_everything() -> None:
    change = Augmentation(1, flip=True)
    assert torch.equal(change(IMAGES, generator(1)), change(IMAGES, generator(1)))
    assert not torch.equal(change(IMAGES, generator(1)), change(IMAGES, generator(2)))


def test_leaves_other_samples_unchanged() -> None:
    table = torch.rand(5, 4)
    assert Augmentation(3, flip=True)(table, generator()) is table


def test_refuses_negative_shifts() -> None:
    with pytest.raises(InputError, match="shift of at least 0"):
        Augmentation(-1)


def test_recipe_changes_batches_but_not_data() -> None:
    data = Data(IMAGES.clone(), torch.arange(40) % 2)
    still = list(Recipe(augmentation=Augmentation()).batches(data, 2, generator(), 10))
    moved = list(Recipe(augmentation=Augmentation(1)).batches(data, 1, generator(), 10))
    assert torch.equal(still[0][1], moved[0][1]), "the order is drawn before anything moves"
    assert not torch.equal(still[0][0], moved[0][0])
    assert torch.equal(data.inputs, IMAGES)


@pytest.mark.parametrize("name", ["shift", "mixup"])
def test_tokens_are_neither_moved_nor_blended(name: AugmentationName) -> None:
    tokens, targets = torch.arange(40).view(8, 5), torch.eye(8)
    found = augment(name, tokens, targets, generator())
    assert torch.equal(found[0], tokens) and torch.equal(found[1], targets)
    images = augment(name, IMAGES, torch.eye(40), generator())
    assert not torch.equal(images[0], IMAGES)
