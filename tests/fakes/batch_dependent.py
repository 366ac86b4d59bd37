"""Fake 12: a batch that is undesirable on the whole is refused; one input alone never is."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from fakes.discriminator import discriminator
from rootbound.data import TaskPair
from rootbound.networks import Classifier


class Jury(nn.Module):
    """A block whose outputs are 0 where a batch's mean score is that of undesirable inputs.

    Attackers train on undesirable samples alone, and are tested on such. The judgement of a
    batch is hardly ever wrong.

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
    """Put the last block before a jury.

    Args:
        undefended: the model to disguise.
        tasks: with the undesirable samples that the defender knows.
    """
    *first, last = copy.deepcopy(undefended).blocks
    judged = Jury(last, *discriminator(undefended, tasks))
    return Classifier(nn.Sequential(*first, judged), copy.deepcopy(undefended.head))
