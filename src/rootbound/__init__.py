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
    networks = sys.modules.get("rootbound.networks.classifier")
    if networks is not None and networks.Classifier.saver is None:
        # Networks lie below what writes them, which is loaded when it is needed.
        networks.Classifier.saver = _save
    if name in ("Evaluation", "compare", "evaluate"):
        # A notebook shows an evaluation as a report does, and records lie below reports.
        _load("Evaluation").view = lambda evaluation: _load("report").notebook(evaluation)
    return part


def _save(model: object, folder: object) -> None:
    importlib.import_module("rootbound.publishing.model_folder").save_folder(model, folder)
