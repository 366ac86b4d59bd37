"""Flags: what in an evaluation may not mean what it seems to mean; pure functions of records.

A flag is no verdict. Those about a network name tricks that hide the undesirable task instead
of removing it; they compare with the undefended model where there is one, so that an ordinary
network raises none.
"""

from __future__ import annotations

from rootbound.flags.attack import ATTACK_FLAGS
from rootbound.flags.comparison import COMPARISON_FLAGS
from rootbound.flags.flag import Case, Flag, Raised
from rootbound.flags.network import NETWORK_FLAGS
from rootbound.records import Evaluation

FLAGS: tuple[Flag, ...] = (*NETWORK_FLAGS, *ATTACK_FLAGS, *COMPARISON_FLAGS)


def flags(evaluation: Evaluation) -> list[Raised]:
    """Return what is raised, model by model, in the order of `FLAGS`."""
    raised, seen = [], set()
    for training in evaluation.trainings:
        if training.arm == "control":
            continue
        case, first = Case(evaluation, training), training.method not in seen
        seen.add(training.method)
        for flag in FLAGS:
            evidence = "; ".join(flag.check(case)) if first or not flag.once else ""
            if evidence:
                seed = None if flag.once else training.seed
                raised.append(Raised(flag.name, training.method, seed, evidence))
    return raised


def table() -> str:
    """Return all flags as a table in Markdown."""
    lines = ["| flag | raised if | means | do this |", "|---|---|---|---|"]
    lines += [
        f"| **{one.name}** | {one.raised_if} | {one.means} | {one.do_this} |" for one in FLAGS
    ]
    return "\n".join(lines) + "\n"


__all__ = ["FLAGS", "Case", "Flag", "Raised", "flags", "table"]
