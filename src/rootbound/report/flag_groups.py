"""Flags as a report shows them: each flag once, with its advice, and below that what raised it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rootbound.flags import FLAGS, Raised
from rootbound.report.cells import as_words
from rootbound.report.doubts import DISQUALIFYING
from rootbound.report.gate import HIDING

ABOUT_FLAGS = (
    "A flag is no verdict: it says where a number may not mean what it seems to mean. Those about "
    "a network compare it with the undefended one, so that an ordinary network raises none; "
    "docs/flags.md lists them all."
)


@dataclass(frozen=True)
class FlagGroup:
    """A flag that was raised.

    Args:
        name: Its name.
        means: What it may mean.
        do_this: What to do about it.
        evidence: Models that raised it, and by what.
    """

    name: str
    means: str
    do_this: str
    evidence: tuple[tuple[str, str], ...]


def group_flags(raised: Sequence[Raised]) -> list[FlagGroup]:
    """Return the flags that were raised, the most important first."""
    groups = []
    for flag in sorted(FLAGS, key=lambda flag: rank_flag(flag.name)):
        evidence: dict[str, list[str]] = {}
        for one in raised:
            if one.flag == flag.name:
                seed = "" if one.seed is None else f"seed {one.seed}: "
                evidence.setdefault(one.method, []).append(f"{seed}{one.evidence}")
        if evidence:
            by_model = tuple((method, "; ".join(said)) for method, said in evidence.items())
            groups.append(FlagGroup(flag.name, flag.means, flag.do_this, by_model))
    return groups


def rank_flag(name: str) -> int:
    """Return a flag's rank: first those that make rows unreliable, then those about hiding."""
    if name in DISQUALIFYING:
        return 0
    return 1 if name in HIDING else 2


def flags_to_markdown(groups: Sequence[FlagGroup]) -> str:
    """Return the flags as Markdown."""
    parts = [ABOUT_FLAGS]
    for group in groups:
        parts += [f"### {group.name}", f"It may mean: {group.means}. Do this: {group.do_this}."]
        said = (f"- {as_words(model)}: {as_words(words)}" for model, words in group.evidence)
        parts += ["\n".join(said)]
    return "\n\n".join(parts)
