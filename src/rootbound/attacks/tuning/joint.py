"""Fine-tuning on the undesirable task that keeps the desirable one alive."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional

from rootbound.attacks.base import Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.attacks.tuning.fine_tune import FineTune
from rootbound.attacks.tuning.optimisers import Update
from rootbound.core.errors import InputError
from rootbound.core.fields import PositiveFloat, check
from rootbound.data import Batch
from rootbound.networks import Classifier


@dataclass(frozen=True)
class JointTune(FineTune):
    """Descend `loss(undesirable) + retain * cross-entropy(desirable)` with a head for each.

    A defence that destroys itself destroys what it does well first: an attacker who goes on
    training that has nothing to fear. The head for the desirable task is the given one.
    Against coupled gradients, as in SEAM (2025, https://arxiv.org/abs/2505.12186).

    Args:
        retain: weight of the desirable loss, above 0.

    Raises:
        InputError: only some of the layers are to be trained; desirable samples would have to
            pass through the frozen ones.
    """

    retain: PositiveFloat = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check(self)
        if self.layers is not None:
            raise InputError("layers=None for JointTune", str(self.layers), "use FineTune")

    @property
    def needs(self) -> tuple[str, ...]:
        """What the attacker must hold besides labels."""
        return ("desirable",)

    @property
    def family(self) -> str:
        """What is retrained."""
        return "all layers, both tasks"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the model after every step; the head for the desirable task is left out."""
        assert attacker.desirable is not None  # it is needed
        model = self._started(model, attacker)
        given = _given_head(model, attacker)
        parameters = [*self.trained_parameters(model), *given.parameters()]
        update = Update(parameters, self.optimiser, self.learning_rate, self.weight_decay)
        batches = zip(
            attacker.batches(self.batch_size),
            attacker.desirable.batches(self.batch_size, attacker.steps, attacker.generator),
            strict=True,
        )
        for step, (batch, wanted) in enumerate(batches, start=1):
            model.train()
            changed = self._augmented(batch, model.classes, attacker)

            def loss(changed: tuple[Tensor, Tensor] = changed, wanted: Batch = wanted) -> Tensor:
                kept = functional.cross_entropy(given(model.backbone(wanted[0])), wanted[1])
                return self._loss(model, changed) + self.retain * kept

            update(loss, self._factor(step - 1, attacker.steps))
            yield Snapshot(step, model)


def _given_head(model: Classifier, attacker: Attacker) -> nn.Linear:
    """Return a copy of the head that the model came with, or a fresh one."""
    if attacker.given_head is not None:
        return copy.deepcopy(attacker.given_head).requires_grad_(True)
    assert attacker.desirable is not None
    classes = int(attacker.desirable.labels.max()) + 1
    return model.with_head(classes, attacker.seed()).head
