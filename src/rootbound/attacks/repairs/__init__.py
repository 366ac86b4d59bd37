"""Tier R: the network is changed first, or met in another way than by its gradient."""

from rootbound.attacks.repairs.repair import Repair, Repaired
from rootbound.attacks.repairs.shrink_and_perturb import ShrinkAndPerturb

REPAIRS: dict[str, type[Repair]] = {repair.__name__: repair for repair in (ShrinkAndPerturb,)}

__all__ = ["REPAIRS", "Repair", "Repaired", "ShrinkAndPerturb"]
