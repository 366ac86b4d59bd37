"""Data: samples, the tasks made of them, how they are scaled and augmented."""

from rootbound.data.samples import PADDING, Batch, Data
from rootbound.data.tasks import Task, TaskPair, Tasks
from rootbound.data.transforms import Augmentation, Scaling

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
