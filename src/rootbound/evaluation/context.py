"""What a run was: tasks, threat model, settings, versions and machine, as plain values."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version
from typing import Any

import torch

from rootbound.attacks import Suite
from rootbound.evaluation.labels import CURVE_SAMPLES, VALIDATION_LIMIT, VALIDATION_SHARE
from rootbound.models import Classifier
from rootbound.tasks import Task, TaskPair


def describe_run(tasks: TaskPair, suite: Suite, seeds: int, model: Classifier) -> dict[str, Any]:
    """Return the context that a report needs beside the records."""
    return {
        "desirable": _describe_task(tasks.desirable),
        "undesirable": _describe_task(tasks.undesirable),
        "defender_undesirable_samples": len(tasks.known_undesirable),
        "shared_undesirable": tasks.shared,
        "model": model.architecture or type(model.backbone).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": len(model.blocks) + 1,
        "suite": suite.name,
        "suite_digest": suite.digest,
        "trials": sum(trial.applies_to(model) for trial in suite.attacks),
        "budgets": [{"labels": one.labels, "steps": one.steps} for one in suite.budgets],
        "validation_share": VALIDATION_SHARE,
        "validation_limit": VALIDATION_LIMIT,
        "curve_samples": CURVE_SAMPLES,
        "seeds": seeds,
        "versions": {
            "rootbound": version("rootbound"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU cores",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _describe_task(task: Task) -> dict[str, Any]:
    counts = task.test.labels.bincount()
    return {
        "name": task.name,
        "classes": list(task.classes),
        "training_samples": len(task.train),
        "test_samples": len(task.test),
        "majority": float(counts.max()) / len(task.test),
    }
