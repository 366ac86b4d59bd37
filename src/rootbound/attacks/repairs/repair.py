"""Repairs: changes to a network before it is attacked, and the attack that follows one."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from rootbound.attacks.base import Attack, Snapshot
from rootbound.attacks.budget import Attacker
from rootbound.core.fields import check
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.computed import fold_computed_weights
from rootbound.records import Tier
from rootbound.training import predict


@dataclass(frozen=True)
class Repair(ABC):
    """A change to a network that may undo what hinders an attack.

    Subclasses are frozen dataclasses and write `repair`.
    """

    tier: ClassVar[Tier] = "repair"
    """`control` if no attacker could do it; such trials do not count as attacks."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What the attacker must have besides labels: `desirable`, `unlabelled` or `sibling`."""
    loads_compiler: ClassVar[bool] = False
    """Whether it uses an optimiser that makes torch load its compiler, which takes seconds."""

    def __post_init__(self) -> None:
        check(self)

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there is something to change."""
        return True

    @abstractmethod
    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the changed network.

        Args:
            model: The network with the head that it came with. It may be changed in place. The head
                should still fit afterwards if the change allows it.
            attacker: The samples and other resources that the repair may use.
        """


@dataclass(frozen=True)
class Repaired(Attack):
    """Any attack, on a network that has been repaired first.

    Args:
        repair: The change.
        attack: The attack that follows it.
    """

    repair: Repair
    attack: Attack

    @property
    def tier(self) -> Tier:  # type: ignore[override]
        """The tier of the repair."""
        return self.repair.tier

    @property
    def needs(self) -> tuple[str, ...]:
        """What the attacker must have besides labels."""
        return (*self.repair.needs, *self.attack.needs)

    @property
    def loads_compiler(self) -> bool:
        """Whether the repair or the attack loads torch's compiler."""
        return self.repair.loads_compiler or self.attack.loads_compiler

    @property
    def family(self) -> str:
        """The repair, and what is retrained after it."""
        return f"{type(self.repair).__name__}, then {self.attack.family}"

    def applies_to(self, model: Classifier) -> bool:
        """Return whether both make sense for the network."""
        return self.repair.applies_to(model) and self.attack.applies_to(model)

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        """Yield the models that the attack makes of the repaired network."""
        given = attacker.given_head
        head = model.head if given is None else copy.deepcopy(given)
        # Computed weights become ordinary ones first, so that repairs can change them.
        plain = Classifier(fold_computed_weights(model.backbone), head, fresh=model.fresh)
        repaired = self.repair.repair(plain, attacker)
        if repaired.head.in_features == model.head.in_features:
            start = Classifier(repaired.backbone, model.head)
        else:
            start = repaired.with_head(model.classes, attacker.seed())
        frozen, rest = self.attack.cut(start, attacker.train)
        if self.attack.cut_key(start) != len(start.blocks):
            rest = rest.with_head(model.classes, attacker.seed())
        # What earlier trials found out is about the given network, not the repaired one.
        equipped = replace(attacker, given_head=None if given is None else repaired.head, known={})
        if list(frozen.children()):
            seen, train = predict(frozen, attacker.train).clone(), attacker.train
            features = Data(seen, train.labels, stratified=train.stratified)
            equipped = replace(equipped, train=features)
        for snapshot in self.attack.transfer(rest, equipped):
            yield replace(snapshot, model=nn.Sequential(frozen, snapshot.model))


@dataclass(frozen=True)
class Restart(Repair):
    """Change nothing: the attack that follows runs again with other random numbers.

    The harness seeds every trial by its settings, and `number` is one of them. Validation chooses
    among the restarts, as among any settings.

    Args:
        number: Number of the restart.
    """

    number: int = 1

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network as it is."""
        return model
