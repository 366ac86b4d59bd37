"""Train models that resist transfer learning, and prove how much.

What the package offers is listed in `__init__.pyi`; a part is loaded when it is first used.
"""

import importlib
import sys

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Return a part of the package, loaded if need be."""
    part = _load(name)
    # Networks and records lie below what writes and shows them, which is loaded when it is needed.
    if networks := sys.modules.get("rootbound.networks.classifier"):
        networks.Classifier.saver = networks.Classifier.saver or _save
    if records := sys.modules.get("rootbound.records.evaluation"):
        records.Evaluation.view = _show
    return part


def _save(model: object, folder: object) -> None:
    importlib.import_module("rootbound.publishing.model_folder").save_folder(model, folder)


def _show(evaluation: object) -> object:
    return importlib.import_module("rootbound.report").notebook(evaluation)
