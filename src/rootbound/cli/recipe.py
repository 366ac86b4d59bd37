"""Options that change how every method trains."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from jsonargparse import ArgumentParser, Namespace

from rootbound.core.devices import PRECISIONS, emulates_bfloat16, find_device
from rootbound.methods import Method

log = logging.getLogger(__name__)


def add_recipe(parser: ArgumentParser) -> None:
    """Add the options that change a method's recipe."""
    parser.add_argument("--epochs", type=int, default=None, help="instead of the method's own")
    parser.add_argument(
        "--precision", type=str, default=None,
        help="instead of the method's own: of the products of matrices in training, "
        f"{' or '.join(PRECISIONS)}",
    )  # fmt: skip
    parser.add_argument(
        "--compile", action="store_true",
        help="let torch.compile compile the network for training; needs a C++ compiler, "
        "or Triton on a GPU",
    )  # fmt: skip


def with_recipe(methods: Sequence[Method], options: Namespace) -> list[Method]:
    """Return methods with the recipe that the options ask for."""
    if options.precision == "bfloat16" and emulates_bfloat16(find_device(options.device)):
        log.warning("this processor emulates bfloat16, many times slower than float32")
    return [_changed(method, options) for method in methods]


def _changed(method: Method, options: Namespace) -> Method:
    if options.epochs is not None:
        method = method.for_epochs(options.epochs)
    if options.precision is not None:
        method = method.in_precision(options.precision)
    return method.when_compiled() if options.compile else method
