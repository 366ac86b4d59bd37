"""Names of attacks for people who have not read the code."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rootbound.records import EXACT, PRACTICAL

NAMES = {
    PRACTICAL: "training a new last layer",
    EXACT: "solving a new last layer exactly",
    "all layers": "fine-tuning all layers",
    "all layers, both tasks": "fine-tuning all layers on both tasks",
    "biases only": "fine-tuning the biases",
    "norms only": "fine-tuning the normalisation",
    "low-rank adapters": "fine-tuning low-rank adapters",
    "outputs of the given head, reassigned": "reassigning the outputs of the given head",
}
"""Families by the names that records have for them."""
SHAPES = (
    (r"last (\d+) layers", r"fine-tuning the last \1 layers"),
    (r"first 1 blocks", r"fine-tuning the first block"),
    (r"first (\d+) blocks", r"fine-tuning the first \1 blocks"),
    (r"last 1 layers, without gradients", r"searching the last layer without gradients"),
    (r"last (\d+) layers, without gradients", r"searching the last \1 layers without gradients"),
    (r"probe, 1 before the last block(.*)", r"a probe on the block before the last\1"),
    (r"probe, (\d+) before the last block(.*)", r"a probe \1 blocks before the last\2"),
    (r"probe, random (.+)", r"a probe through random \1"),
    (r"probe, (.+)", r"a probe on \1"),
)
"""Families with a number in them, or with the place that is read: patterns and their words."""
REPAIRS = {
    "BalanceFactors": "multiplying factors out",
    "BalanceLayers": "balancing the layers",
    "BypassGates": "bypassing gates",
    "CutInside": "cutting inside a block",
    "Distil": "distilling into a fresh network",
    "InsertWhitening": "whitening between the layers",
    "Interpolate": "mixing with random weights",
    "LeakyActivations": "making the activations leaky",
    "OpenGates": "holding gates open",
    "Prune": "pruning",
    "RecomputeStatistics": "recomputing the normalisation",
    "ReinitialiseDead": "replacing dead units",
    "ReinitialiseLast": "replacing the last blocks",
    "ResetNorms": "resetting the normalisation",
    "Restart": "starting over",
    "Sanitise": "cleaning its numbers",
    "SelfSupervise": "training it without labels",
    "SeparateClasses": "training it to separate the classes",
    "ShiftBias": "shifting the biases",
    "ShrinkAndPerturb": "shrinking and shaking the weights",
    "Truncate": "cutting off the last blocks",
    "TuneOnDesirable": "training on the desirable task",
}
"""What a repair does to the network, before an attack follows."""
KNOWING = {
    "BestResponse": "SeparateClasses",
    "ConditionNumber": "InsertWhitening",
    "SpectralDeformation": "BalanceFactors",
}
"""For each method, the repair of the attack that knows it (`Method.adaptive_attacks`)."""


def describe_attack(family: str, kind: str = "") -> str:
    """Return a family of attacks in words.

    Args:
        family: Name of the family in records.
        kind: Class of the method that is attacked, if it is one.
    """
    *repairs, last = family.split(", then ")
    if KNOWING.get(kind) in repairs:
        return "the attack that knows the method"
    if KNOWING["BestResponse"] in repairs:  # no suite has it for anything else
        return "the attack made for BestResponse"
    steps = [REPAIRS.get(repair, repair) for repair in repairs]
    return ", then ".join([*steps, _describe_plain(last)])


def describe_attacks(families: Sequence[str], kind: str = "") -> str:
    """Return the strongest family in words, and how many others are as good as it."""
    first, others = describe_attack(families[0], kind), len(families) - 1
    if not others:
        return first
    return f"{first}, and {others} other attack{'s' if others > 1 else ''}"


def _describe_plain(family: str) -> str:
    if family in NAMES:
        return NAMES[family]
    for pattern, words in SHAPES:
        if found := re.fullmatch(pattern, family):
            return found.expand(words)
    return family
