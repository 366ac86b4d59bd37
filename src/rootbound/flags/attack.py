"""Flags about an attack: signs that a stronger one would have got more out of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rootbound.flags.flag import Case, Flag, best, lead, with_labels
from rootbound.metrics import strongest
from rootbound.records import EXACT, PRACTICAL, Record

GRADIENT_FREE = ("GradientFree", "ReassignHead")
"""Attacks besides the probes that send no gradient through the network."""
BESIDE, ALONE, ALL = 2.0, 5.0, 100.0
"""Points of a lead that count, above the undefended arm's and where there is none; all of them."""


def _margin(first: Sequence[Record], second: Sequence[Record]) -> float | None:
    """Return the lead of the best of some trials over the best of others, in points."""
    one, other = best(first), best(second)
    return lead(one, other) if one is not None and other is not None else None


def _gap(records: Sequence[Record]) -> float | None:
    whitened = [one for one in records if one.family == EXACT and _is_whitened(one)]
    return _margin(whitened, [one for one in records if one.family == PRACTICAL])


def _without_gradient(records: Sequence[Record]) -> float | None:
    free = [one for one in records if one.tier == "probe" or one.attack.kind in GRADIENT_FREE]
    # Repairs are on neither side: they are there for gradients that do not get through.
    tuned = [one for one in records if one.tier == "fine-tuning"]
    if tuned and best(tuned) is None and best(free) is not None:
        return ALL
    return _margin(free, tuned)


def _whitening_gap(case: Case) -> Iterator[str]:
    for labels, gap, known in _unusual(case, _gap):
        yield f"whitening adds {gap:.1f} points {with_labels(labels)}{known}"


def _gradient_beaten(case: Case) -> Iterator[str]:
    for labels, margin, known in _unusual(case, _without_gradient):
        by = "all fine-tuning failed" if margin == ALL else f"by {margin:.1f} points"
        yield f"without gradients more is reached {with_labels(labels)}: {by}{known}"


def _unusual(
    case: Case, measure: Callable[[Sequence[Record]], float | None]
) -> Iterator[tuple[int | None, float, str]]:
    """Yield labels, points and what they are undefended, where a lead is unusually large."""
    usual_records = case.undefended.screened() if case.undefended else {}
    for labels, records in case.screened().items():
        points, usual = measure(records), measure(usual_records.get(labels, []))
        if points is None:
            continue
        if usual is None and points > ALONE:
            yield labels, points, ""
        elif usual is not None and points > BESIDE + max(0.0, usual):
            yield labels, points, f" (undefended: {usual:+.1f})"


def _on_the_edge(case: Case) -> Iterator[str]:
    for labels, records in case.screened().items():
        for tier in dict.fromkeys(record.tier for record in records):
            of_tier = [one for one in records if one.tier == tier and _rate(one) is not None]
            chosen = best(of_tier)
            if chosen is None:
                continue
            grid = [one for one in of_tier if _kind(one) == _kind(chosen)]
            rates = sorted({rate for one in grid if (rate := _rate(one)) is not None})
            rate = _rate(chosen)
            if len(rates) < 3 or rate not in (rates[0], rates[-1]):
                continue
            inner = rates[1] if rate == rates[0] else rates[-2]
            gain = _margin([chosen], [one for one in grid if _rate(one) == inner])
            if gain is None or gain > 1:
                yield (
                    f"{_kind(chosen)[0]} is best at learning rate {rate:g} {with_labels(labels)}, "
                    f"tried from {rates[0]:g} to {rates[-1]:g}"
                )


def _is_whitened(record: Record) -> bool:
    return any(value == "whitened" for _, value in record.attack.leaves())


def _rate(record: Record) -> float | None:
    """Return the learning rate of a trial, None where it has none."""
    rates = (value for path, value in record.attack.leaves() if path[-1] == "learning_rate")
    return next((rate for rate in rates if isinstance(rate, int | float)), None)


def _kind(record: Record) -> tuple[str, ...]:
    """Return what the learning rates of comparable trials have in common."""
    leaves = record.attack.leaves()
    others = (str(value) for path, value in leaves if path[-1] in ("optimiser", "unit"))
    return record.attack.kind, *others


def _still_rising(case: Case) -> Iterator[str]:
    for labels, records in case.screened().items():
        longer = [one for one in case.records if (one.stage, one.labels) == ("longer", labels)]
        tuned = [one for one in records if one.tier in ("fine-tuning", "repair")]
        chosen = best(longer) or best(tuned)
        if chosen is None or len(chosen.test) < 2:
            continue
        gain = 100 * (chosen.test[-1] - max(chosen.test[:-1]))
        if gain > 1:
            yield (
                f"{gain:.1f} points more at step {chosen.steps[-1]} than at any before "
                f"{with_labels(labels)}"
            )


def _failed_trials(case: Case) -> Iterator[str]:
    share = _failed_share(case.records)
    usual = _failed_share(case.undefended.records) if case.undefended else 0.0
    if share > 0.05 and share > usual + 0.05:
        reasons = [one.error for one in case.records if one.error]
        common = max(dict.fromkeys(reasons), key=reasons.count)
        yield f"{len(reasons)} of {len(case.records)} trials failed, most often: {common}"


def _failed_share(records: Sequence[Record]) -> float:
    return sum(one.error is not None for one in records) / max(1, len(records))


def _below_raw_inputs(case: Case) -> Iterator[str]:
    raw = [one for one in case.evaluation.records if one.arm == "control"]
    majority = case.evaluation.context.get("undesirable", {}).get("majority", 0.0)
    for labels, records in case.screened().items():
        chosen = strongest(records)
        if chosen is None or chosen.accuracy is None:
            continue
        without = strongest(
            one for one in raw if (one.labels, one.attacker) == (labels, chosen.attacker)
        )
        bounds = {"the most frequent class": majority - 0.05}
        if without is not None and without.accuracy is not None:
            bounds[without.method] = without.accuracy - 0.01
        for name, bound in bounds.items():
            if chosen.accuracy < bound:
                yield (
                    f"{100 * chosen.accuracy:.1f} % {with_labels(labels)}, "
                    f"clearly less than {name} alone gives"
                )


ATTACK_FLAGS = (
    Flag(
        "whitening gap",
        "attack",
        "the best linear probe of whitened last features beats the best last layer trained in "
        "practice by over 2 points more than undefended, with the same labels (5 where that is "
        "not known)",
        "what is needed is there, but too small for common learning rates: bad conditioning "
        "taken for ignorance",
        "trust the whitened probe; fine-tune from its solution",
        _whitening_gap,
    ),
    Flag(
        "no gradient beats gradient",
        "attack",
        "a probe or a gradient-free attack beats all fine-tuning by over 2 points more than "
        "undefended, with the same labels (5 where that is not known); or all fine-tuning failed",
        "gradients are masked, or fine-tuning was too short or badly tuned",
        "fine-tune from the probe's solution, after repairs, with more steps",
        _gradient_beaten,
    ),
    Flag(
        "best setting on the edge of its grid",
        "attack",
        "the best learning rate of a tier is the lowest or the highest of at least 3 that were "
        "tried, and over 1 point better than the next one",
        "the best learning rate was not tried",
        "widen the grid in that direction, for every arm",
        _on_the_edge,
    ),
    Flag(
        "still rising at the end",
        "attack",
        "the best fine-tuning (the longer run, where there is one) is over 1 point better at its "
        "last checkpoint than at any before",
        "with more steps the attacker gets more",
        "raise the steps, for every arm",
        _still_rising,
    ),
    Flag(
        "failed trials",
        "attack",
        "over 5 % of the trials failed, and 5 points more than undefended",
        "the network breaks attacks (NaN, overflow) and does not withstand them",
        "read the errors; repair the network first, or lower the learning rates, for every arm",
        _failed_trials,
    ),
    Flag(
        "attacker below raw inputs",
        "attack",
        "the strongest attack is over 1 point worse than probes of the raw inputs, or over 5 "
        "points worse than naming the most frequent class",
        "an attacker who ignores the network does better: this attack is broken; where it is "
        "the scratch arm's, scratch is too weak to compare with",
        "do not count this result; look for failed trials, learning rates and gates",
        _below_raw_inputs,
    ),
)
