"""Parsing methods on the command line and in files, with their settings and recipe."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, get_loader, set_loader
from yaml import YAMLError

from rootbound.cli.method_help import find_method_for_help, method_help
from rootbound.cli.misspelt import check_settings
from rootbound.cli.options import RecipeOptions
from rootbound.core.devices import emulates_bfloat16, find_device
from rootbound.core.errors import InputError, unknown_name_error
from rootbound.core.user_code import load_named, make_importable_name
from rootbound.methods import METHODS, Method, Plain
from rootbound.methods.names import name_methods
from rootbound.records.configuration import divide_call, divide_list

log = logging.getLogger(__name__)
HELP = (
    f"all, or names separated by commas: {', '.join(METHODS)}, file.py:Class; with settings as in "
    "'BestResponse(weight=0.3)', which may name a class several times; Plain is always among them"
)
PLAIN_YAML = get_loader("yaml")


def with_importable_method(words: Sequence[str]) -> list[str]:
    """Return the words of a command with `--method` replaced by a name that the parser can import.

    From then on, files with options may also name methods in the short ways.

    Raises:
        InputError: There is no such method or file.
        SystemExit: The words ask for a method's settings, which have been printed.
    """
    if (asked_for := find_method_for_help(words)) is not None:
        sys.stdout.write(method_help(asked_for))
        raise SystemExit(0)
    set_loader("yaml", _load_settings, (YAMLError,))
    flags = [word.partition("=")[0] for word in words]
    if "--method" not in flags:
        # As the parser's default, its settings would remain if another method is named.
        return ["--method", "BestResponse", *words]
    prepared: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        if before == "--method":
            prepared.append(_make_importable(word))
        elif word.startswith("--method="):
            prepared.append(f"--method={_make_importable(word.removeprefix('--method='))}")
        else:
            prepared.append(word)
    return prepared


def _load_settings(text: str) -> Any:
    """Read YAML, its methods by names that the parser can import."""
    content = PLAIN_YAML(text)
    method = content.get("method") if isinstance(content, dict) else None
    if isinstance(method, str):
        content["method"] = _make_importable(method)
    elif isinstance(method, dict) and isinstance(method.get("class_path"), str):
        method["class_path"] = _make_importable(method["class_path"])
    return content


def _make_importable(name: str) -> str:
    name = make_importable_name(name)
    if name.isidentifier() and name not in METHODS:
        raise unknown_name_error("method", name, METHODS)
    return name


def with_recipe(methods: Sequence[Method], options: RecipeOptions, device: str) -> list[Method]:
    """Return methods with the recipe that the options ask for."""
    if options.precision == "bfloat16" and emulates_bfloat16(find_device(device)):
        log.warning("this processor emulates bfloat16, many times slower than float32")
    if options.epochs is not None:
        methods = [method.for_epochs(options.epochs) for method in methods]
    if options.precision is not None:
        methods = [method.in_precision(options.precision) for method in methods]
    return [method.when_compiled() if options.compile else method for method in methods]


def read_methods(text: str) -> list[Method]:
    """Return the methods of a list, the undefended one first.

    Raises:
        InputError: There is no such method or setting, brackets do not match, or a method occurs
            twice.
    """
    words = [word.strip() for word in divide_list(text)]
    methods = [
        _read_method(name) for word in words for name in (METHODS if word == "all" else [word])
    ]
    if not any(type(method) is Plain for method in methods):
        methods.insert(0, Plain())
    called = name_methods(methods)
    if len(set(called)) != len(called):
        raise InputError("every method once", text, "remove what is repeated")
    return sorted(methods, key=lambda method: method.defends)


def _read_method(word: str) -> Method:
    """Parse one method, by name or as a class in a user's file, with its settings."""
    name, settings = divide_call(word)
    kind = METHODS.get(name) or load_named(name)
    if kind is None:
        raise unknown_name_error("method", name, METHODS)
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise InputError("a class derived from rootbound.Method", repr(name), "correct --methods")
    try:
        return kind(**_read_settings(kind, settings)) if settings else kind()
    except TypeError as error:
        raise InputError(
            f"{name}() to make a method",
            str(error),
            "write what is missing, give each field a default",
        ) from None


def _read_settings(kind: type[Method], settings: Mapping[str, str]) -> dict[str, Any]:
    """Convert settings to the types that the class declares."""
    check_settings(kind, settings)
    arguments = [f"--method.{name}={text}" for name, text in settings.items()]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "method")
    try:
        return dict(vars(parser.instantiate(parser.parse_args(arguments)).method))
    except ArgumentError as error:
        raise InputError(f"settings of {kind.__name__}", str(error), "correct them") from None
