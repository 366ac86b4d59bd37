from . import attacks, datasets, errors, execution, methods, metrics, models, report, suites
from .api.audit import audit
from .api.data import load_data
from .api.defend import defend
from .api.load import load
from .api.verdict import Verdict
from .attacks import Attack, Attacker, Budget, Snapshot
from .core.errors import InputError
from .core.version import __version__
from .data import Augmentation, Batch, Data, Scaling, Task, TaskPair, Tasks
from .datasets import Dataset
from .evaluation import compare, evaluate
from .methods import LossMethod, Method
from .metrics import Estimate
from .networks import Classifier
from .records import Evaluation, Record, Training
from .suites import Suite
from .training import Recipe

__all__ = [
    "Attack",
    "Attacker",
    "Augmentation",
    "Batch",
    "Budget",
    "Classifier",
    "Data",
    "Dataset",
    "Estimate",
    "Evaluation",
    "InputError",
    "LossMethod",
    "Method",
    "Recipe",
    "Record",
    "Scaling",
    "Snapshot",
    "Suite",
    "Task",
    "TaskPair",
    "Tasks",
    "Training",
    "Verdict",
    "__version__",
    "attacks",
    "audit",
    "compare",
    "datasets",
    "defend",
    "errors",
    "evaluate",
    "execution",
    "load",
    "load_data",
    "methods",
    "metrics",
    "models",
    "report",
    "suites",
]
