"""Flags: warnings that a number of an evaluation may not mean what it seems to mean.

A flag is not a verdict. It is computed from the records alone. Flags about a network name tricks
that hide the undesirable task instead of removing it. They compare the network with the undefended
model where there is one, so that an ordinary network raises none.
"""

from __future__ import annotations

from rootbound.flags.attack import ATTACK_FLAGS
from rootbound.flags.behaviour import BEHAVIOUR_FLAGS
from rootbound.flags.comparison import COMPARISON_FLAGS
from rootbound.flags.flag import Case, Flag, Raised
from rootbound.flags.network import NETWORK_FLAGS
from rootbound.flags.scope import ONE_BLOCK, SCOPE_FLAGS, SCRATCH_FLAGS
from rootbound.records import Evaluation

FLAGS: tuple[Flag, ...] = (
    *NETWORK_FLAGS, *BEHAVIOUR_FLAGS, *ATTACK_FLAGS, *COMPARISON_FLAGS, *SCOPE_FLAGS,
)  # fmt: skip


def flags(evaluation: Evaluation) -> list[Raised]:
    """Return the raised flags, model by model, in the order of `FLAGS`."""
    raised, methods = [], set()
    for training in evaluation.trainings:
        if training.arm == "control":
            continue
        case, is_first = Case(evaluation, training), training.method not in methods
        methods.add(training.method)
        is_public = training.arm == "public"
        for flag in FLAGS:
            is_asked = (is_first or not flag.once) and (flag.of_public or not is_public)
            evidence = "; ".join(flag.check(case)) if is_asked else ""
            if evidence:
                seed = None if flag.once else training.seed
                raised.append(Raised(flag.name, training.method, seed, evidence))
    return raised


def table() -> str:
    """Return all flags as a table in Markdown."""
    lines = ["| flag | raised if | means | do this |", "|---|---|---|---|"]
    lines += [
        f"| **{flag.name}** | {flag.raised_if} | {flag.means} | {flag.do_this} |" for flag in FLAGS
    ]
    return "\n".join(lines) + "\n"


__all__ = [
    "BEHAVIOUR_FLAGS",
    "FLAGS",
    "NETWORK_FLAGS",
    "ONE_BLOCK",
    "SCRATCH_FLAGS",
    "Case",
    "Flag",
    "Raised",
    "flags",
    "table",
]
