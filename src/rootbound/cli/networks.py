"""Networks of users and strangers: by name, by a configuration, or by a function in a file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ArgumentParser
from torch import nn

from rootbound.cli.options import load_named
from rootbound.core.errors import InputError
from rootbound.data import Task, TaskPair, Tasks
from rootbound.datasets import Dataset, fitted
from rootbound.networks import MODELS, Classifier, build
from rootbound.networks.hugging_face import PRETRAINED, read_fixed_shape
from rootbound.networks.registry import read_architecture
from rootbound.publishing import load_weights
from rootbound.publishing.foreign import count_classes
from rootbound.publishing.published import TOKENISER, check_transformers_card, find_weights
from rootbound.training import seeded

log = logging.getLogger(__name__)

ONE_OF = f"{', '.join(MODELS)}, a config.json, or file.py:function that returns a torch.nn.Module"


def add_head(parser: ArgumentParser) -> None:
    """Add the option that names the last layer of a network of the user's own."""
    parser.add_argument(
        "--head", type=str, default=None,
        help="with --model file.py:function: the last linear layer's name, if it is not found",
    )  # fmt: skip


def is_own(name: str | None) -> bool:
    """Return whether a model is named as `file.py:function`."""
    return name is not None and name.rpartition(":")[0].endswith(".py")


def fit_to(name: str) -> Callable[[Dataset], Dataset]:
    """Return what makes images fit a network that takes those of one shape alone.

    Args:
        name: as `models.build` takes it, or the path of a configuration.
    """
    architecture = read_architecture(Path(name)) if name.endswith(".json") else name

    def fit(data: Dataset) -> Dataset:
        shape = None if data.train.tokens else read_fixed_shape(architecture)
        return data if shape is None else fitted(data, shape)

    return fit


def tokeniser_of(name: str) -> str:
    """Return the name of the tokeniser that belongs to a network, empty where none is beside it."""
    if name.endswith(".json") and (Path(name).parent / TOKENISER).is_file():
        return f"{PRETRAINED}{Path(name).parent}"
    return name if name.startswith(PRETRAINED) else ""


def new_network(name: str, tasks: TaskPair, seed: int = 0, head: str | None = None) -> Classifier:
    """Return a network of that name for the desirable task; the card of one published is checked.

    Args:
        name: as `models.build` takes it, or `file.py:function`; then the file is executed.
        tasks: what it is for.
        seed: of new weights.
        head: name of the last linear layer of one's own; found when left out.

    Raises:
        InputError: there is no such network, or its card is damaged or of other weights.
    """
    if is_own(name):
        with seeded(seed):
            return own_network(name, head, tasks.desirable)
    if name.startswith(PRETRAINED):
        check_transformers_card(name)
    wanted = tasks.desirable
    return build(name, len(wanted.classes), wanted.train.shape, seed=seed)


def own_network(
    name: str, head: str | None, task: Task | None = None, place: str | None = None
) -> Classifier:
    """Return the network that a function in a file of the user's makes; the file is executed.

    Random weights are what the function returns when it is called again, unless that is no other.

    Args:
        name: `file.py:function`.
        head: name of its last linear layer; found when left out.
        task: with samples to find and to check the head by.
        place: file, published folder or hub name of its weights; its own when left out.

    Raises:
        InputError: there is no such function, it returns no network, the weights do not fit, or
            a card in the folder is of others.
    """
    make = load_named(name)
    if not callable(make) or not isinstance(module := make(), nn.Module):
        raise InputError(ONE_OF, repr(name), "correct --model")
    example = None if task is None else task.train.batch(slice(0, 1))[0]
    if place is None:
        return _drawn_by(make, Classifier.wrap(module, head, example))
    return _drawn_by(make, find_weights(place).load_into(module, head, example))


def _drawn_by(make: Callable[[], nn.Module], model: Classifier) -> Classifier:
    """Return the model with random weights as the function draws them, where it does."""
    try:
        return Classifier.wrap(model.unwrapped(), model.head_name, fresh=make)
    except InputError as reason:  # it returns pretrained weights, say
        log.info("random weights are drawn module by module: %s", reason)
        return model


def named_network(name: str, tasks: Tasks, place: str) -> Classifier:
    """Return a network by its name or its `config.json`, with the weights at a place.

    Args:
        name: of a built-in network, or the path of a configuration.
        tasks: what it is for, or what else its samples are known by.
        place: file, published folder or hub name of its weights.

    Raises:
        InputError: there is no such network, or the weights do not fit, or do not say for how many
            classes they are where nobody else does.
    """
    if name not in MODELS and not name.endswith(".json"):
        raise InputError(ONE_OF, repr(name), "correct --model")
    architecture = name if name in MODELS else read_architecture(Path(name))
    wanted = tasks.desirable
    found = find_weights(place)
    count = count_classes(found.weights) if wanted is None else len(wanted.classes)
    model = build(architecture, count, tasks.undesirable.train.shape)
    load_weights(model, found.weights)
    found.check_card(model)
    return model
