"""Methods as the command line names them: `all`, a class, a file's class, with settings or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from rootbound.cli.options import load_named
from rootbound.core.errors import InputError, unknown_name
from rootbound.methods import METHODS, Method, Plain
from rootbound.methods.names import names
from rootbound.records.configuration import divide_call, divide_list

HELP = (
    f"all, or names separated by commas: {', '.join(METHODS)}, file.py:Class; with settings as in "
    "'BestResponse(weight=0.3)', several of a class if asked for; Plain is always there"
)


def read_methods(text: str) -> list[Method]:
    """Return the methods of a list, the undefended one first.

    Raises:
        InputError: there is no such method or setting, brackets do not match, or one comes twice.
    """
    words = [word.strip() for word in divide_list(text)]
    methods = [_method(one) for word in words for one in (METHODS if word == "all" else [word])]
    if not any(type(one) is Plain for one in methods):
        methods.insert(0, Plain())
    called = names(methods)
    if len(set(called)) != len(called):
        raise InputError("every method once", text, "remove what is repeated")
    return sorted(methods, key=lambda one: one.defends)


def _method(word: str) -> Method:
    """Return the method of a name, or of a class in a file of the user's, with its settings."""
    name, settings = divide_call(word)
    kind = METHODS.get(name) or load_named(name)
    if kind is None:
        raise unknown_name("method", name, METHODS)
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise InputError("a class derived from rootbound.Method", repr(name), "correct --methods")
    try:
        return kind(**_read(kind, settings)) if settings else kind()
    except TypeError as error:
        raise InputError(
            f"{name}() to make a method",
            str(error),
            "write what is missing, give each field a default",
        ) from None


def _read(kind: type[Method], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return settings as values of the types that the class says."""
    arguments = [f"--method.{name}={text}" for name, text in settings.items()]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "method")
    try:
        return dict(vars(parser.instantiate(parser.parse_args(arguments)).method))
    except ArgumentError as error:
        raise InputError(f"settings of {kind.__name__}", str(error), "correct them") from None
