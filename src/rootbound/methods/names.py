"""Names of methods, which tell several of one class apart by their settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from rootbound.methods.base import Method


def name_methods(methods: Sequence[Method]) -> list[str]:
    """Return a name for each method: its class, and settings that distinguish it within the class.

    Settings that are the class's defaults, or the same in all of its methods, are left out, as in
    `BestResponse` and `BestResponse(weight=0.3)`. Equal methods have equal names.
    """
    names = []
    for method in methods:
        kind = type(method).__name__
        siblings = [
            _list_changed_settings(other) for other in methods if type(other).__name__ == kind
        ]
        telling = [
            f"{name}={value!r}"
            for name, value in _list_changed_settings(method).items()
            if any(sibling.get(name, MISSING) != value for sibling in siblings)
        ]
        names.append(f"{kind}({', '.join(telling)})" if telling else kind)
    return names


def _list_changed_settings(method: Method) -> dict[str, Any]:
    """Return the settings that differ from the defaults; nested ones are named `recipe.epochs`."""
    changed = {}
    for part in fields(method):
        value, usual = getattr(method, part.name), _find_default(part)
        if is_dataclass(value) and type(value) is type(usual):
            for entry in fields(value):
                if getattr(value, entry.name) != getattr(usual, entry.name):
                    changed[f"{part.name}.{entry.name}"] = getattr(value, entry.name)
        elif value != usual:
            changed[part.name] = value
    return changed


def _find_default(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()
