"""Methods as the command line names them: `all`, a class, a file's class, with settings or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from rootbound.cli.options import load_named
from rootbound.core.errors import InputError, unknown_name
from rootbound.methods import METHODS, Method, Plain
from rootbound.methods.names import names

HELP = (
    f"all, or names separated by commas: {', '.join(METHODS)}, file.py:Class; with settings as in "
    "'BestResponse(weight=0.3)', several of a class if asked for; Plain is always there"
)
SETTING = re.compile(r"\s*([A-Za-z_][\w.]*)\s*=(.*)", re.DOTALL)


def read_methods(text: str) -> list[Method]:
    """Return the methods of a list, the undefended one first.

    Raises:
        InputError: there is no such method or setting, brackets do not match, or one comes twice.
    """
    words = [word.strip() for word in _divided(text)]
    methods = [_method(one) for word in words for one in (METHODS if word == "all" else [word])]
    if not any(type(one) is Plain for one in methods):
        methods.insert(0, Plain())
    called = names(methods)
    if len(set(called)) != len(called):
        raise InputError("every method once", text, "remove what is repeated")
    return sorted(methods, key=lambda one: one.defends)


def _method(word: str) -> Method:
    """Return the method of a name, or of a class in a file of the user's, with its settings."""
    name, bracket, rest = word.partition("(")
    name = name.strip()
    if bracket and not rest.endswith(")"):
        raise InputError("settings in brackets, and nothing behind them", repr(word), "correct it")
    kind = METHODS.get(name) or load_named(name)
    if kind is None:
        raise unknown_name("method", name, METHODS)
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise InputError("a class derived from rootbound.Method", repr(name), "correct --methods")
    settings = list(_divided(rest[:-1])) if rest[:-1].strip() else []
    try:
        return kind(**_read(kind, settings)) if settings else kind()
    except TypeError as error:
        raise InputError(
            f"{name}() to make a method",
            str(error),
            "write what is missing, give each field a default",
        ) from None


def _read(kind: type[Method], settings: list[str]) -> dict[str, Any]:
    """Return settings given as `name=value`, of the types that the class says."""
    arguments = []
    for setting in settings:
        if (found := SETTING.fullmatch(setting)) is None:
            raise InputError("a setting as in weight=0.3", repr(setting.strip()), "correct it")
        arguments.append(f"--method.{found[1]}={found[2].strip()}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "method")
    try:
        return dict(vars(parser.instantiate(parser.parse_args(arguments)).method))
    except ArgumentError as error:
        raise InputError(f"settings of {kind.__name__}", str(error), "correct them") from None


def _divided(text: str) -> Iterator[str]:
    """Yield the parts between commas that are in no bracket."""
    depth, part = 0, ""
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            yield part
            part = ""
        else:
            part += letter
    yield part
