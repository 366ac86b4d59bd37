"""Flags about a comparison: signs that it shows no difference, or is not fair."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator

from rootbound.flags.flag import Case, Flag, with_labels
from rootbound.metrics import attacked


def _find_spread(case: Case) -> Iterator[str]:
    if case.training.arm != "defended" or case.undefended is None:
        return
    methods = case.training.method, case.undefended.training.method
    for labels in case.screened():
        own, usual = (attacked(case.evaluation, method, labels) for method in methods)
        if len(own) < 2 or not usual:
            continue
        spread = 100 * statistics.stdev(own.values())
        effect = 100 * (statistics.fmean(usual.values()) - statistics.fmean(own.values()))
        things = "seeds" if len({model for model, _ in own}) == len(own) else "draws of labels"
        if spread > abs(effect):
            compared = "less" if effect >= 0 else "more"
            yield (
                f"{abs(effect):.1f} points {compared} than undefended {with_labels(labels)}, "
                f"with a deviation of {spread:.1f} between {len(own)} {things}"
            )


def _find_fewer_finished(case: Case) -> Iterator[str]:
    method = case.training.method
    # Small networks and raw inputs have another architecture, and so get other trials.
    if case.training.arm not in ("defended", "undefended") and method != "scratch":
        return
    finished = Counter(
        record.method
        for record in case.evaluation.records
        if (record.arm in ("defended", "undefended") or record.method == "scratch")
        and (record.seed, record.stage, record.task)
        == (case.training.seed, "screen", "undesirable")
        and record.error is None
    )
    for other, most in finished.most_common(1):
        if finished[method] < 0.98 * most:
            yield f"{finished[method]} finished trials, {other} has {most}"


def _find_desirable_lost(case: Case) -> Iterator[str]:
    if case.undefended is None:
        return
    accuracy = case.training.desirable_accuracy
    usual = case.undefended.training.desirable_accuracy
    if accuracy is not None and usual is not None and accuracy < usual - 0.01:
        yield f"{100 * accuracy:.2f} % on the desirable task, undefended {100 * usual:.2f} %"


COMPARISON_FLAGS = (
    Flag(
        "seed spread above the effect",
        "the standard deviation of the attacker's accuracy over seeds is larger than its "
        "difference from the undefended model",
        "the comparison cannot tell the defended model from the undefended one",
        "use more seeds, or claim nothing with these labels",
        _find_spread,
        once=True,
    ),
    Flag(
        "fewer finished trials",
        "fewer than 98 % as many screening trials finished as on another arm with the same seed",
        "the arms were not attacked equally hard",
        "find out why trials fail or do not apply; compare only trials that all arms got",
        _find_fewer_finished,
    ),
    Flag(
        "desirable accuracy lost",
        "desirable accuracy is over 1 point below the undefended model's",
        "a network that has learned nothing resists every attack, and that is no defence",
        "weaken the defence until desirable accuracy is kept, and compare again",
        _find_desirable_lost,
    ),
)
