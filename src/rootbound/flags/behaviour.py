"""Flags about what a network does when it is met otherwise: tricks named by what they do."""

from __future__ import annotations

from collections.abc import Iterator

from rootbound.flags.flag import Case, Flag, share_above


def _wrong_gradients(case: Case) -> Iterator[str]:
    for place in ("features", "weights"):
        name = f"gradient_error_{place}"
        value, usual = case.values.get(name), case.reference.get(name)
        if value is not None and value > (0.5 if usual is None else usual + 0.1):
            known = "" if usual is None else f", undefended {usual:.2g}"
            yield f"relative error {value:.2g} in {place}{known}"


def _with_gradients(case: Case) -> Iterator[str]:
    words = "of inputs get other outputs with gradients on"
    yield from share_above(case, "other_with_gradients", words, 0.01)


def _in_training(case: Case) -> Iterator[str]:
    words = "of inputs get other outputs in train mode, norms and dropout at rest"
    yield from share_above(case, "other_in_training", words, 0.01)


def _in_company(case: Case) -> Iterator[str]:
    words = "of inputs get other outputs alone, in another order, or among others"
    yield from share_above(case, "other_in_company", words, 0.01)


def _idle(case: Case) -> Iterator[str]:
    yield from share_above(case, "idle_weights", "of the weights do nothing", 0.2)


def _untrained(case: Case) -> Iterator[str]:
    words = "of the numbers that outputs depend on are no weights"
    yield from share_above(case, "untrained_numbers", words, 0.01)


def _shut_out(case: Case) -> Iterator[str]:
    words = "of undesirable inputs are told apart only with a tensor inside held still"
    yield from share_above(case, "shut_out", words, 0.1)


BEHAVIOUR_FLAGS = (
    Flag(
        "gradients are not the slopes",
        "the gradient of the outputs is wrong by over 10 % more than undefended (50 % where that "
        "is not known), by finite differences along random directions, in the features or in the "
        "weights of a block",
        "the network makes its own gradients up, or hides from them what it computes: fine-tuning "
        "is led astray",
        "probe; attack without gradients; OpenGates and CutInside differentiate what is computed",
        _wrong_gradients,
    ),
    Flag(
        "other outputs with gradients on",
        "over 1 % of inputs get other outputs in evaluation mode when gradients are on, and that "
        "much more than undefended",
        "the network notices that somebody may be training: fine-tuning trains another network "
        "than the one that is scored",
        "probe its outputs without gradients; find the part that asks, and take it out",
        _with_gradients,
    ),
    Flag(
        "other outputs in train mode",
        "over 1 % of inputs get other outputs in train mode, the same at every call, although "
        "norms and dropout work as in evaluation mode; and that much more than undefended",
        "the network does something else when it is trained, and neither norms nor dropout do it",
        "fine-tune in evaluation mode; find the part that asks, and take it out",
        _in_training,
    ),
    Flag(
        "outputs depend on the batch",
        "over 1 % of inputs get other outputs alone, in another order or in a batch of both tasks, "
        "and that much more than undefended",
        "a batch is judged as a whole: samples of one task alone are recognised by their company",
        "train and score with one sample a batch, or with both tasks in every batch",
        _in_company,
    ),
    Flag(
        "weights that do nothing",
        "no output depends on over 20 % of the backbone's weights, and that much more than "
        "undefended",
        "what is trained and what is drawn anew is not what computes",
        "look for what computes in their place; count neither fine-tuning nor scratch until then",
        _idle,
    ),
    Flag(
        "numbers that nobody trains",
        "over 1 % of the numbers that outputs depend on are no weights, nor statistics of a norm, "
        "nor a pattern such as a mask; and that much more than undefended",
        "a part of the network is kept from attackers and from the scratch arm: a gate, or layers "
        "in buffers",
        "make parameters of them, or take the part out",
        _untrained,
    ),
    Flag(
        "a gate inside",
        "over 10 % of undesirable inputs, and that much more than undefended, have features which "
        "differ from others' only when a tensor inside is held at its mean over desirable inputs, "
        "which leaves the desirable task as it is",
        "undesirable inputs are recognised and shut out; what they need is there, before the gate",
        "attack after OpenGates or CutInside, or probe the blocks before",
        _shut_out,
    ),
)
