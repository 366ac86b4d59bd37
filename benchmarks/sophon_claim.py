"""SOPHON at small scale: the attacker it simulates is held, one who tunes Adam is not.

python benchmarks/sophon_claim.py [OUT]

MNIST 0-4 | 5-9, `shallow_cnn`, 3 seeds. SOPHON simulates 50 steps of SGD with momentum at one
learning rate, batches of 32. That very attacker is run, and beside it Adam over a grid of rates
chosen on the attacker's validation samples, with as many steps. Records go to OUT, where an
interrupted run goes on; a Markdown table is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import rootbound as rb
from rootbound import metrics
from rootbound.attacks import Budget, FineTune
from rootbound.evaluation import compare
from rootbound.methods import SOPHON, Plain
from rootbound.metrics import Draw
from rootbound.records import Evaluation, Record
from rootbound.report.cells import in_words
from rootbound.suites import Suite

SEEDS, STEPS = 3, 50
SIMULATED = FineTune(None, "kept", "sgd", 0.01, batch_size=32, schedule="constant")
TUNED = tuple(
    FineTune(None, "kept", "adam", rate, batch_size=32, schedule="constant")
    for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
)
SUITE = Suite("simulated and tuned", (SIMULATED, *TUNED), (Budget(100, STEPS), Budget(None, STEPS)))
METHOD = SOPHON(attack_optimiser="momentum", attack_rate=0.01, attack_steps=STEPS)


def reached(evaluation: Evaluation, method: str, labels: int | None) -> list[dict[Draw, float]]:
    """Return accuracies after the simulated attack, and after the Adam that validation prefers."""
    found: list[dict[Draw, float]] = []
    for trials in ((SIMULATED,), TUNED):
        best: dict[Draw, Record] = {}
        for record in evaluation.records:
            own = record.method == method and record.labels == labels
            if own and record.test and record.attack in {repr(trial) for trial in trials}:
                draw = record.seed, record.attacker
                best[draw] = max(best.get(draw, record), record, key=lambda one: one.preference)
        # The simulated attacker stops where SOPHON thinks that it does; the other one chooses.
        last = trials == (SIMULATED,)
        found.append({d: one.test[-1 if last else one.selected] for d, one in best.items()})
    return found


def main(folder: Path) -> None:
    """Run what is missing, and print the table."""
    tasks = rb.datasets.mnist().split(range(5), range(5, 10))
    evaluation = compare(
        [Plain(), METHOD],
        tasks,
        rb.models.shallow_cnn(5),
        suite=SUITE,
        seeds=SEEDS,
        workers=2,
        folder=folder,
    )
    print("| model | desirable, % | labels | the simulated attacker, % | Adam, tuned, % |")
    print("|---|---|---|---|---|")
    for method in metrics.methods(evaluation):
        desirable = metrics.points(metrics.desirable(evaluation, method))
        for labels in metrics.budgets(evaluation):
            cells = [desirable, *map(metrics.points, reached(evaluation, method, labels))]
            shown = [f"{one.mean:.1f} ± {one.mean - one.low:.1f}" if one else "–" for one in cells]
            print(f"| {method} | {shown[0]} | {in_words(labels)} | {shown[1]} | {shown[2]} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "rootbound-sophon"))
