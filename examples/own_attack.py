"""An attack of your own: subclass Attack, yield models; the harness draws labels and scores."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

import rootbound as rb


@dataclass(frozen=True)
class Perturb(rb.Attack):
    """Shake all weights, then train them: a way out of a bad basin."""

    noise: float = 0.02

    def transfer(self, model: rb.Classifier, attacker: rb.Attacker) -> Iterator[rb.Snapshot]:
        for parameter in model.parameters():
            parameter.data += self.noise * torch.randn(
                parameter.shape, generator=attacker.generator
            )
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        for step, (inputs, labels) in enumerate(attacker.batches(64), start=1):
            optimiser.zero_grad()
            cross_entropy(model(inputs), labels).backward()
            optimiser.step()
            yield rb.Snapshot(step, model)


def suite(steps: int = 100) -> rb.Suite:
    return rb.Suite("mine-1", (Perturb(0.0), Perturb(0.05)), (rb.Budget(100, steps),))
