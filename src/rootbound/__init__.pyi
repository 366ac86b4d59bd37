from . import attacks, datasets, methods, metrics, models, report
from .attacks import Attack, Attacker, Budget, Snapshot, Suite
from .data import Data
from .errors import InputError
from .evaluation import compare, evaluate
from .methods import LossMethod, Method
from .models import Classifier
from .records import Evaluation, Record, Training
from .scaling import Scaling
from .tasks import Task, TaskPair, Tasks
from .training import Recipe

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
    "Recipe",
    "Record",
    "Scaling",
    "Snapshot",
    "Suite",
    "Task",
    "TaskPair",
    "Tasks",
    "Training",
    "attacks",
    "compare",
    "datasets",
    "evaluate",
    "methods",
    "metrics",
    "models",
    "report",
]
