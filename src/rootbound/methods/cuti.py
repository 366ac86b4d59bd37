"""CUTI: undesirable samples are made to fail, also in the style of desirable ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.fields import PositiveFloat, PositiveInt
from rootbound.data import Batch, TaskPair
from rootbound.methods.base import Method
from rootbound.methods.shared.batches import draw_pairs
from rootbound.methods.shared.trained_heads import TrainedHeads
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise

FLATTEST = 1e-5
"""Added to a channel's variance under the root, so that the gradient is finite at 0."""


@dataclass(frozen=True)
class CUTI(Method):
    """Compact un-transferable isolation domain: undesirable content in desirable style fails too.

    Loss: `L_S - min(beta, alpha * L_T)`, the cross-entropies of desirable and undesirable
    samples. In every second step the undesirable half `h_t` of a block's outputs becomes
    `h_t * sigmoid(A d_s) + sigmoid(B m_s)`, with deviation `d_s` and mean `m_s` of each channel
    over the places of a desirable sample, behind every block that has places.

    Paper: L. Wang, M. Wang, D. Zhang, H. Fu, "Model Barrier: A Compact Un-Transferable
    Isolation Domain for Model Intellectual Property Protection", CVPR 2023,
    https://arxiv.org/abs/2303.11078, Eq. 2 to 6.
    Differs from the paper: the undesirable classes have a head of their own, which keeps learning.
    A and B are trained with the network; the code draws them anew in every step and never
    trains them (`style="random"`). Adam under a one-cycle rate. The paper's alpha is 0.1.

    Args:
        recipe: How long and how fast to train.
        undesirable_batch_size: Undesirable samples in a step.
        alpha: Weight of the undesirable loss.
        beta: Upper bound of the undesirable term.
        style: Whether A and B are `learned`, or `random` and drawn anew in each step.
        head_steps: Steps that the head takes before a step of the network.
        head_rate: Learning rate of the head.

    Raises:
        InputError: A value is out of range.
    """

    changes_inputs = True  # it restyles outputs of blocks, which for texts contain a mask

    recipe: Recipe = Recipe(learning_rate=1e-2)
    undesirable_batch_size: PositiveInt = 128
    alpha: PositiveFloat = 0.1
    beta: PositiveFloat = 1.0
    style: Literal["learned", "random"] = "learned"
    head_steps: PositiveInt = 5
    head_rate: PositiveFloat = 1e-2

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Descend the loss, every second time with undesirable samples restyled."""
        width, classes = model.head.in_features, len(tasks.undesirable.classes)
        heads = TrainedHeads([width], classes, self.head_rate)
        styles = make_restylings(model, tasks.desirable.train.shape)
        steps = self.recipe.steps(len(tasks.desirable.train))
        turns = itertools.cycle([{}, styles])

        def loss(pair: tuple[Batch, Batch], _: float) -> Tensor:
            if self.style == "random":
                for restyling in styles.values():
                    restyling.draw_anew()
            return self.loss(model, heads, next(turns), *pair)

        trained = [model, *(styles.values() if self.style == "learned" else ())]
        minimise(
            nn.ModuleList(trained),
            loss,
            draw_pairs(self.recipe, tasks, steps, self.undesirable_batch_size, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="CUTI",
        )

    def loss(
        self,
        model: Classifier,
        heads: TrainedHeads,
        styles: dict[int, Restyling],
        desirable: Batch,
        undesirable: Batch,
    ) -> Tensor:
        """Return the loss of two batches, restyled after the given blocks."""
        (inputs, wanted), (others, labels) = desirable, undesirable
        outputs, count = torch.cat([inputs, others]), len(wanted)
        for position, block in enumerate(model.blocks):
            outputs = block(outputs)
            if position in styles:
                own, unwanted = outputs[:count], outputs[count:]
                outputs = torch.cat([own, styles[position](unwanted, own)])
        own, unwanted = outputs[:count], outputs[count:]
        heads.learn([unwanted], labels, self.head_steps)
        erring = heads.losses([unwanted], labels)[0]
        task = functional.cross_entropy(model.head(own), wanted)
        return task - (self.alpha * erring).clamp_max(self.beta)


class Restyling(nn.Module):
    """`h * sigmoid(A d) + sigmoid(B m)`: d, m are other samples' channel deviations and means.

    Args:
        channels: C, the channels of the feature maps; A and B are `(C, C)`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.deviation = nn.Linear(channels, channels, bias=False)
        self.mean = nn.Linear(channels, channels, bias=False)

    def forward(self, outputs: Tensor, style: Tensor) -> Tensor:
        """Return outputs `(N, C, ...)` in the style of others `(M, C, ...)`, which take turns."""
        flat = style.flatten(2)[torch.arange(len(outputs)) % len(style)]
        deviation = (flat.var(2, correction=0) + FLATTEST).sqrt()
        shape = (*outputs.shape[:2], *[1] * (outputs.dim() - 2))
        factor, shift = self.deviation(deviation).sigmoid(), self.mean(flat.mean(2)).sigmoid()
        restyled: Tensor = outputs * factor.view(shape) + shift.view(shape)
        return restyled

    def draw_anew(self) -> None:
        """Give A and B fresh random values."""
        self.deviation.reset_parameters()
        self.mean.reset_parameters()


def make_restylings(model: Classifier, shape: tuple[int, ...]) -> dict[int, Restyling]:
    """Return a `Restyling` for each block whose outputs are feature maps, by its position.

    Args:
        model: The network; it is run in evaluation mode to see its outputs.
        shape: Shape of a sample.
    """
    restylers: dict[int, Restyling] = {}
    was_training = model.training
    model.eval()
    outputs = torch.zeros(1, *shape)
    with torch.no_grad():
        for position, block in enumerate(model.blocks):
            outputs = block(outputs)
            if outputs.dim() > 2:
                restylers[position] = Restyling(outputs.shape[1])
    model.train(was_training)
    return restylers
