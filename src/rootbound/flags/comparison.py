"""Flags about a comparison: signs that arms are not told apart, or not on equal terms."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from rootbound.flags.flag import Case, Flag, with_labels
from rootbound.metrics import attacked
from rootbound.records import Record


def _spread(case: Case) -> Iterator[str]:
    if case.training.arm != "defended" or case.undefended is None:
        return
    method, other = case.training.method, case.undefended.training.method
    for labels in case.screened():
        found, usual = (
            list(attacked(case.evaluation, name, labels).values()) for name in (method, other)
        )
        if len(found) < 2 or not usual:
            continue
        spread = 100 * statistics.stdev(found)
        effect = 100 * (statistics.fmean(usual) - statistics.fmean(found))
        if spread > abs(effect):
            yield (
                f"{effect:+.1f} points less than undefended {with_labels(labels)}, "
                f"with a deviation of {spread:.1f} between {len(found)} seeds"
            )


def _fewer_finished(case: Case) -> Iterator[str]:
    most: dict[str, int] = {}
    for record in case.evaluation.records:
        same_network = record.arm in ("defended", "undefended") or record.method == "scratch"
        if same_network and record.seed == case.training.seed and _counts(record):
            most[record.method] = most.get(record.method, 0) + 1
    method = case.training.method
    other = max(most, key=lambda name: most[name], default=method)
    compared = case.training.arm in ("defended", "undefended") or method == "scratch"
    mine = most.get(method, 0)
    if compared and mine < 0.98 * most.get(other, 0):
        yield f"{mine} finished trials, {other} has {most[other]}"


def _counts(record: Record) -> bool:
    return record.task == "undesirable" and record.stage == "screen" and record.error is None


def _desirable_lost(case: Case) -> Iterator[str]:
    if case.undefended is None:
        return
    accuracy = case.training.desirable_accuracy
    usual = case.undefended.training.desirable_accuracy
    if accuracy is not None and usual is not None and accuracy < usual - 0.01:
        yield f"{100 * accuracy:.2f} % on the desirable task, undefended {100 * usual:.2f} %"


COMPARISON_FLAGS = (
    Flag(
        "seed spread above the effect",
        "comparison",
        "the attacker's accuracy deviates more between seeds than it differs from undefended",
        "the comparison does not tell the two apart",
        "use more seeds, or claim nothing with these labels",
        _spread,
        once=True,
    ),
    Flag(
        "fewer finished trials",
        "comparison",
        "less than 98 % as many screening trials finished as on another arm with the same seed",
        "the arms were not attacked equally hard",
        "find out why trials fail or do not apply; compare only what all arms were given",
        _fewer_finished,
    ),
    Flag(
        "desirable accuracy lost",
        "comparison",
        "over 1 point of desirable accuracy less than undefended",
        "a network that does nothing well resists everything: collapse is not defence",
        "weaken the defence until the desirable task is kept, and compare again",
        _desirable_lost,
    ),
)
