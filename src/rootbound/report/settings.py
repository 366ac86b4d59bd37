"""Threat model, settings, versions and hardware, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rootbound.records import Evaluation
from rootbound.report.cells import in_words

MOST_CLASSES = 20
"""Classes that are listed."""
UNKNOWN_PURPOSE = (
    "What the model is for was not said, so whether it does anything well is not known: a network "
    "that does nothing well resists everything."
)
SCALING_OF_THE_NETWORK = (
    "The network brought a scaling of inputs of its own, and random weights were given the same: "
    "by the data's own they might be worth more to an attacker, or less."
)
Pair = tuple[str, str]
Numbers = float | Sequence[float]


def settings(evaluation: Evaluation) -> list[Pair]:
    """Return what a reader must know of the run, as pairs of a name and a text."""
    context = evaluation.context
    return [*_tasks(context), *_attacker(context), *_machine(context)]


def _tasks(context: Mapping[str, Any]) -> list[Pair]:
    desirable, undesirable = context["desirable"], context["undesirable"]
    start = ", trained from the weights that it came with" if context.get("pretrained") else ""
    return [
        (
            "Desirable task",
            "not given" if desirable is None else f"{_named(desirable)}: {_counts(desirable)}",
        ),
        ("Undesirable task", f"{_named(undesirable)}: {_counts(undesirable)} (the attacker's)"),
        ("The defender's undesirable samples", _known(context)),
        (
            "Model",
            f"{context['model']}, {context['layers']} layers, {context['parameters']:,} parameters"
            + start,
        ),
        *_inputs(context),
    ]


def inputs_in_words(inputs: Mapping[str, Any]) -> str:
    """Return what a network is fed: its scaling, and the shape of a sample."""
    shape = "x".join(map(str, inputs["shape"]))
    if "divisor" not in inputs:
        return shape
    stored = "pixels" if len(inputs["shape"]) == 3 else "values"
    divided = "" if inputs["divisor"] == 1 else f" / {inputs['divisor']:g}"
    return f"{stored}{divided}, {scaling_in_words(inputs['mean'], inputs['deviation'])}; {shape}"


def scaling_in_words(mean: Numbers, deviation: Numbers) -> str:
    """Return what is taken from inputs and what they are divided by, of each channel if need be."""
    return f"less {_numbers(mean)}, over {_numbers(deviation)}"


def _numbers(given: Numbers) -> str:
    if isinstance(given, Sequence):
        return f"({', '.join(f'{one:.4g}' for one in given)})"
    return f"{given:.4g}"


def _inputs(context: Mapping[str, Any]) -> list[Pair]:
    """Return what the network was fed, of each task where that differs; runs of before are mute."""
    tasks = (context["desirable"], context["undesirable"])
    said = dict.fromkeys(_fed(task) for task in tasks if task and "inputs" in task)
    return [("Inputs", "; undesirable: ".join(said))] if said else []


def _fed(task: Mapping[str, Any]) -> str:
    inputs = inputs_in_words(task["inputs"])
    if "own_inputs" not in task:
        return inputs
    own = task["own_inputs"]
    return (
        f"{inputs} (as the network brought it, for every arm; the data's own scaling would be "
        f"{scaling_in_words(own['mean'], own['deviation'])})"
    )


def scaling_of_the_network(context: Mapping[str, Any]) -> list[str]:
    """Return what it means that a network brought a scaling of its own; nothing where none did."""
    tasks = (context["desirable"], context["undesirable"])
    return [SCALING_OF_THE_NETWORK] if any(task and "own_inputs" in task for task in tasks) else []


def _known(context: Mapping[str, Any]) -> str:
    count = context["defender_undesirable_samples"]
    if count is None:
        return "not known; the attacker's may be among them"
    relation = "shared with" if context["shared_undesirable"] else "disjoint from"
    return f"{count} samples, {relation} the attacker's"


def _attacker(context: Mapping[str, Any]) -> list[Pair]:
    share, limit = context["validation_share"], context["validation_limit"]
    budgets = (f"{in_words(one['labels'])}, {one['steps']} steps" for one in context["budgets"])
    return [
        (
            "The attacker knows",
            "the weights, labelled undesirable samples, every attack of the suite; it may "
            f"retrain any number of layers, and for some attacks holds {_further(context)}. "
            + _adaptive(context["adaptive"]),
        ),
        (
            "The attacker chooses",
            f"settings and stopping step on {100 * share:.0f} % of its labels, at most {limit} a "
            "class; never on test samples",
        ),
        (
            "Suite",
            f"{context['suite']} ({context['suite_digest']}): {context['trials']} trials a "
            "budget, the same for every arm",
        ),
        ("Budgets", "; ".join(budgets)),
        *spent(context),
        *_rules(context["rules"]),
        (
            "Seeds",
            f"{context['seeds']}: each draws {'' if context.get('pretrained') else 'weights, '}"
            "batches and the attacker's labels, and scratch weights of its own",
        ),
        (
            "Test samples",
            f"the selected trial of each family is scored on all of them, curves on "
            f"{context['curve_samples']} fixed ones",
        ),
    ]


def spent(context: Mapping[str, Any]) -> list[Pair]:
    """Return what was done in a limited time; nothing where it was not limited."""
    if "time" not in context:
        return []
    limit = context["time"]
    rungs = "; ".join(
        f"{in_words(one['labels'])}: "
        + ", ".join(
            f"{count} settings with {steps} steps"
            for count, steps in zip(one["settings"], one["steps"], strict=True)
            if count
        )
        for one in limit["rungs"]
    )
    end = "The time was over before all was tried" if limit["stopped"] else "All was tried in time"
    return [
        (
            "Time limit",
            f"{limit['minutes']:g} minutes, of which {limit['spent'] / 60:.1f} were spent, in "
            f"{limit['rounds']} rounds of the same trials for every arm: each setting with a "
            "quarter of the steps, the best quarter of them, by validation on any arm, with four "
            f"times as many, and so on ({rungs}). {end}.",
        )
    ]


def _further(context: Mapping[str, Any]) -> str:
    if context["desirable"] is not None:
        return "desirable or unlabelled undesirable samples"
    left = context["left_out"]
    without = f"{left} that need them are left out" if left else "none needs them"
    return f"unlabelled undesirable samples, but no desirable ones ({without})"


def _adaptive(count: int) -> str:
    if count:
        return f"{count} attack{'s know' if count > 1 else ' knows'} the method."
    return "No attack knows the method: the result is not verified."


def _rules(rules: Mapping[str, int]) -> list[Pair]:
    """Return what happens after the screening, where anything does."""
    if not rules["confirmed"]:
        return []
    return [
        (
            "Stages",
            f"everything is screened on one attacker seed, and {rules['proposals']} further "
            f"settings are proposed by Optuna from what that found; the best {rules['confirmed']} "
            f"settings of each tier meet {rules['attackers']} new attacker seeds, which alone "
            f"count; the best of them is run once with {rules['longer']} times the steps",
        )
    ]


def _machine(context: Mapping[str, Any]) -> list[Pair]:
    versions = (f"{name} {number}" for name, number in context["versions"].items())
    workers = context.get("workers", "?")
    processes = f"{workers} process{'' if workers == 1 else 'es'}, one thread each"
    pairs = [
        ("Versions", ", ".join(versions)),
        ("Machine", f"{context['machine']}; {processes}"),
        ("Date", str(context["date"])),
    ]
    if "seconds" in context:
        pairs.append(("Time", f"{context['seconds']:.0f} s for training and attacking everything"))
    return pairs


def _named(task: Mapping[str, Any]) -> str:
    """Return a task's name, with those of its classes where they are few and no numbers."""
    classes = [str(one) for one in task["classes"]]
    if len(classes) > MOST_CLASSES or all(one.isdecimal() for one in classes):
        return str(task["name"])
    return f"{task['name']} ({', '.join(classes)})"


def _counts(task: Mapping[str, Any]) -> str:
    how = task.get("conversion")
    counts = f"{task['training_samples']} training and {task['test_samples']} test samples"
    return f"{counts}, {how}" if how else counts
