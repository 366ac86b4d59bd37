"""The given head as it is, with its outputs under other names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional

from rootbound.attacks.base import Attack, Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.core.errors import InputError
from rootbound.networks import Classifier
from rootbound.records import Tier


@dataclass(frozen=True)
class ReassignHead(Attack):
    """Give each class one of the given head's outputs, so that they fit the labels best.

    `max sum_c mean_{x in c} log softmax(given(x))[p(c)]` over assignments p of classes to
    different outputs (H. Kuhn, "The Hungarian Method", 1955). Nothing is trained: what this
    reaches, the network knew before. Against heads whose outputs are quietly permuted.
    """

    tier: ClassVar[Tier] = "repair"

    @property
    def family(self) -> str:
        """What is changed."""
        return "outputs of the given head, reassigned"

    def trained_blocks(self, model: Classifier) -> int:
        """Return 0: the network is frozen."""
        return 0

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the best assignment, once.

        Raises:
            InputError: there is no given head with at least one output a class.
        """
        given = attacker.given_head
        if given is None or given.out_features < model.classes:
            raise InputError(
                f"a given head of at least {model.classes} outputs",
                "none" if given is None else str(given.out_features),
                "leave this attack out",
            )
        features, labels = attacker.train.batch(slice(None))
        with torch.no_grad():
            scores = functional.log_softmax(given(features).double(), dim=1)
            members = functional.one_hot(labels, model.classes).double()
            fit = members.T @ scores / members.sum(dim=0).clamp_min(1.0).unsqueeze(1)
            _, outputs = linear_sum_assignment(fit.cpu().numpy(), maximize=True)
            chosen = torch.from_numpy(outputs).to(labels.device)
            model.head.weight.copy_(given.weight[chosen])
            model.head.bias.copy_(given.bias[chosen] if given.bias is not None else 0.0)
        yield Snapshot(0, model)
