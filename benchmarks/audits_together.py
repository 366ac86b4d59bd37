"""Audits of several models, made in the same way: one row for each arm, means over the models.

python benchmarks/audits_together.py AUDIT AUDIT ...

AUDIT: a folder that `rootbound audit` wrote. Every audit is of one model, so an interval over its
attackers says nothing of other models; here the models are what varies, and differences are paired
within each. Markdown is printed: 95 % t-intervals over models, of accuracies in percent and of the
advantage over scratch in points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from rootbound import metrics
from rootbound.metrics.estimates import Draw, Estimate, estimate
from rootbound.records import EXACT, Evaluation

Measured = Callable[[Evaluation, str], dict[Draw, float]]
"""Of one arm of an audit, for each of its draws."""


def over_models(
    audits: Sequence[Evaluation], arm: str, measured: Measured, beside: str | None = None
) -> Estimate | None:
    """Return the mean over models in percent, or of the difference from another arm in points."""
    values = []
    for audit in audits:
        found = measured(audit, arm)
        if beside is not None:
            others = measured(audit, beside)
            found = {draw: found[draw] - others[draw] for draw in found.keys() & others.keys()}
        if found:
            values.append(100 * fmean(found.values()))
    return estimate(values) if len(values) == len(audits) else None


def attacked_with(labels: int | None, family: str | None = None) -> Measured:
    """Return what measures the strongest attack with so many labels, of a family or of any."""

    def measured(audit: Evaluation, arm: str) -> dict[Draw, float]:
        return metrics.attacked(audit, arm, labels, family)

    return measured


def table(audits: Sequence[Evaluation]) -> list[str]:
    """Return the lines: what each arm keeps, its last layer, and its worth to attackers."""
    budgets = metrics.budgets(audits[0])
    plain = metrics.undefended(audits[0])
    heads = ["model", "desirable, %", "change, points"]
    for labels in budgets:
        called = "all" if labels is None else str(labels)
        heads += [f"exact, {called} labels, %", f"strongest, {called}, %", f"advantage, {called}"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for arm in metrics.methods(audits[0]):
        change = None if plain in (None, arm) else over_models(
            audits, arm, metrics.desirable, plain
        )  # fmt: skip
        cells = [shown(over_models(audits, arm, metrics.desirable)), shown(change, "+.2f")]
        for labels in budgets:
            strongest = attacked_with(labels)
            cells.append(shown(over_models(audits, arm, attacked_with(labels, EXACT))))
            cells.append(shown(over_models(audits, arm, strongest)))
            gain = None if arm == "scratch" else over_models(audits, arm, strongest, "scratch")
            cells.append(shown(gain, "+.1f"))
        lines.append(f"| {' | '.join([arm, *cells])} |")
    return lines


def shown(value: Estimate | None, style: str = ".1f") -> str:
    """Return a mean with its interval, or a dash where there is none."""
    if value is None:
        return "–"
    return f"{value.mean:{style}} ({value.low:{style}} to {value.high:{style}})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audits", nargs="+", type=Path)
    print("\n".join(table([Evaluation.load(folder) for folder in parser.parse_args().audits])))
