"""Train a model with one method and save it as safetensors."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader
from torch.nn import functional

from rootbound.cli import options as shared
from rootbound.cli.described import settle_data, settle_tasks
from rootbound.cli.networks import (
    add_head,
    fit_to,
    is_own,
    named_network,
    new_network,
    own_network,
    tokeniser_of,
)
from rootbound.cli.recipe import add_recipe, with_recipe
from rootbound.cli.scaling import add_scaling, as_trained
from rootbound.cli.tasks import KEPT, add_tasks, read_tasks, settle, settle_reading
from rootbound.core import distributed
from rootbound.core.devices import find_device, on
from rootbound.core.errors import InputError, unknown_name
from rootbound.core.files import make_folder
from rootbound.data import Data, TaskPair
from rootbound.datasets import Dataset, fitted
from rootbound.methods import METHODS, Method
from rootbound.networks import Classifier
from rootbound.networks.hugging_face import PRETRAINED
from rootbound.publishing import Origin, save_model
from rootbound.publishing.checkpoint import read_header, save_wrapped
from rootbound.publishing.published import find_weights
from rootbound.records import Configuration
from rootbound.training import predict, seeded
from rootbound.training.state import TrainingState

PLAIN_YAML = get_loader("yaml")


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    set_loader("yaml", _load_settings, (yaml.YAMLError,))
    add_tasks(parser)
    shared.add_model(parser, own=True)
    add_head(parser)
    add_scaling(parser)
    # The default is put in by `prepare`: as the parser's own, its settings would be kept
    # where another method is named.
    parser.add_argument(
        "--method", type=Method, default=None,
        help=f"how to train: {', '.join(METHODS)}, or file.py:Class; settings by --method.NAME",
    )  # fmt: skip
    parser.add_argument(
        "--from", type=str, default=None,
        help="model file, published folder or OWNER/NAME of the hub to go on from, in place of new "
        "weights; its architecture, data and classes are taken too, where nothing else "
        "is said; with --model anybody's weights of that network",
    )  # fmt: skip
    shared.add_device(parser)
    add_recipe(parser)
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    parser.add_argument(
        "--checkpoint-every", type=float, default=10.0,
        help="minutes after which training is saved beside --out; the same command goes on there "
        "when it was killed, to the same weights (default: 10)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=str, default="model.safetensors", help="file for the trained model"
    )


def prepare(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the default method, and with methods' names made dotted."""
    prepared: list[str] = []
    follows = False
    for word in arguments:
        if follows:
            prepared.append(_dotted(word))
        elif word.startswith("--method="):
            prepared.append(f"--method={_dotted(word.removeprefix('--method='))}")
        else:
            prepared.append(word)
        follows = word == "--method"
    named = any(word.partition("=")[0] == "--method" for word in arguments)
    return prepared if named else ["--method", "BestResponse", *prepared]


def _load_settings(text: str) -> Any:
    """Read YAML, with methods' names made dotted as they are on the command line."""
    content = PLAIN_YAML(text)
    if isinstance(content, dict) and "method" in content:
        method = content["method"]
        if isinstance(method, str):
            content["method"] = _dotted(method)
        elif isinstance(method, dict) and isinstance(method.get("class_path"), str):
            method["class_path"] = _dotted(method["class_path"])
    return content


def _dotted(name: str) -> str:
    name = shared.load_named_class(name)
    if name.isidentifier() and name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return name


@dataclass(frozen=True)
class _Given:
    """A model to go on from, the shape it was built for, and what its texts are tokenised for."""

    model: Classifier
    shape: tuple[int, ...]
    tokeniser: str

    def fit(self, data: Dataset) -> Dataset:
        """Return the data set, changed where the model cannot take it as it is."""
        try:
            self.model.check_inputs(data.train.shape)
        except InputError:
            return fitted(data, self.shape)
        return data


def _given(options: Namespace) -> _Given | None:
    """Return the model to go on from, if its file describes all of it."""
    if options["from"] is None or options.model is not None:
        return None
    model, header = find_weights(options["from"]).load()
    return _Given(model, header.shape, header.origin.tokeniser)


def _described(options: Namespace) -> Origin | None:
    """Return what the file to go on from says, if it does; it settles what the options leave."""
    start = options["from"]
    header = None if start is None else read_header(find_weights(start).weights)
    if header is None:
        return None
    origin = header.origin
    if options.undesirable_data is None:
        settle_tasks(options, origin)
    else:
        settle_data(options, "data", origin.data)
        settle(options, "desirable", origin.desirable)
        settle_reading(options, origin)
    return origin


def _tasks(
    options: Namespace, origin: Origin | None, tokeniser: str, fit: Callable[[Dataset], Dataset]
) -> TaskPair:
    """Return the tasks, their inputs scaled as those that the weights to go on from have seen.

    A second data set has its own scaling, as in training from new weights.
    """
    tasks = read_tasks(options, tokeniser, fit)
    if origin is not None:
        origin = replace(origin, undesirable_data=options.undesirable_data)
    return as_trained(tasks, origin, options)


def _begun(options: Namespace) -> tuple[TaskPair, Classifier, tuple[int, ...], str]:
    """Return tasks, the model to train, the shape of its samples, and its tokeniser's name."""
    given = _given(options)
    name = shared.MODEL if options.model is None else options.model
    start = options["from"]
    if start is not None and name.startswith(PRETRAINED):
        raise InputError(
            f"--from or --model {PRETRAINED}NAME", "both", "leave one out: each has weights"
        )
    origin = _described(options)
    if given is not None:
        tasks = _tasks(options, origin, given.tokeniser, given.fit)
        return tasks, given.model, given.shape, given.tokeniser
    tokeniser = tokeniser_of(name)
    tasks = _tasks(options, origin, tokeniser, fit_to(name))
    if start is None:
        model = new_network(name, tasks, options.seed, options.head)
    elif is_own(name):
        with seeded(options.seed):
            model = own_network(name, options.head, tasks.desirable, start)
    else:
        model = named_network(name, tasks, start)
    return tasks, model, tasks.desirable.train.shape, tokeniser


def run(options: Namespace) -> int:
    """Train, save, and say how well the model does; together with the others under `torchrun`."""
    with distributed.joined():
        return _run(options)


def _run(options: Namespace) -> int:
    path = Path(options.out)
    if path.is_dir():
        raise InputError("a file name in --out", f"the folder {path}", "add a name to it")
    if not -(2**63) <= options.seed < 2**63:
        raise InputError("a seed of at most 63 bits", str(options.seed), "pass a smaller --seed")
    if not options.checkpoint_every >= 0:
        raise InputError("minutes of at least 0", str(options.checkpoint_every), "correct it")
    tasks, model, shape, tokeniser = _begun(options)
    method = options.method
    if method is None:
        raise InputError("a method", "none", f"name one of {', '.join(METHODS)}")
    (method,) = with_recipe([method], options)
    make_folder(path.parent)
    device = find_device(options.device)
    training_state = TrainingState(Path(f"{path}.unfinished"), 60 * options.checkpoint_every)
    with on(device):
        trained = method.fit(
            model.to(device), tasks.to(device), seed=options.seed, training_state=training_state
        ).cpu()
    if not distributed.is_main_process():
        return 0
    origin = _origin(options, method, tasks.desirable.train, tokeniser)
    (save_wrapped if model.head_name else save_model)(trained, path, shape, origin)
    training_state.clear()
    sys.stdout.write(f"{_reached(trained, tasks.desirable.test)}\nmodel: {path}\n")
    return 0


def _reached(model: Classifier, test: Data) -> str:
    """Return in words how well a model does, a language model by its loss, too."""
    logits = predict(model, test)
    right = float((logits.argmax(1) == test.labels).float().mean())
    reached = f"desirable test accuracy: {100 * right:.2f} %"
    if test.stratified:
        return reached
    loss = float(functional.cross_entropy(logits, test.labels))
    told = f"{loss:.3f} nats a token (perplexity {math.exp(loss):.1f})"
    return f"{reached}\ndesirable test loss: {told}"


def _origin(options: Namespace, method: Method, samples: Data, tokeniser: str) -> Origin:
    """Return where the model comes from, the options settled."""
    texts = samples.tokens
    return Origin(
        method=Configuration.of(method),
        arm="defended" if method.defends else "undefended",
        data=options.data,
        undesirable_data=options.undesirable_data,
        desirable=options.desirable,
        undesirable=options.undesirable,
        seed=options.seed,
        shared=options.share_undesirable,
        tokeniser=tokeniser if texts else "",
        length=options.length if texts else 0,
        **{name: options[name] or "" for name in KEPT[1:]},
        scaling=samples.stated_scaling,
    )
