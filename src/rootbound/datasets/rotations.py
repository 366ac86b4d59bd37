"""A harmless third task out of any square images: which way up they are."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from rootbound.data import Data, Task
from rootbound.datasets.cache import changed


def rotations(task: Task, seed: int = 0) -> Task | None:
    """Return the task to tell by how many quarter turns an image has been turned.

    S. Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations",
    2018. Each image comes once, turned at random.

    Args:
        task: whose images are taken; its labels are not.
        seed: of the turns.

    Returns:
        The task, or None where samples are no square images.
    """
    shape = task.train.shape
    if len(shape) != 3 or shape[1] != shape[2]:
        return None
    generator = torch.Generator().manual_seed(seed)
    train, test = (_turned(data, generator) for data in (task.train, task.test))
    names = ("upright", "a quarter", "a half", "three quarters")
    return Task(f"which way up {task.name} is", names, train, test)


def _turned(data: Data, generator: torch.Generator) -> Data:
    turns = torch.randint(4, (len(data),), generator=generator)

    def turn(part: Tensor, place: slice) -> Tensor:
        outputs = part.clone()
        for quarter in (1, 2, 3):
            chosen = turns[place] == quarter
            outputs[chosen] = torch.rot90(part[chosen], quarter, dims=(2, 3))
        return outputs

    what = f"turned by {hashlib.sha256(turns.numpy().tobytes()).hexdigest()}"
    return replace(data, inputs=changed(data.inputs, data.shape, turn, what), labels=turns)
