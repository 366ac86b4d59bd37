"""Sources of networks: a name, a configuration, a function in a file, or existing weights."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from rootbound.cli.factory import (
    ONE_OF,
    asks_for_classes,
    call_factory,
    find_factory,
    with_classes,
)
from rootbound.cli.options import NetworkOptions
from rootbound.core.errors import InputError
from rootbound.data import Scaling, Tasks
from rootbound.datasets import Dataset, fitted
from rootbound.networks import MODELS, Classifier, build
from rootbound.networks.hugging_face.configuration import PRETRAINED, read_fixed_shape
from rootbound.networks.registry import read_architecture
from rootbound.publishing import Origin
from rootbound.publishing.checkpoint import read_header
from rootbound.publishing.foreign import count_classes, set_weights
from rootbound.publishing.header import Header
from rootbound.publishing.hub import WEIGHTS
from rootbound.publishing.published import (
    TOKENISER,
    WeightsLocation,
    check_transformers_card,
    find_weights,
    load_transformers,
)
from rootbound.publishing.tensor_files import read_content
from rootbound.training import seeded

log = logging.getLogger(__name__)
MODEL = "shallow_cnn"
"""The default network."""


def is_own(name: str | None) -> bool:
    """Return whether a network is named as `file.py:function`."""
    return name is not None and name.rpartition(":")[0].endswith(".py")


@dataclass(frozen=True)
class NetworkSource:
    """The source of a network, and what is known about it before data are read.

    Args:
        name: Name of the network as `networks.build` takes it, or `file.py:function`.
        head: Name of the last linear layer of a user's own network; None to find it.
        tokeniser: Name of the pretrained model whose tokeniser texts are for; empty if there is
            none.
        weights: Location of trained weights; None for the network's own initial ones.
        header: The header of their file; None if it has none.
        model: The model, if a file describes it completely; its weights are read already.
    """

    name: str
    head: str | None = None
    tokeniser: str = ""
    weights: WeightsLocation | None = None
    header: Header | None = None
    model: Classifier | None = None

    @property
    def origin(self) -> Origin | None:
        """The origin of the weights, if their file states it."""
        return _find_known_origin(self.header)

    @property
    def scaling(self) -> Scaling | None:
        """Scaling of the inputs that the weights were trained on, if their file states it."""
        return None if self.header is None else self.header.origin.scaling

    @property
    def published(self) -> Origin | None:
        """The origin of the model of ours with which the tokeniser was published, if any."""
        if not self.tokeniser.startswith(PRETRAINED):
            return None
        header = read_header(Path(self.tokeniser.removeprefix(PRETRAINED), WEIGHTS))
        return _find_known_origin(header)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of a sample, if the model's file states it."""
        return None if self.model is None or self.header is None else self.header.shape

    def fit(self, data: Dataset, *, resize: bool = False) -> Dataset:
        """Return the data set, converted if the network takes images of only one shape.

        Args:
            data: The data set.
            resize: Whether to convert it also if a model from a file cannot take it otherwise.
        """
        if resize and self.model is not None and self.shape is not None:
            try:
                self.model.check_inputs(data.train.shape)
            except InputError:
                return fitted(data, self.shape)
            return data
        shape = None if data.train.tokens else read_fixed_shape(self.name)
        return data if shape is None else fitted(data, shape)

    def build(self, tasks: Tasks, seed: int = 0) -> Classifier:
        """Return the network with its weights, new ones for the desirable task where it has none.

        Args:
            tasks: Tasks whose samples it takes.
            seed: Seed of new weights.

        Raises:
            InputError: There is no such network, the weights do not fit, the number of classes is
                not known, or a card is about other weights.
        """
        if self.model is not None:
            return self.model
        task = tasks.desirable or tasks.undesirable
        if is_own(self.name):
            with seeded(seed):
                return self.build_own(tasks)
        if self.weights is None:
            if self.name.startswith(PRETRAINED):
                check_transformers_card(self.name)
            return build(self.name, len(task.classes), task.train.shape, seed=seed)
        known = None if tasks.desirable is None else len(task.classes)
        return self.build_with_weights(known, task.train.shape)

    def build_with_weights(self, classes: int | None, shape: tuple[int, ...]) -> Classifier:
        """Return the network of a name or configuration with the weights of a file.

        Args:
            classes: Number of classes; None for that of the file.
            shape: Shape of the samples.

        Raises:
            InputError: The weights do not fit, the number of classes is not known, or a card is
                about other weights.
        """
        assert self.weights is not None  # callers have checked it
        content, key = read_content(self.weights.weights), self.weights.key
        classes = count_classes(content, key) if classes is None else classes
        model = build(self.name, classes, shape)
        set_weights(model, content, key)
        self.weights.check_card(model)
        return model

    def build_own(
        self,
        tasks: Tasks | None = None,
        *,
        classes: int | None = None,
        example: Tensor | None = None,
    ) -> Classifier:
        """Return the network that a function in a user's file makes; the file is executed.

        Further calls of the function provide random weights, unless it returns the same ones again.

        Args:
            tasks: Tasks that the network is for, with samples to find and check the head with.
            classes: Number of classes, if there are no tasks and the file does not state it.
            example: Inputs to use instead of the tasks' samples.

        Raises:
            InputError: There is no such function, it cannot be called or returns no network, the
                weights do not fit, or a card is about others.
        """
        make = find_factory(self.name)
        if asks_for_classes(make):
            make = with_classes(make, classes or self._count_classes(tasks))
        module = call_factory(make, self.name)
        task = None if tasks is None else tasks.desirable or tasks.undesirable
        example = example if task is None else task.train.batch(slice(0, 1))[0]
        if self.weights is None:
            model = Classifier.wrap(module, self.head, example)
        else:
            model = self.weights.load_into(module, self.head, example)
        try:
            model.draw_from(make)
        except InputError as reason:  # for example, it returns pretrained weights
            with contextlib.suppress(InputError):  # the comparison will report this error
                model.reinitialised(0)
                log.info("random weights are drawn module by module: %s", reason)
        return model

    def _count_classes(self, tasks: Tasks | None) -> int:
        """Return the number of classes for a function that takes it.

        Raises:
            InputError: The number is not known.
        """
        if self.header is not None:
            return self.header.classes
        if tasks is not None and tasks.desirable is not None:
            return len(tasks.desirable.classes)
        if self.weights is None and tasks is not None:  # a head that attacks put another for
            return len(tasks.undesirable.classes)
        assert self.weights is not None  # what has no header has been named as a file
        return count_classes(read_content(self.weights.weights), self.weights.key)


def _find_known_origin(header: Header | None) -> Origin | None:
    return header.origin if header is not None and header.origin.is_known else None


def refuse_network(options: NetworkOptions, path: str) -> None:
    """Raise an `InputError` if options name a network although its weights say which it is.

    Args:
        options: The network.
        path: The weights.
    """
    for option, value in (
        ("--model", options.model), ("--head", options.head), ("--weights", options.weights)
    ):  # fmt: skip
        if value is not None:
            raise InputError(
                f"no {option} with {path}, which says it itself", value, "leave it out"
            )


def resolve_transformers(name: str) -> NetworkSource:
    """Return a model of `transformers` as a source, with its own head.

    Args:
        name: `hf:` and a name or folder.

    Raises:
        InputError: There is no such model, or its card is about another one.
    """
    header = read_header(Path(name.removeprefix(PRETRAINED), WEIGHTS))
    return NetworkSource(name, None, name, None, header, load_transformers(name))


def resolve_network(options: NetworkOptions, path: str | None = None) -> NetworkSource:
    """Return the source of the network that the options or the file of its weights name.

    Existing weights are read once: here if their file also describes the network, else in
    `NetworkSource.build`.

    Args:
        options: The network, if the file of its weights does not describe it.
        path: Model file, published folder or hub name of weights to take; None for others.

    Raises:
        InputError: There is no such model, it is damaged or not that of its card, or the network
            is named with weights of its own.
    """
    name = MODEL if options.model is None else options.model
    pretrained = name.startswith(PRETRAINED)
    if options.weights is not None and (path is None or options.model is None):
        raise InputError(
            "--weights with --model and a file of weights", "it alone", "leave it out, or name both"
        )
    if options.head is not None and not is_own(options.model):
        raise InputError("--head with --model file.py:function", "it alone", "leave it out")
    if path is None:
        return NetworkSource(name, options.head, name if pretrained else "")
    if pretrained:
        raise InputError(
            f"weights of a file, or of --model {PRETRAINED}NAME", "both", "leave one out"
        )
    weights = replace(find_weights(path), key=options.weights)
    if options.model is None:
        model, whole = weights.load()
        return NetworkSource(
            whole.architecture, None, whole.origin.tokeniser, weights, whole, model
        )
    header = read_header(weights.weights)
    tokeniser = "" if header is None else header.origin.tokeniser
    file = Path(name.rpartition(":")[0] if is_own(name) else name)
    described = file.suffix == ".json"
    if not described and not is_own(name) and name not in MODELS:
        raise InputError(ONE_OF, repr(name), "correct --model")
    beside = (file.parent / TOKENISER).is_file()
    if beside and (described or (is_own(name) and header is None)):
        tokeniser = f"{PRETRAINED}{file.parent}"
    name = read_architecture(file) if described else name
    return NetworkSource(name, options.head, tokeniser, weights, header)
