"""A defended method of a run: whether its numbers are reliable, and sentences on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rootbound.flags import Raised, flags
from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.metrics.gain import least_doubt
from rootbound.metrics.gate import RATE
from rootbound.records import Configuration, Evaluation
from rootbound.report.attack_names import describe_attacks
from rootbound.report.cells import in_words
from rootbound.report.doubts import explain_unreliable, say_no_verdict
from rootbound.report.gate import why_not_to_trust
from rootbound.report.head_start import LARGE, Word, is_undecided, judge_head_start

GENERIC = "GenericFeatures"
"""Class of the control that learns from unrelated data; it does not compete with methods."""
UNKNOWN_GAIN = Estimate(0.0, -math.inf, math.inf, 0)
"""What weights add where it was not measured."""


@dataclass(frozen=True)
class Case:
    """One defended method of a run.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        raised: The flags of the evaluation.
    """

    evaluation: Evaluation
    method: str
    raised: Sequence[Raised]

    @cached_property
    def why_unreliable(self) -> list[str]:
        """Why a low advantage means nothing here; empty if the numbers are reliable."""
        return explain_unreliable(self.method, self.raised)

    @cached_property
    def gains(self) -> dict[int | None, Estimate]:
        """The marginal advantage by number of labels, in points."""
        return {
            labels: gain
            for labels in metrics.budgets(self.evaluation)
            if (gain := metrics.marginal_advantage(self.evaluation, self.method, labels))
        }

    @cached_property
    def unknown(self) -> list[int | None]:
        """Numbers of labels with which no attack finished on every arm."""
        return [one for one in metrics.budgets(self.evaluation) if one not in self.gains]

    @property
    def worst(self) -> tuple[int | None, Estimate] | None:
        """The number of labels with the largest marginal advantage, and that; None if unknown."""
        return max(self.gains.items(), key=lambda pair: pair[1].mean, default=None)

    @cached_property
    def word(self) -> Word:
        """The head start in a word; good news only where the gate could say that a limit holds."""
        if self.why_unreliable:
            return "no verdict"
        word = judge_head_start(self.gains | dict.fromkeys(self.unknown, UNKNOWN_GAIN))
        return "no verdict" if word == "none measured" and self.doubts else word

    @cached_property
    def doubts(self) -> list[str]:
        """Reasons not to rely on good news, whatever the intervals show."""
        reasons = why_not_to_trust(self.evaluation, self.method, self.raised)
        samples = int(self.evaluation.context["undesirable"]["test_samples"])
        means = [gain.mean for gain in self.gains.values()]
        if any(mean + least_doubt(mean, samples, RATE) >= LARGE for mean in means):
            # Draws that are judged on the same samples may agree by chance.
            reasons.append(f"{samples} test samples cannot rule out {LARGE:g} points.")
        return reasons

    @cached_property
    def price(self) -> Estimate | None:
        """Desirable accuracy lost against the undefended model, in points."""
        change = metrics.desirable_change(self.evaluation, self.method)
        return None if change is None else -change

    @cached_property
    def undefended_gain(self) -> Estimate | None:
        """What undefended weights add with the labels with which these add most, in points."""
        plain = metrics.undefended(self.evaluation)
        if plain in (None, self.method) or self.worst is None:
            return None
        return metrics.marginal_advantage(self.evaluation, str(plain), self.worst[0])

    @cached_property
    def largest_undefended_gain(self) -> tuple[int | None, Estimate] | None:
        """The labels with which undefended weights add most, and how much; None where unknown."""
        if self.undefended_gain is None:
            return None
        plain = str(metrics.undefended(self.evaluation))
        known = (
            (labels, metrics.marginal_advantage(self.evaluation, plain, labels))
            for labels in self.gains
        )
        gains = [(labels, gain) for labels, gain in known if gain is not None]
        return max(gains, key=lambda pair: pair[1].mean)

    @cached_property
    def models(self) -> int:
        """How many models of the method there are; of several, intervals are over the models."""
        if metrics.is_given(self.evaluation):
            return 1
        return len({one.seed for one in self.evaluation.trainings if one.method == self.method})

    @property
    def called(self) -> str:
        """The name of the model in a sentence."""
        return "the model" if self.method == "defended" else self.method

    @property
    def kind(self) -> str:
        """The method's class; empty for weights that were given."""
        for training in self.evaluation.trainings:
            if training.method == self.method and isinstance(training.settings, Configuration):
                return training.settings.kind
        return ""

    @cached_property
    def strongest_attacks(self) -> str:
        """The strongest attacks in words, with the labels with which the weights add most."""
        if self.worst is None:
            return ""
        families = metrics.strongest_families(self.evaluation, self.method, self.worst[0])
        return describe_attacks(families, self.kind)

    @property
    def over(self) -> str:
        """What the head start is measured from."""
        has_public = metrics.public(self.evaluation) is not None
        return "the stronger of scratch and the public model" if has_public else "scratch"

    def claim(self) -> str:
        """Return what was measured, or why there is no verdict, as the end of a sentence."""
        if self.why_unreliable:
            return "; ".join(reason.rstrip(".") for reason in self.why_unreliable)
        if self.worst is None:
            return "no attack finished on every arm"
        labels, gain = self.worst
        parts = [
            f"with {in_words(labels)}, where an attacker gains most, it is {signed(gain.mean)} "
            f"points over {self.over} ({_write_interval(gain)}), by {self.strongest_attacks}"
        ]
        if self.undefended_gain is not None:
            parts.append(f"from the undefended weights it is {signed(self.undefended_gain.mean)}")
        if self.price is not None:
            parts.append(describe_price(self.price.mean))
        return "; ".join(parts)

    def lead(self) -> str:
        """Return what the weights are worth, for readers of the first screen."""
        if self.why_unreliable:
            return f"A low number would mean nothing here: {self.claim()}."
        if self.worst is None:
            return "No attack finished on every arm."
        labels, gain = self.worst
        fresh = "random ones"
        if metrics.public(self.evaluation) is not None:
            fresh = "the stronger of random ones and the public model"
        said = (
            f"At best, with {in_words(labels)}, attackers who start from these weights instead of "
            f"{fresh} {_gain_or_lose(gain)} of accuracy "
            f"({'' if math.isinf(gain.low) else '95 % interval of the gain: '}"
            f"{_write_interval(gain)})."
        )
        if self.largest_undefended_gain is None:
            return said
        labels, gain = self.largest_undefended_gain
        beside = f"From the undefended weights they {_gain_or_lose(gain)}, with {in_words(labels)}."
        return f"{said} {beside}"

    def why_no_verdict(self) -> str:
        """Return why there is no verdict although numbers are reliable; empty if there is one."""
        if self.why_unreliable or self.worst is None or self.word == "large":
            return ""
        if self.unknown:
            return f"With {in_words(self.unknown[0])} no attack finished on every arm."
        undecided = {labels: gain for labels, gain in self.gains.items() if is_undecided(gain)}
        if not undecided:
            but = " ".join(self.doubts)
            return f"The intervals alone would say 'none measured', but {but}" if but else ""
        labels, gain = max(undecided.items(), key=lambda pair: pair[1].high - pair[1].low)
        if math.isinf(gain.low):
            return "One draw of labels shows no spread: further draws may give another number."
        values = f"{self.models} seeds" if self.models > 1 else f"{gain.seeds} draws"
        return (
            f"With {in_words(labels)} the {values} differ so much that the head start may be "
            f"anything from {signed(gain.low)} to {signed(gain.high)} points."
        )

    def sentence(self, *, named: bool) -> str:
        """Return the verdict in one sentence; with the method's name where there are several."""
        name = self.method if named else ""
        if self.why_unreliable or self.worst is None:
            return say_no_verdict([self.claim()], on=name)
        said = f"Head start{f' of {name}' if named else ''}: {self.word}; {self.claim()}"
        if self.word != "no verdict" or not (why := self.why_no_verdict()):
            return f"{said}."
        return f"{said}; {why[0].lower()}{why[1:]}"


def find_cases(evaluation: Evaluation) -> list[Case]:
    """Return the defended methods of a run."""
    raised = flags(evaluation)
    arms = {training.method: training.arm for training in evaluation.trainings}
    return [Case(evaluation, name, raised) for name, arm in arms.items() if arm == "defended"]


def choose_best(cases: Sequence[Case]) -> Case | None:
    """Return the method whose weights add least: a reliable one and no control, if there is one."""

    def order(case: Case) -> tuple[bool, bool, float]:
        is_unknown = bool(case.why_unreliable) or case.worst is None
        least = math.inf if case.worst is None else case.worst[1].mean
        return is_unknown, case.kind == GENERIC, least

    return min(cases, key=order, default=None)


def describe_price(price: float) -> str:
    """Say what the defence costs: desirable accuracy lost against the undefended model."""
    lost = round(price, 2) + 0.0
    if lost < 0:
        return f"desirable accuracy is {-lost:.2f} points above that of the undefended model"
    return f"the price is {lost:.2f} points of desirable accuracy"


def signed(value: float) -> str:
    """Return points as `+0.4`."""
    return f"{round(value, 1) + 0.0:+.1f}"


def _gain_or_lose(gain: Estimate) -> str:
    points = round(gain.mean, 1)
    return f"{'gain' if points >= 0 else 'lose'} {abs(points):.1f} points"


def _write_interval(value: Estimate) -> str:
    if math.isinf(value.low):
        return "one draw, so no interval"
    return f"{round(value.low, 1) + 0.0:.1f} to {round(value.high, 1) + 0.0:.1f}"
