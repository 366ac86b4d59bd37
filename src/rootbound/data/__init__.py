"""Data: samples, tasks made from them, scaling and augmentation."""

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
