"""Train models that resist transfer learning, and prove how much."""

from rootbound import attacks, datasets, methods, models, report
from rootbound.attacks import Attack, Attacker, Budget, Snapshot, Suite
from rootbound.data import Data, Scaling
from rootbound.errors import InputError
from rootbound.evaluation import compare, evaluate
from rootbound.methods import LossMethod, Method
from rootbound.models import Classifier
from rootbound.records import Evaluation, Record, Training
from rootbound.tasks import Task, TaskPair

__all__ = [
    "Attack",
    "Attacker",
    "Budget",
    "Classifier",
    "Data",
    "Evaluation",
    "InputError",
    "LossMethod",
    "Method",
    "Record",
    "Scaling",
    "Snapshot",
    "Suite",
    "Task",
    "TaskPair",
    "Training",
    "attacks",
    "compare",
    "datasets",
    "evaluate",
    "methods",
    "models",
    "report",
]
