"""The first screen of a report: the verdict in a word, and the facts needed to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rootbound.flags import FLAGS, Raised
from rootbound.metrics import measures as metrics
from rootbound.records import EXACT, Evaluation
from rootbound.report.cases import Case, choose_best, find_cases
from rootbound.report.cells import capitalise, in_percent, in_words
from rootbound.report.doubts import list_doubts, say_why_nothing
from rootbound.report.flag_groups import rank_flag
from rootbound.report.head_start import MEANINGS, PREAMBLE, Word
from rootbound.report.settings import UNKNOWN_PURPOSE, suite_in_words

LOOKS: dict[Word, str] = {
    "none measured": "none",
    "small": "small",
    "at least small": "small",
    "large": "large",
    "no verdict": "open",
}
"""CSS class of the band for each word."""


@dataclass(frozen=True)
class Fact:
    """One fact about the verdict.

    Args:
        title: What it is.
        text: The answer, in a few words.
        note: The numbers behind the answer.
        target: Section of the page that says more.
    """

    title: str
    text: str
    note: str = ""
    target: str = ""


@dataclass(frozen=True)
class FirstScreen:
    """The content of the first screen.

    Args:
        measured: What was measured.
        heading: Whose head start it is.
        word: The head start in a word.
        look: CSS class of the band.
        sentences: Sentences that explain the word.
        doubts: Why the numbers say less than they seem to.
        facts: Price, strongest attack, last layer, flag.
        others: The names of the other methods, grouped by their words.
        meanings: What the words mean.
    """

    measured: str
    heading: str
    word: str
    look: str
    sentences: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    others: tuple[str, ...] = ()
    meanings: tuple[tuple[str, str], ...] = tuple(MEANINGS.items())
    preamble: str = PREAMBLE


def show_first(evaluation: Evaluation) -> FirstScreen:
    """Return the first screen of a run: about the best of its models, if it has several."""
    cases = find_cases(evaluation)
    best = choose_best(cases)
    if best is None:
        look, nothing = LOOKS["no verdict"], f"{capitalise(say_why_nothing(evaluation))}."
        return FirstScreen(
            describe_measured(evaluation), "Head start", "no verdict", look, (nothing,)
        )
    several = len(cases) > 1
    said = [best.lead(), best.why_no_verdict()]
    every, text = list_doubts(evaluation, best.method, best.raised), " ".join(said)
    return FirstScreen(
        measured=describe_measured(evaluation),
        heading=f"Head start from the weights of {best.method}" if several else "Head start",
        word=best.word,
        look=LOOKS[best.word],
        sentences=tuple(sentence for sentence in said if sentence),
        doubts=tuple(doubt for doubt in every if doubt not in text),
        facts=tuple(_list_facts(best)),
        others=tuple(_describe_others(cases, best)),
    )


def describe_measured(evaluation: Evaluation) -> str:
    """Return what was measured, in a sentence."""
    context = evaluation.context
    desirable, seeds = context["desirable"], context["seeds"]
    purpose = "" if desirable is None else f" that is for {desirable['name']}"
    return (
        f"Attackers tried to turn a model{purpose} to {context['undesirable']['name']}, once from "
        f"its weights and once from random ones (suite {suite_in_words(context)}, {seeds} "
        f"seed{'' if seeds == 1 else 's'})."
    )


def _list_facts(case: Case) -> list[Fact]:
    facts = [_show_price(case), _show_strongest(case), _show_exact(case), _show_flag(case)]
    return [fact for fact in facts if fact is not None]


def _show_price(case: Case) -> Fact:
    evaluation, plain = case.evaluation, metrics.undefended(case.evaluation)
    own = metrics.desirable_accuracy(evaluation, case.method)
    if evaluation.context["desirable"] is None:
        return Fact("Price", "not known", UNKNOWN_PURPOSE)
    if own is None:
        return Fact("Price", "not known", "desirable accuracy was not measured")
    note = f"{evaluation.context['desirable']['name']}: {own.mean:.2f} % right"
    usual = plain and metrics.desirable_accuracy(evaluation, plain)
    if usual is None or usual == "" or case.price is None:
        return Fact("Price", "not known", f"{note}; no undefended model beside it")
    lost, note = round(case.price.mean, 2) + 0.0, f"{note}, undefended {usual.mean:.2f} %"
    text = "none" if lost < 0 else f"{lost:.2f} points"
    return Fact("Price: desirable accuracy lost", text, note)


def _show_strongest(case: Case) -> Fact | None:
    if case.worst is None:
        return None
    labels, _ = case.worst
    arms = {
        "from these weights": case.method,
        "from the undefended": metrics.undefended(case.evaluation),
        "from the public model": metrics.public(case.evaluation),
        "from scratch": "scratch",
    }
    reached = [
        f"{value.mean:.1f} % {words}"
        for words, name in arms.items()
        if name and (value := metrics.points(metrics.attacked(case.evaluation, name, labels)))
    ]
    note = f"with {in_words(labels)}: {', '.join(reached)}"
    return Fact("Strongest attack", case.strongest_attacks, note)


def _show_exact(case: Case) -> Fact | None:
    """Return the fact about a new last layer, with the same for random weights."""
    evaluation = case.evaluation
    labels = metrics.most_labels(evaluation)
    own = metrics.points(metrics.attacked(evaluation, case.method, labels, EXACT))
    if own is None:
        return None
    arms = {"undefended": metrics.undefended(evaluation), "scratch": "scratch"}
    beside = [
        f"{name} {value.mean:.1f} %"
        for name, method in arms.items()
        if method and (value := metrics.points(metrics.attacked(evaluation, method, labels, EXACT)))
    ]
    note = ", ".join([f"with {in_words(labels)}", *beside])
    return Fact("A new last layer, solved exactly", in_percent(own), note)


def _show_flag(case: Case) -> Fact:
    """Return the most important of the flags, and how many others there are."""
    about = (case.method, metrics.public(case.evaluation), "scratch")
    raised = [one for one in case.raised if one.method in about]
    names = list(
        dict.fromkeys(one.flag for one in sorted(raised, key=lambda one: _rank(one, case)))
    )
    if not names:
        return Fact("Flags", "none raised", "nothing suggests that a number means something else")
    first = next(one for one in raised if one.flag == names[0])
    on = "" if first.method == case.method else f" ({first.method})"
    means = next(flag.means for flag in FLAGS if flag.name == first.flag)
    more = len(names) - 1
    further = f". {more} more flag{'s are' if more > 1 else ' is'} below" if more else ""
    return Fact("Most important flag", f"{first.flag}{on}", f"{means}{further}", "flags")


def _rank(one: Raised, case: Case) -> tuple[float, bool]:
    """Return the rank of a flag: flags about the model come first, then those about other arms."""
    is_own = one.method == case.method
    return rank_flag(one.flag) if is_own else math.inf, not is_own


def _describe_others(cases: Sequence[Case], best: Case) -> list[str]:
    """Return the names of the other methods, grouped by their words."""
    words: dict[str, list[str]] = {}
    for case in cases:
        if case is not best:
            words.setdefault(case.word, []).append(case.method)
    return [f"{word} for {', '.join(words[word])}" for word in MEANINGS if word in words]
