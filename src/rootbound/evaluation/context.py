"""The context of a run: tasks, threat model, settings, versions and machine, as plain values."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rootbound.data import Task, Tasks
from rootbound.data.transforms import describe_inputs
from rootbound.evaluation.attacker import CURVE_SAMPLES, VALIDATION_LIMIT, VALIDATION_SHARE
from rootbound.evaluation.contenders import Contender
from rootbound.methods import Method
from rootbound.methods.known import find_kind
from rootbound.networks import Classifier
from rootbound.networks.one_block import count_layers_in_one_block
from rootbound.networks.origin import STRANGER
from rootbound.networks.registry import short_name
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.records import Configuration, Spec
from rootbound.suites import Suite


def describe_run(
    tasks: Tasks, suite: Suite, seeds: int, contenders: Sequence[Contender]
) -> dict[str, Any]:
    """Return the context that a report needs beside the records.

    Where the desirable task is not known, its entries and those of the defender are None.
    """
    model, desirable, known = contenders[-1].start, tasks.desirable, tasks.known_undesirable
    used = [trial for trial in suite.attacks if trial.applies_to(model)]
    left_out = [trial for trial in used if desirable is None and "desirable" in trial.needs]
    return {
        "desirable": None if desirable is None else _describe_task(desirable),
        "undesirable": _describe_task(tasks.undesirable),
        "defender_undesirable_samples": None if known is None else len(known),
        "shared_undesirable": None if known is None else tasks.shared,
        "model": _shorten_name(model),
        "parameters": _count_parameters(model),
        "layers": len(model.blocks) + 1,
        "one_block": {
            contender.name: layers
            for contender in contenders
            if (layers := count_layers_in_one_block(contender.start)) is not None
        },
        "new_head": [
            contender.name
            for contender in contenders
            if contender.method is None and contender.start.new_head
        ],
        **_describe_conversions(contenders),
        **{
            contender.name: {
                "model": _shorten_name(contender.start),
                "parameters": _count_parameters(contender.start),
            }
            for contender in contenders
            if contender.arm == "public"
        },
        "pretrained": any(contender.pretrained for contender in contenders),
        "weights": {
            contender.name: weights_digest(own_weights(contender.start))
            for contender in contenders
            if contender.method is None and contender.arm != "scratch"
        },
        "suite": suite.name,
        "suite_digest": suite.digest,
        "trials": len(used) - len(left_out),
        "left_out": len(left_out),
        "rules": {
            "proposals": suite.space.proposals if suite.space else 0,
            "confirmed": suite.confirmed,
            "attackers": suite.attackers if suite.confirmed else 0,
            "longer": suite.longer,
            "draws": list(suite.draws),
            "finalists": suite.finalists,
        },
        "adaptive": suite.adaptive,
        **_name_unknown_methods(contenders),
        "budgets": [{"labels": budget.labels, "steps": budget.steps} for budget in suite.budgets],
        "validation_share": VALIDATION_SHARE,
        "validation_limit": VALIDATION_LIMIT,
        "curve_samples": CURVE_SAMPLES,
        "seeds": seeds,
        "versions": {**_list_versions(), "python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _shorten_name(model: Classifier) -> str:
    return short_name(model.architecture) or type(model.backbone).__name__


def _count_parameters(model: Classifier) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def build_specification(
    tasks: Tasks, suite: Suite, seeds: int, contenders: Sequence[Contender]
) -> Spec:
    """Return everything that decides the results of a run: if a value differs, so does the run."""
    weights = {id(each.start): weights_digest(own_weights(each.start)) for each in contenders}
    # The number of attackers is left out, because a run with more of them extends one with fewer.
    # So is `until`: a run that adds draws until a gate is decided extends one that does not.
    digest = replace(suite, attackers=1, until=None).digest
    until = {} if suite.until is None else {"until": vars(suite.until)}
    # Weights do not say what is computed with them. For built-in networks, their names do.
    networks = {
        each.name: each.start.unwrapped()
        for each in contenders
        if each.start.head_name and not each.start.architecture
    }
    return Spec(
        {
            "versions": _list_versions(),
            "suite": {"name": suite.name, "digest": digest, "attackers": suite.attackers, **until},
            "budgets": [repr(budget) for budget in suite.budgets],
            "trial_limit": suite.trial_limit,
            "seeds": seeds,
            "arms": {
                each.name: {
                    "arm": each.arm,
                    "method": Configuration.of(each.method) if each.method else "given weights",
                    "weights": weights[id(each.start)],
                    "pretrained": each.pretrained,
                }
                for each in contenders
            },
            "shared_undesirable": tasks.shared,
            "data": _digest_data(tasks, trains=any(each.method for each in contenders)),
            "code": {
                **_digest_foreign_code([each.method for each in contenders], suite, networks),
                **{f"network of {name}": _digest_layers(one) for name, one in networks.items()},
            },
        }
    )


def _digest_data(tasks: Tasks, *, trains: bool) -> dict[str, Any]:
    """Return digests of the samples of each task, by its name, and of the defender's samples."""
    roles = ("desirable", "undesirable", "benign")
    known = {role: task for role in roles if (task := getattr(tasks, role)) is not None}
    names = [task.name for task in known.values()]
    digests: dict[str, Any] = {
        task.name if names.count(task.name) == 1 else f"{task.name} ({role})": {
            "training": task.train.digest,
            "test": task.test.digest,
        }
        for role, task in known.items()
    }
    if trains and tasks.known_undesirable is not None:
        digests["known_undesirable"] = tasks.known_undesirable.digest
    return digests


def _list_versions() -> dict[str, str]:
    return {"rootbound": version("rootbound"), "torch": torch.__version__}


def _digest_foreign_code(
    methods: Sequence[Method | None], suite: Suite, networks: Mapping[str, nn.Module]
) -> dict[str, str]:
    """Return digests of the files outside this package that define methods, attacks and networks.

    Their authors change them between runs; code in the package, and in torch, has a version.
    """
    parts: list[object] = [*methods, *suite.attacks, *suite.blind, *suite.benign]
    parts += [part for network in networks.values() for part in network.modules()]
    modules = {type(part).__module__ for part in parts if part is not None}
    foreign = [name for name in modules if name.partition(".")[0] not in ("rootbound", "torch")]
    paths = {getattr(sys.modules.get(name), "__file__", None) for name in foreign}
    files = [Path(path) for path in sorted(filter(None, paths)) if Path(path).is_file()]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def _digest_layers(network: nn.Module) -> str:
    """Return a digest of a network's layers and their settings, as the network prints them."""
    printed = re.sub(r" at 0x[0-9a-f]+", "", repr(network))  # the address of a function in memory
    return hashlib.sha256(printed.encode()).hexdigest()[:16]


def _name_unknown_methods(contenders: Sequence[Contender]) -> dict[str, dict[str, str]]:
    """Return the methods that trained given models, if their attacks cannot be found here."""
    kinds = {
        contender.name: contender.start.origin.method.kind
        for contender in contenders
        if contender.arm == "defended" and contender.method is None and contender.start.origin
    }
    unknown = {
        name: kind for name, kind in kinds.items() if kind != STRANGER and find_kind(kind) is None
    }
    return {"unknown_methods": unknown} if unknown else {}


def _describe_conversions(contenders: Sequence[Contender]) -> dict[str, dict[str, str]]:
    """Return how weights from files were converted; nothing where they needed no conversion."""
    done = {
        contender.name: contender.start.conversion
        for contender in contenders
        if contender.method is None and contender.arm != "scratch" and contender.start.conversion
    }
    return {"weights_conversions": done} if done else {}


def _describe_task(task: Task) -> dict[str, Any]:
    counts, own = task.test.labels.bincount(), task.own_scaling
    return {
        "name": task.name,
        "classes": list(task.classes),
        "training_samples": len(task.train),
        "test_samples": len(task.test),
        "majority": float(counts.max()) / len(task.test),
        **({"minority": float(counts.min()) / len(task.test)} if task.test.stratified else {}),
        "stratified": task.train.stratified,
        "samples": "images" if len(task.train.shape) == 3 else "samples",
        "conversion": task.conversion,
        "inputs": describe_inputs(task.train.shape, task.train.stated_scaling),
        **({} if own is None else {"own_inputs": describe_inputs(task.train.shape, own)}),
    }
