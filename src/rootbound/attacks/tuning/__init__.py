"""Tier F: weights are trained on, all of them or some."""

from rootbound.attacks.tuning.fine_tune import FineTune
from rootbound.attacks.tuning.joint import JointTune
from rootbound.attacks.tuning.partial import LoRA, PartialFineTune

__all__ = ["FineTune", "JointTune", "LoRA", "PartialFineTune"]
