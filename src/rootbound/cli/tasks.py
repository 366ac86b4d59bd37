"""Resolving the tasks from the options and from the header of a model's file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rootbound.cli.options import TaskOptions
from rootbound.cli.words import OPTIONS
from rootbound.core.errors import InputError
from rootbound.data import TaskPair, Tasks
from rootbound.datasets import (
    ALL,
    Dataset,
    HashedWords,
    Layout,
    Tokeniser,
    fitted,
    list_stated,
    load,
    settings_of,
)
from rootbound.datasets.classes import Labels, describe_names, parse_positions, write_names
from rootbound.datasets.unused import STATED
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser
from rootbound.publishing import Origin
from rootbound.publishing.header import ELSEWHERE, hide_path

DATA = "mnist"
"""The default data set."""
DEFAULT_CLASSES = 10
"""A single data set with this number of classes is split by default: one half is desirable, the
other undesirable. With any other number, classes must be named."""
Fit = Callable[[Dataset], Dataset]
"""Changes a data set so that a network can take it."""


@dataclass(frozen=True)
class ClassList:
    """A list of classes that was given, or that is not known yet.

    Args:
        role: `desirable` or `undesirable`.
        text: The list from the user or a model's file; empty if there is none.
        by_name: Whether its numbers are names; in files of older models they are positions.
    """

    role: str
    text: str
    by_name: bool = True

    def find(self, data: Dataset) -> Labels:
        """Return the labels of these classes.

        Raises:
            InputError: There are no such classes, or none were named.
        """
        if not self.by_name:
            return parse_positions(self.text, data.classes)
        if self.text:
            return data.chosen(self.text)
        if len(data.classes) != DEFAULT_CLASSES:
            count = len(data.classes)
            raise InputError(
                f"some classes of {data.name} in --{self.role}",
                "none",
                f"name some of {describe_names(data.classes)}"
                if count > 1
                else f"bring more classes: there is {describe_names(data.classes)} alone",
            )
        half = DEFAULT_CLASSES // 2
        return Labels(range(half) if self.role == "desirable" else range(half, DEFAULT_CLASSES))

    def named(self, data: Dataset) -> ClassList:
        """Return the same list by names; a list of names is returned unchanged."""
        if self.text and self.by_name:
            return self
        return ClassList(self.role, write_names(data.names_of(self.find(data))))


@dataclass(frozen=True)
class UndesirableSource:
    """The source of the undesirable task, if there is no other; with all options resolved.

    Args:
        undesirable_data: Data set.
        undesirable: Classes.
        layout: How files are read.
        tokeniser: Name of the pretrained model whose tokeniser texts are for; empty for words.
    """

    undesirable_data: str
    undesirable: ClassList
    layout: Layout
    tokeniser: str

    def read(self, fit: Fit | None = None) -> Tasks:
        """Return the undesirable task alone; `fit` makes its data fit the network."""
        data = self._load(self.undesirable_data, fit)
        return Tasks.alone(data.task(self.undesirable.find(data)))

    def has_second_of(self, _origin: Origin | None) -> bool:
        """Return False: there is one data set."""
        return False

    def _load(self, name: str, fit: Fit | None = None, layout: Layout | None = None) -> Dataset:
        data = load(name, tokeniser=_make_tokeniser(self.tokeniser), layout=layout or self.layout)
        return data if fit is None else fit(data)


@dataclass(frozen=True)
class TaskSource(UndesirableSource):
    """The source of both tasks, with all options resolved.

    Args:
        data: Data set of the desirable classes; that of the undesirable ones is often the same.
        desirable: Desirable classes.
        shared: Whether defender and attacker get the same undesirable samples.
    """

    data: str
    desirable: ClassList
    shared: bool = False

    @property
    def has_second(self) -> bool:
        """Whether the undesirable classes are of a second data set."""
        return self.undesirable_data != self.data

    def has_second_of(self, origin: Origin | None) -> bool:
        """Return whether a model was trained against the same second data set."""
        # In a published file, a path is cut to its last part.
        names = self.undesirable_data, hide_path(self.undesirable_data)
        return self.has_second and origin is not None and origin.undesirable_data in names

    def read(self, fit: Fit | None = None) -> TaskPair:
        """Return both tasks; `fit` makes the desirable data fit the network."""
        return self.read_named(fit)[0]

    def read_named(self, fit: Fit | None = None) -> tuple[TaskPair, TaskSource]:
        """Return both tasks as `read` does, and their source with all classes named."""
        names = self.data, self.undesirable_data
        data = self._load(self.data, fit, self._layout_beside(*names))
        second = data
        if self.has_second:
            layout = self._layout_beside(*reversed(names))
            second = fitted(self._load(self.undesirable_data, layout=layout), data.train.shape)
        wanted, unwanted = self.desirable.find(data), self.undesirable.find(second)
        named = replace(
            self,
            desirable=self.desirable.named(data),
            undesirable=self.undesirable.named(second),
        )
        if not self.has_second:
            return data.split(wanted, unwanted, share_undesirable=self.shared), named
        pair = data.task(wanted), second.task(unwanted)
        return TaskPair.of(*pair, share_undesirable=self.shared), named

    def _layout_beside(self, name: str, other: str) -> Layout:
        """Return the layout for one data set, which ignores settings that only the other uses."""
        if not self.has_second or not list_stated(self.layout):
            return self.layout
        with contextlib.suppress(OSError):  # reading the data will report the error
            used = set(settings_of(other)).difference(settings_of(name))
            return replace(self.layout, optional=self.layout.optional | used)
        return self.layout


def resolve_tasks(
    options: TaskOptions,
    origin: Origin | None = None,
    tokeniser: str = "",
    published: Origin | None = None,
) -> TaskSource:
    """Resolve both tasks from the options, then the model's file, then our defaults.

    Args:
        options: The options as given.
        origin: The origin in the model's file, if there is one.
        tokeniser: Name of the pretrained model that texts are tokenised for, if there is one.
        published: The origin of that pretrained model, if it is one of ours.

    Raises:
        InputError: The file was published, so that it has only the names of the data sets.
    """
    layout = _resolve_layout(options, origin, published)
    data = _choose_first(options.data, origin and origin.data, DATA)
    second = options.undesirable_data
    if second is None:
        second = data  # use the file's second data set only if it names two
        if origin is not None and origin.undesirable_data != origin.data:
            second = origin.undesirable_data
    for option, name in (("--data", data), ("--undesirable-data", second)):
        if ELSEWHERE in name:
            raise InputError(
                f"{option}, a data set like the one that the model is for",
                f"its name alone, {name.rpartition('/')[2]}, in a published model",
                f"give its path with {option}",
            )
    usual = "" if second == data else ALL
    return TaskSource(
        data=data,
        undesirable_data=second,
        desirable=_resolve_classes("desirable", options, origin, usual),
        undesirable=_resolve_classes("undesirable", options, origin, usual),
        shared=options.share_undesirable or (origin is not None and origin.shared),
        layout=layout,
        tokeniser=tokeniser,
    )


def resolve_undesirable(
    options: TaskOptions, tokeniser: str = "", published: Origin | None = None
) -> UndesirableSource | None:
    """Resolve only the undesirable task; return None if the desirable one is given in any way.

    Only the undesirable task is given if there is a data set of undesirable classes, or if only
    undesirable classes are named. If nothing is given, our defaults name both tasks.

    Args:
        options: The options as given.
        tokeniser: As in `resolve_tasks`.
        published: As in `resolve_tasks`.
    """
    data, second = options.data, options.undesirable_data
    both = data is not None and second is not None
    none = second is None and options.undesirable is None
    if both or none or options.desirable is not None:
        return None
    name = _choose_first(second, data, DATA)
    classes = _resolve_classes("undesirable", options, None, ALL)
    return UndesirableSource(name, classes, _resolve_layout(options, published), tokeniser)


def _resolve_classes(
    role: str, options: TaskOptions, origin: Origin | None, usual: str
) -> ClassList:
    """Return the classes that the options name, then the model's file, then `usual`."""
    given = getattr(options, role)
    if given is not None:
        if not given.strip():
            raise InputError(f"classes in --{role}", "nothing", "name some, or leave it out")
        return ClassList(role, given)
    if origin is not None and (stated := getattr(origin, role)):
        return ClassList(role, stated, origin.classes_by_name)
    return ClassList(role, usual)


def _resolve_layout(options: TaskOptions, *origins: Origin | None) -> Layout:
    """Return the layout of files from the options, else from the origins of models.

    Data other than the model's own may ignore the settings in its file.
    """

    def resolve(name: str) -> Any:
        return _choose_first(
            getattr(options, name), *(getattr(origin, name, None) for origin in origins)
        )

    names = (resolve("label_names") or "").split(",")
    return Layout(
        inputs=resolve("input_column") or None,
        label=resolve("label_column") or None,
        skip_unreadable=options.skip_unreadable,
        length=_choose_first(resolve("length"), Layout.length),
        in_memory=options.in_memory,
        train_split=resolve("train_split") or None,
        test_split=resolve("test_split") or None,
        holdout=resolve("holdout") or None,
        axes=resolve("layout") or None,
        label_names=tuple(name.strip() for name in names if name.strip()),
        optional=frozenset(
            name for name in STATED if getattr(options, _find_field(OPTIONS[name])) is None
        ),
    )


def _make_tokeniser(name: str) -> Callable[[], Tokeniser]:
    if name.startswith(PRETRAINED):
        return partial(pretrained_tokeniser, name.removeprefix(PRETRAINED))
    return HashedWords


def _choose_first(given: Any, *stated: Any) -> Any:
    """Return the user's value, even if it is empty; otherwise the first other value not empty."""
    return given if given is not None else next((value for value in stated if value), None)


def _find_field(option: str) -> str:
    """Return the field of the options that an option such as `--label-column` fills."""
    return option.removeprefix("--").replace("-", "_")
