"""Settings of methods: variants of `BestResponse`, and the text by which tables know a method."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from rootbound.methods import BestResponse, Method, Schedule, Terms
from rootbound.records import Configuration

TERMS = {field.name for field in fields(Terms)}
SCHEDULE = {field.name for field in fields(Schedule)}
EARLIER_NAMES = {"before": "before_activation", "settled": "first_block_until"}
"""Settings of `BestResponse` that older records know by another name, and in no group."""


def vary(method: BestResponse, **changes: Any) -> BestResponse:
    """Return the method with other values of some settings, those in its groups included."""
    terms = {name: changes.pop(name) for name in TERMS & changes.keys()}
    schedule = {name: changes.pop(name) for name in SCHEDULE & changes.keys()}
    return replace(
        method,
        terms=replace(method.terms, **terms),
        schedule=replace(method.schedule, **schedule),
        **changes,
    )


def write_settings(method: Method | None) -> str:
    """Return a method's class and settings as text; `None` where weights stay random."""
    return "None" if method is None else str(Configuration.of(method))


def ungroup_settings(configuration: Configuration | str) -> dict[str, Any]:
    """Return settings by name without the groups of `BestResponse`, which older records lack."""
    if isinstance(configuration, str):
        return {"": configuration}
    settings = {"": configuration.kind}
    for path, value in configuration.leaves():
        name = ".".join(part for part in path if part not in ("terms", "schedule"))
        settings[EARLIER_NAMES.get(name, name)] = value
    settings.pop("levels", None)  # a state of the training, which older records hold as a setting
    return settings
