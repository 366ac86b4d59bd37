"""A section for each model of a run: its head start, its strongest attack, its price."""

from __future__ import annotations

from dataclasses import dataclass

from rootbound.flags import flags
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report.cases import Case, describe_price
from rootbound.report.cells import capitalise
from rootbound.report.first_screen import LOOKS


@dataclass(frozen=True)
class Section:
    """What a report says of one model.

    Args:
        target: Name of the section in the page.
        method: Name of the method.
        word: The head start in a word.
        look: CSS class of the word.
        sentences: Sentences that explain the word.
    """

    target: str
    method: str
    word: str
    look: str
    sentences: tuple[str, ...]


def describe_each(evaluation: Evaluation) -> list[Section]:
    """Return a section for each model that was trained or given, where there are several."""
    raised = flags(evaluation)
    arms = {training.method: training.arm for training in evaluation.trainings}
    names = [name for name, arm in arms.items() if arm in ("defended", "undefended")]
    cases = [Case(evaluation, name, raised) for name in names]
    return [_describe(case) for case in cases] if len(cases) > 2 else []


def find_section(evaluation: Evaluation, method: str) -> str:
    """Return the name of a method's section in the page of a run."""
    return f"method-{metrics.methods(evaluation).index(method) + 1}"


def _describe(case: Case) -> Section:
    said = [case.lead(), case.why_no_verdict()]
    if case.strongest_attacks:
        said.append(f"Strongest attack: {case.strongest_attacks}.")
    if case.price is not None:
        price = describe_price(case.price.mean)
        said.append(f"{capitalise(price)}.")
    names = dict.fromkeys(one.flag for one in case.raised if one.method == case.method)
    said.append(f"Flags: {', '.join(names) or 'none'}.")
    target = find_section(case.evaluation, case.method)
    sentences = tuple(sentence for sentence in said if sentence)
    return Section(target, case.method, case.word, LOOKS[case.word], sentences)
