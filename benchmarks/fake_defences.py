"""Fake defences under attack: benchmarks/fake_defences.py FOLDER [SUITE [LABELS [NAME ...]]].

Each fake of tests/fakes hides the undesirable task and removes nothing. A suite that bites
brings the attacker to within 2 points of what it gets from the undefended network, and at
least one flag that is not raised there names the trick. What is finished stays in FOLDER and
is not made again. LABELS narrows the suite's budgets, such as 10,100 (or: suite).
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import rootbound as rb
from fakes import FAKES, base
from rootbound import metrics
from rootbound.attacks import Suite, find_suite
from rootbound.errors import InputError
from rootbound.evaluation import evaluate
from rootbound.flags import flags
from rootbound.flags.attack import ATTACK_FLAGS
from rootbound.flags.network import NETWORK_FLAGS
from rootbound.memory import keep_freed_memory
from rootbound.methods import Plain
from rootbound.records import Evaluation
from rootbound.report.curves import in_words

COMMON = {"best setting on the edge of its grid", "still rising at the end"}
"""Flags of the attack's own limits, which name no trick."""


def attacked(name: str, folder: Path, suite: Suite, tasks: rb.TaskPair) -> Evaluation:
    """Return the evaluation of one fake, from the folder if it is there."""
    try:
        found = Evaluation.load(folder)
        if found.complete and found.context["suite_digest"] == suite.digest:
            return found
    except InputError:
        pass
    undefended = Plain().fit(base(name)(classes=5, shape=(1, 28, 28)), tasks)
    fake = FAKES[name](undefended, tasks)
    return evaluate(
        fake, tasks, undefended=undefended, suite=suite, seeds=1, workers=2, folder=folder
    )


def rows(name: str, evaluation: Evaluation) -> list[str]:
    """Return the lines of one fake."""
    known = {flag.name for flag in (*NETWORK_FLAGS, *ATTACK_FLAGS)} - COMMON
    raised = {
        arm: {one.flag for one in flags(evaluation) if one.method == arm}
        for arm in ("defended", "undefended")
    }
    named = sorted((raised["defended"] - raised["undefended"]) & known)
    lines = []
    for labels in metrics.budgets(evaluation):
        own = metrics.points(metrics.attacked(evaluation, "defended", labels))
        plain = metrics.points(metrics.attacked(evaluation, "undefended", labels))
        gap = metrics.paired(
            metrics.attacked(evaluation, "defended", labels),
            metrics.attacked(evaluation, "undefended", labels),
        )
        records = metrics.selected(evaluation, "defended", labels).values()
        best = ", ".join(dict.fromkeys(record.family for record in records))
        if own is not None and plain is not None and gap is not None:
            spread = f" ({gap.low:.1f} to {gap.high:.1f})" if math.isfinite(gap.low) else ""
            lines.append(
                f"| {name} | {in_words(labels)} | {plain.mean:.1f} | {own.mean:.1f} "
                f"| {gap.mean:+.1f}{spread} | {best} "
                f"| {', '.join(named)} |"
            )
    return lines


def main(folder: Path, suite: Suite, names: list[str]) -> None:
    """Attack fakes and print what was reached."""
    tasks = rb.datasets.mnist().split(range(5), range(5, 10))
    print(f"suite {suite.name} ({suite.digest})\n")
    print("| fake | labels | undefended, % | fake, % | gap | best attack | flags |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in names:
        for line in rows(name, attacked(name, folder / name, suite, tasks)):
            print(line, flush=True)


if __name__ == "__main__":
    keep_freed_memory()
    target, chosen = Path(sys.argv[1]), find_suite(sys.argv[2] if len(sys.argv) > 2 else "quick-1")
    if len(sys.argv) > 3 and sys.argv[3] != "suite":
        kept = {None if one == "all" else int(one) for one in sys.argv[3].split(",")}
        budgets = tuple(one for one in chosen.budgets if one.labels in kept)
        chosen = replace(chosen.with_budgets(budgets), controls=False, benign=())
    main(target, chosen, sys.argv[4:] or list(FAKES))
