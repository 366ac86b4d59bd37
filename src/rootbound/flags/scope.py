"""Flags about what a run can say at all: whether scratch is random, and how deep attacks went."""

from __future__ import annotations

from collections.abc import Iterator

from rootbound.flags.flag import Case, Flag, with_labels
from rootbound.metrics import attacked, paired

ONE_BLOCK = (
    "seen as one block: attacks on inner layers are missing, so nothing is claimed beyond the last "
    "layer"
)
"""What is to be said of a network of several layers in which no blocks were found."""
ALIKE = 0.9
"""Share of the features' variance that no random network has in common with another."""
MARGIN = 5.0
"""Points by which a network from scratch may be better than a small one, at the least."""


def _one_block(case: Case) -> Iterator[str]:
    layers = case.evaluation.context.get("one_block", {}).get(case.training.method)
    if layers is not None and case.training.arm != "scratch":
        yield f"1 block holds {layers} layers of weights"


def _given_features(case: Case) -> Iterator[str]:
    alike = case.values.get("likeness_to_given", 0.0)
    if case.training.method == "scratch" and alike > ALIKE:
        yield f"features drawn anew are the given ones for {100 * alike:.0f} % of their variance"


def _above_small(case: Case) -> Iterator[str]:
    if case.training.method != "scratch":
        return
    trainings = case.evaluation.trainings
    small = {one.method for one in trainings if one.arm == "scratch"} - {"scratch"}
    for labels in case.screened():
        own = attacked(case.evaluation, "scratch", labels)
        for name in sorted(small):
            lead = paired(own, attacked(case.evaluation, name, labels))
            # With all labels a better architecture is simply better.
            if labels is not None and lead and lead.low > MARGIN:
                yield (
                    f"{lead.mean:+.1f} points over {name} {with_labels(labels)} "
                    f"({lead.low:+.1f} to {lead.high:+.1f})"
                )


SCRATCH_FLAGS = (
    Flag(
        "scratch has the given features",
        "over 90 % of the variance of the given last features, unit by unit, is that of a unit of "
        "a network drawn anew; and not that of an input",
        "what scratch starts from is not random: the network or its function brings the given "
        "weights along, so that the comparison with scratch is not valid",
        "draw weights with torch's default generator, in reset_parameters() or in the function of "
        "fresh=function or --model file.py:function",
        _given_features,
        once=True,
    ),
)
"""With one of these, an advantage over scratch means nothing."""

SCOPE_FLAGS = (
    Flag(
        "seen as one block",
        "a network with more than one layer of weights below its head was not cut into blocks",
        "attacks on inner layers are missing, so nothing is claimed beyond the last layer",
        "name points by Classifier.wrap(blocks=...), or wrap the network as an nn.Sequential",
        _one_block,
        once=True,
        of_public=True,
    ),
    *SCRATCH_FLAGS,
    # Only a hint: random ResNets are up to 11 points better than the small network on photographs.
    Flag(
        "scratch above a small network",
        "with a limited number of labels, scratch is over 5 points better than a small network "
        "with random weights, all of the paired interval",
        "random weights of a larger network may be worth that much, as those of a ResNet on "
        "photographs; where yours should not be, they may not be random",
        "find out what scratch starts from; compare with scratch of an architecture of your own",
        _above_small,
        once=True,
    ),
)
