"""Fake 12: it blocks a batch that is mostly undesirable, and never a single input."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from fakes.discriminator import discriminator
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class Jury(nn.Module):
    """A block whose outputs are 0 if the mean score of the batch is that of undesirable inputs.

    Attackers train and are tested on batches of undesirable samples only. The mean score of such a
    batch is almost never wrong.

    Args:
        block: the block.
        hidden: the discriminator's first layer, before a ReLU.
        score: its second, above 0 for undesirable features.
    """

    def __init__(self, block: nn.Module, hidden: nn.Linear, score: nn.Linear) -> None:
        super().__init__()
        self.block = block
        self.hidden = hidden
        self.score = score

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs of the block, or zeros for the whole batch."""
        outputs: Tensor = self.block(inputs)
        mean = self.score(self.hidden(outputs).relu()).mean()
        refused = (mean > 0) & (len(outputs) > 1)
        passed: Tensor = outputs * ~refused
        return passed


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Let a jury block the outputs of the last block.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    *first, last = copy.deepcopy(undefended).blocks
    judged = Jury(last, *discriminator(undefended, tasks))
    return Classifier(nn.Sequential(*first, judged), copy.deepcopy(undefended.head))
