"""SOPHON: the gains of a simulated attacker are suppressed at every step of its fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from rootbound.core import progress
from rootbound.core.fields import PositiveFloat, PositiveInt, Range, Share
from rootbound.data import Data, TaskPair
from rootbound.methods.base import AfterTraining
from rootbound.methods.shared.batches import hold_out
from rootbound.methods.shared.trajectory import (
    OptimiserName,
    Step,
    cross_entropy,
    suppression_loss,
    trajectory_gradient,
)
from rootbound.networks import Classifier
from rootbound.training import accuracy


@dataclass(frozen=True)
class SOPHON(AfterTraining):
    """Alternate fine-tuning suppression (FTS) with normal training reinforcement (NTR).

    FTS: with `phi_k` the weights after the k-th step of an attacker who fine-tunes from
    `theta`, Adam descends `mean_k S(phi_k)` to first order. NTR: another Adam descends the
    desirable `CE(theta)`. S is the paper's `inverse`, `-log(1 - p_y)`, or its `uniform`,
    `KL(1/C || p)`; or `negated`, `CE(-logits, y)`, which the code's `CE(1 - logits, y)` equals.

    Paper: J. Deng et al., "SOPHON: Non-Fine-Tunable Learning to Restrain Task Transferability
    for Pre-trained Models", IEEE S&P 2024, https://arxiv.org/abs/2404.12699.
    Differs from the paper: every trajectory has a fresh head, since the undesirable classes may be
    others. When the desirable accuracy is below its bound, the last weights above it are restored
    and both Adams start anew; the code checks the whole test set after every step, and stops.
    Rates are for small networks and fewer steps: the paper has 800 steps, an attacker at 1e-4 with
    batches of 150, and Adams at 3e-4 and 5e-4 with one NTR step each.

    Args:
        recipe: How long and how fast to learn the desirable task; NTR takes batches of its size.
        suppression: S.
        outer_steps: Steps of FTS.
        attack_steps: K, the steps of a simulated attack.
        attack_optimiser: Optimiser of the simulated attacker.
        attack_rate: Learning rate of the simulated attacker.
        attack_batch_size: Undesirable samples in a step of the attacker, at least 2; a tenth of
            them is for S.
        suppression_rate: Learning rate of FTS's Adam.
        reinforcement_rate: Learning rate of NTR's Adam.
        reinforcement_steps: Steps of NTR after each step of FTS.
        clip: The largest norm of FTS's gradient.
        check_every: Outer steps between two checks of the desirable accuracy.
        checked: Desirable training samples held out from NTR for these checks.
        allowed_drop: Largest allowed drop of this accuracy, from 0 to 1.

    Raises:
        InputError: A value is out of range.
    """

    suppression: Literal["inverse", "negated", "uniform"] = "inverse"
    outer_steps: PositiveInt = 250
    attack_steps: PositiveInt = 50
    attack_optimiser: OptimiserName = "sgd"
    attack_rate: PositiveFloat = 0.03
    attack_batch_size: Annotated[int, Range(at_least=2)] = 32
    suppression_rate: PositiveFloat = 3e-3
    reinforcement_rate: PositiveFloat = 2e-3
    reinforcement_steps: PositiveInt = 10
    clip: PositiveFloat = 0.5
    check_every: PositiveInt = 10
    checked: PositiveInt = 1000
    allowed_drop: Share = 0.01

    def defend(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Alternate the two, and end with weights that keep the desirable accuracy."""
        checked, retained = hold_out(tasks.desirable.train, self.checked, generator)
        roll_back = RollBack(model, checked, self.allowed_drop)
        suppressing, reinforcing = self._make_optimisers(model)
        with progress.step("SOPHON", self.outer_steps) as shown:
            for step in range(1, self.outer_steps + 1):
                model.train()
                self.suppress(model, tasks, suppressing, generator)
                for batch in self.recipe.batches(retained, self.reinforcement_steps, generator):
                    reinforcing.zero_grad(set_to_none=True)
                    cross_entropy(model, *batch).backward()
                    reinforcing.step()
                reinforcing.zero_grad(set_to_none=True)
                due = step % self.check_every == 0 or step == self.outer_steps
                if due and not roll_back.check():
                    suppressing, reinforcing = self._make_optimisers(model)
                shown.advance()

    def suppress(
        self, model: Classifier, tasks: TaskPair, optimiser: Optimizer, generator: torch.Generator
    ) -> None:
        """Take one step of FTS: simulate an attack, and descend its suppression loss."""
        head = nn.Linear(model.head.in_features, len(tasks.undesirable.classes))
        steps = self._steps(Classifier(model.backbone, head), tasks.known_undesirable, generator)
        shared = _list_trained_parameters(model.backbone)
        network = nn.ModuleList([model.backbone, head])
        gradients = trajectory_gradient(
            network, shared, steps, self.attack_optimiser, self.attack_rate
        )
        for parameter, gradient in zip(shared, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(shared, self.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def _steps(
        self, attacked: Classifier, known: Data, generator: torch.Generator
    ) -> Iterator[Step]:
        batches = self.recipe.batches(known, self.attack_steps, generator, self.attack_batch_size)
        for inputs, labels in batches:
            # At least two, because BatchNorm fails with one.
            cut = min(max(2, len(labels) // 10), len(labels) - 1)
            yield (
                partial(cross_entropy, attacked, inputs[cut:], labels[cut:]),
                partial(self._judge, attacked, inputs[:cut], labels[:cut]),
            )

    def _judge(self, attacked: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        return suppression_loss(self.suppression, attacked(inputs), labels) / self.attack_steps

    def _make_optimisers(self, model: Classifier) -> tuple[Adam, Adam]:
        suppressing = Adam(
            _list_trained_parameters(model.backbone), self.suppression_rate, fused=True
        )
        return suppressing, Adam(
            _list_trained_parameters(model), self.reinforcement_rate, fused=True
        )


class RollBack:
    """Keeps the last weights with which a model was accurate enough.

    Args:
        model: The model; it is checked in evaluation mode.
        checked: Samples that it is checked on.
        allowed_drop: Largest allowed drop of the accuracy on them from its present value, in
            [0, 1].
    """

    def __init__(self, model: Classifier, checked: Data, allowed_drop: float) -> None:
        self.model, self.checked = model, checked
        self.bound = accuracy(model, checked) - allowed_drop
        self.weights = copy.deepcopy(model.state_dict())

    def check(self) -> bool:
        """Keep the weights if they are accurate enough, else restore the last that were."""
        accurate = accuracy(self.model, self.checked) >= self.bound
        if accurate:
            self.weights = copy.deepcopy(self.model.state_dict())
        else:
            self.model.load_state_dict(self.weights)
        return accurate


def _list_trained_parameters(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]
