"""Data: samples, the tasks made of them, how they are scaled and augmented."""

from rootbound.data.augmentation import Augmentation
from rootbound.data.samples import PADDING, Batch, Data
from rootbound.data.scaling import Scaling
from rootbound.data.tasks import Task, TaskPair, Tasks

__all__ = [
    "PADDING",
    "Augmentation",
    "Batch",
    "Data",
    "Scaling",
    "Task",
    "TaskPair",
    "Tasks",
]
