"""Finding a method by its name, and the attacks that know it."""

from __future__ import annotations

import contextlib
import logging

from rootbound.attacks import Attack
from rootbound.methods.base import Method
from rootbound.networks.origin import STRANGER

log = logging.getLogger(__name__)


def find_kind(name: str) -> type[Method] | None:
    """Return the class of that name: a built-in method, or the user's own if it is loaded here."""
    found: list[type[Method]] = []
    kinds = Method.__subclasses__()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        found += [kind] if name in (kind.__name__, kind.__qualname__) else []
    built_in = [kind for kind in found if kind.__module__.partition(".")[0] == "rootbound"]
    return next(iter(built_in + found), None)


def find_adaptive_attacks(name: str) -> tuple[Attack, ...]:
    """Return the attacks that know the method of that name, with its default settings.

    Of a file only the name of the method is trusted: its settings are not read. The user's own
    method is found where its class is loaded; if it is not, the log says so.
    """
    kind = find_kind(name)
    if kind is not None:
        with contextlib.suppress(TypeError):  # settings of the user's own class may lack defaults
            return kind().adaptive_attacks()
    if name not in ("", STRANGER):
        log.warning(
            "%s, which trained the model, is not known here, nor attacks that know it", name
        )
    return ()
