"""The threat model, settings, versions and hardware of a run, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rootbound.metrics import measures as metrics
from rootbound.metrics.gate import RATE
from rootbound.records import Evaluation
from rootbound.report.balance import imbalance_in_words, is_imbalanced
from rootbound.report.cells import in_words
from rootbound.report.public import public_in_words

MOST_CLASSES = 20
"""Number of classes up to which they are listed."""
UNKNOWN_PURPOSE = (
    "It was not said what the model is for, so it is not known whether it does anything well: a "
    "network that does nothing well resists everything."
)
SCALING_OF_THE_NETWORK = (
    "The network has its own scaling of inputs, and random weights were given the same: with the "
    "data's own scaling they might be worth more or less to an attacker."
)
Numbers = float | Sequence[float]


def describe_settings(evaluation: Evaluation) -> dict[str, str]:
    """Return what a reader must know about the run, as texts by heading."""
    context, was_trained = evaluation.context, not metrics.is_given(evaluation)
    return (
        _describe_tasks(context)
        | _describe_attacker(context, draws_weights=was_trained and not context.get("pretrained"))
        | _describe_machine(context, was_trained=was_trained)
    )


def _describe_tasks(context: Mapping[str, Any]) -> dict[str, str]:
    desirable, undesirable = context["desirable"], context["undesirable"]
    count = context["defender_undesirable_samples"]
    relation = "shared with" if context["shared_undesirable"] else "disjoint from"
    held = "not known; the attacker's may be among them"
    if count is not None:
        held = f"{count} samples, {relation} the attacker's"
    start = ", trained from the weights that it came with" if context.get("pretrained") else ""
    tasks = [task for task in (desirable, undesirable) if task]
    # Older records do not describe the inputs of the network.
    inputs = dict.fromkeys(_describe_inputs(task) for task in tasks if "inputs" in task)
    texts = {
        "Desirable task": "not given" if desirable is None else _describe_task(desirable),
        "Undesirable task": f"{_describe_task(undesirable)} (the attacker's)",
        "The defender's undesirable samples": held,
        "Model": f"{context['model']}, {context['layers']} layers, "
        f"{context['parameters']:,} parameters{start}",
    }
    texts |= public_in_words(context)
    for name, done in context.get("weights_conversions", {}).items():
        texts[f"Weights ({name})"] = f"as they were read from their file: {done}"
    return texts | ({"Inputs": "; undesirable: ".join(inputs)} if inputs else {})


def _describe_task(task: Mapping[str, Any]) -> str:
    """Return name and samples of a task, with its classes where they are few and not numbers.

    Most names of tasks list the classes; those of older records and of users may not.
    """
    classes = [str(name) for name in task["classes"]]
    has_names = len(classes) <= MOST_CLASSES and not all(name.isdecimal() for name in classes)
    name, listed = str(task["name"]), ", ".join(classes)
    if has_names and not name.endswith(listed):
        name = f"{name} ({listed})"
    counts = f"{task['training_samples']} training and {task['test_samples']} test samples"
    if is_imbalanced(task):
        counts = f"{counts}, where {imbalance_in_words(task)}"
    conversion = task.get("conversion")
    return f"{name}: {counts}, {conversion}" if conversion else f"{name}: {counts}"


def inputs_in_words(inputs: Mapping[str, Any]) -> str:
    """Return the scaling of a network's inputs, and the shape of a sample."""
    shape = "x".join(map(str, inputs["shape"]))
    if "divisor" not in inputs:
        return shape
    stored = "pixels" if len(inputs["shape"]) == 3 else "values"
    divided = "" if inputs["divisor"] == 1 else f" / {inputs['divisor']:g}"
    return f"{stored}{divided}, {scaling_in_words(inputs['mean'], inputs['deviation'])}; {shape}"


def scaling_in_words(mean: Numbers, deviation: Numbers) -> str:
    """Return what inputs are reduced by and divided by, channel by channel if they differ."""

    def write(numbers: Numbers) -> str:
        if isinstance(numbers, Sequence):
            return f"({', '.join(f'{number:.4g}' for number in numbers)})"
        return f"{numbers:.4g}"

    return f"less {write(mean)}, over {write(deviation)}"


def _describe_inputs(task: Mapping[str, Any]) -> str:
    inputs = inputs_in_words(task["inputs"])
    if "own_inputs" not in task:
        return inputs
    own = task["own_inputs"]
    return (
        f"{inputs} (the network's own scaling, for every arm; the data's own would be "
        f"{scaling_in_words(own['mean'], own['deviation'])})"
    )


def explain_own_scaling(context: Mapping[str, Any]) -> list[str]:
    """Explain a network's own scaling of inputs, if it has one."""
    tasks = (context["desirable"], context["undesirable"])
    return [SCALING_OF_THE_NETWORK] if any(task and "own_inputs" in task for task in tasks) else []


def _describe_attacker(context: Mapping[str, Any], *, draws_weights: bool) -> dict[str, str]:
    share, limit = context["validation_share"], context["validation_limit"]
    budgets = (
        f"{in_words(budget['labels'])}, {budget['steps']} steps" for budget in context["budgets"]
    )
    adaptive, unknown = context["adaptive"], context.get("unknown_methods", {})
    knowing = (
        f"{adaptive} attack{'s know' if adaptive > 1 else ' knows'} the method."
        if adaptive
        else "No attack knows the method: the result is not verified."
    )
    for model, method in unknown.items():
        knowing += (
            f" {method}, which trained the model {model}, is not known here: attacks that know it "
            "were tried only if they were given."
        )
    return {
        "The attacker knows": "the weights, labelled undesirable samples, every attack of the "
        "suite; it may retrain any number of layers, and for some attacks holds "
        f"{_describe_further(context)}. {knowing}",
        "The attacker chooses": f"settings and stopping step on {100 * share:.0f} % of its "
        f"labels of each class, at least 1 where there are two and at most {limit}; never on test "
        "samples",
        "Suite": f"{suite_in_words(context)} ({context['suite_digest']}): {context['trials']} "
        "trials for each budget, the same for every arm",
        "Budgets": "; ".join(budgets),
        **describe_time(context),
        **_describe_stages(context["rules"]),
        **_describe_draws(context),
        **_describe_looks(context),
        "Seeds": f"{context['seeds']}: {'each' if context['seeds'] > 1 else 'it'} decides "
        f"{'the first weights, ' if draws_weights else ''}batches, the attacker's labels and the "
        "weights of scratch",
        "Test samples": "the selected trial of each family is scored on all of them, curves on "
        f"{context['curve_samples']} fixed ones",
    }


def suite_in_words(context: Mapping[str, Any]) -> str:
    """Return the name of the suite; what was added to it is joined by `and`."""
    name, *added = str(context["suite"]).split(" with ")
    return " with ".join([name, " and ".join(added)]) if added else name


def describe_time(context: Mapping[str, Any]) -> dict[str, str]:
    """Return what was done in a limited time; nothing where the time was not limited."""
    if "time" not in context:
        return {}
    limit = context["time"]
    rungs = "; ".join(
        f"{in_words(budget['labels'])}: "
        + ", ".join(
            f"{count} settings with {steps} steps"
            for count, steps in zip(budget["settings"], budget["steps"], strict=True)
            if count
        )
        for budget in limit["rungs"]
        if any(budget["settings"])
    )
    end = "The time was over before all was tried" if limit["stopped"] else "All was tried in time"
    return {
        "Time limit": f"{limit['minutes']:g} minutes, of which {limit['spent'] / 60:.1f} were "
        f"spent, in {limit['rounds']} rounds of the same trials for every arm: each setting with "
        "a quarter of the steps, the best quarter of them, by validation on any arm, with four "
        f"times as many, and so on{f' ({rungs})' if rungs else ''}. A round that "
        f"the time cut off counts for no arm. {end}."
    }


def _describe_further(context: Mapping[str, Any]) -> str:
    """Return what the attacker holds besides labelled undesirable samples."""
    if context["desirable"] is not None:
        return "desirable or unlabelled undesirable samples"
    left = context["left_out"]
    without = f"{left} that need them are left out" if left else "none needs them"
    return f"unlabelled undesirable samples, but no desirable ones ({without})"


def _describe_draws(context: Mapping[str, Any]) -> dict[str, str]:
    """Return how often labels are drawn for each seed; nothing if once, or if that is not known."""
    if not (draws := context["rules"].get("draws")):
        return {}
    several = zip(context["budgets"], draws, strict=True)
    counts = ", ".join(f"{count} with {in_words(budget['labels'])}" for budget, count in several)
    value = (
        f"for each seed {counts}; the same for every arm, and scratch gets new random weights for "
        "each draw and each family of attacks"
    )
    if finalists := context["rules"].get("finalists"):
        value += (
            f". All attacks meet the first draw. The best settings of the {finalists} families "
            "that are strongest on it, by the auditor's labels, meet the others, which alone count"
        )
    return {"Draws of labels": value}


def _describe_looks(context: Mapping[str, Any]) -> dict[str, str]:
    """Return what further draws should decide, and the looks at the gate; empty without any."""
    until = context.get("until")
    if until is None:
        return {}
    looks = "; ".join(
        f"{in_words(one['labels'])}: {', '.join(map(str, one['draws'])) or 'none'}"
        for one in until["looks"]
    )
    return {
        "Further draws of labels": f"added, for all arms alike, until it was decided whether the "
        f"weights add at most {until['limit']:g} points, up to {until['draws']} draws for each "
        f"seed; the gate was judged after these numbers of draws: {looks}. Over all looks "
        f"together, either outcome is wrong in {100 * RATE:g} % of cases at most"
    }


def _describe_stages(rules: Mapping[str, int]) -> dict[str, str]:
    """Return what happens after the screening; nothing where the suite ends with it."""
    stages = ["everything is screened on one attacker seed"]
    if rules["proposals"]:
        stages.append(
            f"{rules['proposals']} further settings are proposed by Optuna from what that found"
        )
    if rules["confirmed"]:
        stages.append(
            f"the best {rules['confirmed']} settings of each tier meet {rules['attackers']} new "
            "attacker seeds, which alone count"
        )
    if rules["longer"]:
        stages.append(f"the best setting is run once with {rules['longer']} times the steps")
    return {"Stages": "; ".join(stages)} if len(stages) > 1 else {}


def _describe_machine(context: Mapping[str, Any], *, was_trained: bool) -> dict[str, str]:
    versions = (f"{name} {number}" for name, number in context["versions"].items())
    workers = context.get("workers", "?")
    processes = f"{workers} process{'' if workers == 1 else 'es'}, one thread each"
    texts = {
        "Versions": ", ".join(versions),
        "Machine": f"{context['machine']}; {processes}",
        "Date": str(context["date"]),
    }
    if "seconds" in context:
        done = "training and attacking" if was_trained else "attacking"
        texts["Time"] = f"{context['seconds']:.0f} s for {done} everything"
    return texts
