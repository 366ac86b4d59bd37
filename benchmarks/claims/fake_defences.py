"""Fake defences under attack.

python -m benchmarks.claims.fake_defences FOLDER [SUITE [LABELS [NAME ...]]]

Each fake in tests/fakes hides the undesirable task and removes nothing. A suite is strong enough if
it brings the attacker to within 2 points of what the undefended network gives, and if at least one
flag that the undefended network does not raise names the trick. An interrupted run goes on in
FOLDER. LABELS narrows the suite's budgets, such as 10,100; `suite` leaves them as they are.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import rootbound as rb
from fakes import FAKES, base
from rootbound import metrics
from rootbound.core.memory import keep_freed_memory
from rootbound.evaluation import evaluate
from rootbound.flags import flags
from rootbound.flags.attack import ATTACK_FLAGS
from rootbound.flags.behaviour import BEHAVIOUR_FLAGS
from rootbound.flags.network import NETWORK_FLAGS
from rootbound.methods import Plain
from rootbound.records import Evaluation
from rootbound.report.cells import in_words
from rootbound.suites import Suite, find_suite

COMMON = {"best setting on the edge of its grid", "still rising at the end"}
"""Flags of the attack's own limits, which name no trick."""
TELLING = (*NETWORK_FLAGS, *BEHAVIOUR_FLAGS, *ATTACK_FLAGS)


def attack_fakes(names: list[str], folder: Path, suite: Suite, tasks: rb.TaskPair) -> Evaluation:
    """Attack the fakes of one base network, which share the undefended arm and the scratch arm."""
    undefended = Plain().fit(base(names[0])(classes=5, shape=(1, 28, 28)), tasks)
    fakes = {name: FAKES[name](undefended, tasks) for name in names}
    return evaluate(
        fakes, tasks, undefended=undefended, suite=suite, seeds=1, workers=2, folder=folder
    )


def make_rows(name: str, evaluation: Evaluation) -> list[str]:
    """Return the rows of the table for one fake."""
    known = {flag.name for flag in TELLING} - COMMON
    raised = {
        method: {raising.flag for raising in flags(evaluation) if raising.method == method}
        for method in (name, "undefended")
    }
    named = sorted((raised[name] - raised["undefended"]) & known)
    lines = []
    for labels in metrics.budgets(evaluation):
        own = metrics.points(metrics.attacked(evaluation, name, labels))
        plain = metrics.points(metrics.attacked(evaluation, "undefended", labels))
        gap = metrics.paired(
            metrics.attacked(evaluation, name, labels),
            metrics.attacked(evaluation, "undefended", labels),
        )
        best = ", ".join(metrics.strongest_families(evaluation, name, labels))
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
    print("| fake | labels | undefended, % | fake, % | gap | strongest attacks | flags |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for together, members in groupby(names, key=base):
        own = list(members)
        evaluation = attack_fakes(own, folder / together.__name__, suite, tasks)
        for line in (line for name in own for line in make_rows(name, evaluation)):
            print(line, flush=True)


if __name__ == "__main__":
    keep_freed_memory()
    target, chosen = Path(sys.argv[1]), find_suite(sys.argv[2] if len(sys.argv) > 2 else "quick-2")
    if len(sys.argv) > 3 and sys.argv[3] != "suite":
        wanted = {None if word == "all" else int(word) for word in sys.argv[3].split(",")}
        budgets = tuple(budget for budget in chosen.budgets if budget.labels in wanted)
        chosen = replace(chosen.with_budgets(budgets), controls=False, benign=())
    main(target, chosen, sorted(sys.argv[4:] or FAKES, key=lambda name: base(name).__name__))
