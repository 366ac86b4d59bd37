"""Flags about the scope of a run: whether scratch is random, and whether blocks were found."""

from __future__ import annotations

from collections.abc import Iterator

from rootbound.flags.flag import Case, Flag, with_labels
from rootbound.metrics import attacked, paired

ONE_BLOCK = (
    "seen as one block: attacks on inner layers are missing, so the results hold for the last "
    "layer alone"
)
"""What a report says of a network of several layers in which no blocks were found."""
ALIKE = 0.9
"""Two random networks never share this much of the variance of their features."""
MARGIN = 5.0
"""Points by which scratch must be better than a small network to raise the flag."""


def _find_one_block(case: Case) -> Iterator[str]:
    layers = case.evaluation.context.get("one_block", {}).get(case.training.method)
    if layers is not None and case.training.arm != "scratch":
        yield f"1 block holds {layers} layers of weights"


def _find_given_features(case: Case) -> Iterator[str]:
    alike = case.values.get("likeness_to_given", 0.0)
    if case.training.method == "scratch" and alike > ALIKE:
        yield f"scratch shares {100 * alike:.0f} % of the variance of the given features"


def _find_above_small(case: Case) -> Iterator[str]:
    if case.training.method != "scratch":
        return
    trainings = case.evaluation.trainings
    small = {one.method for one in trainings if one.arm == "scratch"} - {"scratch"}
    for labels in case.screened():
        own = attacked(case.evaluation, "scratch", labels)
        for name in sorted(small):
            lead = paired(own, attacked(case.evaluation, name, labels))
            # With all labels a better architecture may be better by this much.
            if labels is not None and lead and lead.low > MARGIN:
                yield (
                    f"{lead.mean:+.1f} points over {name} {with_labels(labels)} "
                    f"({lead.low:+.1f} to {lead.high:+.1f})"
                )


SCRATCH_FLAGS = (
    Flag(
        "scratch has the given features",
        "units of a network with newly drawn weights explain over 90 % of the variance of the "
        "given last features, unit by unit; units that equal an input do not count",
        "scratch does not start from random weights: the network or its function restores the "
        "given weights, so that the comparison with scratch is not valid",
        "draw weights with torch's default generator, in reset_parameters() or in the function of "
        "fresh=function or --model file.py:function",
        _find_given_features,
        once=True,
    ),
)
"""If one of these is raised, an advantage over scratch is not valid."""

SCOPE_FLAGS = (
    Flag(
        "seen as one block",
        "a network with more than one layer of weights below its head was not cut into blocks",
        "attacks on inner layers are missing, so the results hold for the last layer alone",
        "name points by Classifier.wrap(blocks=...), or wrap the network as an nn.Sequential",
        _find_one_block,
        once=True,
        of_public=True,
    ),
    *SCRATCH_FLAGS,
    # Only a hint: random ResNets are up to 11 points better than the small network on photographs.
    Flag(
        "scratch above a small network",
        "with a limited number of labels, scratch is over 5 points better than a small network "
        "with random weights, over the whole paired interval",
        "random weights of a larger network can be worth that much, as a ResNet's are on "
        "photographs; if yours should not be, the weights may not be random",
        "find out what scratch starts from; compare with scratch of an architecture of your own",
        _find_above_small,
        once=True,
    ),
)
