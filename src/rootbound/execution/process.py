"""What a process does that works for another: first, and with every job."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rootbound.core.memory import keep_freed_memory
from rootbound.execution.crew import Job, Result

LOST = 70
"""Exit code of a process whose accelerator does nothing more for it."""


def settle_in(threads: int) -> None:
    """Make this process a worker with so many threads."""
    # Ctrl-C reaches the whole group: the parent alone answers it, and ends the workers.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    torch.set_num_threads(threads)
    # NumPy's and SciPy's own threads would fight over the cores with the other workers.
    threadpool_limits(threads)
    # Progress bars of several processes would overwrite each other: the parent shows one.
    os.environ["TQDM_DISABLE"] = "1"
    # Nor do they need a lock between processes, which an interrupted one would leave behind.
    tqdm.set_lock(threading.RLock())
    # With its first optimiser torch loads its compiler: seconds that belong to no trial, and that
    # a trial's limit would leave half loaded.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])


def do(function: Callable[..., Result], job: Job, shared: tuple[Any, ...]) -> Result:
    """Do a job, or end the process.

    After a failed assertion on an accelerator, or a bad address there, every further call of the
    process fails. A new one can go on, and what cannot be done there, either, fails alone.
    """
    try:
        return function(job, *shared)
    except torch.AcceleratorError:
        traceback.print_exc()
        os._exit(LOST)
