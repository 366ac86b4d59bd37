"""Execution: where independent jobs run, in this process, in several, or on a cluster.

An `Engine` opens a `Crew`, which takes jobs and yields their results. Only the crew's function
knows what a job is. A job whose process dies is run once more, alone; if it dies again, the caller
decides.
"""

from rootbound.core.fields import Range, require_whole
from rootbound.execution.engine import Crew, Engine, InProcess, WorkerDied
from rootbound.execution.pool import Pool
from rootbound.execution.program import can_be_run_again, end_unguarded_worker, say_why_one_worker
from rootbound.execution.ray_cluster import RayCluster

__all__ = ["Crew", "Engine", "InProcess", "Pool", "RayCluster", "WorkerDied", "make_engine"]


def make_engine(workers: int | Engine, device: str = "cpu") -> Engine:
    """Return an engine with this number of processes on a device; an engine is returned unchanged.

    If the program is not a file that other processes can run, one worker is used, with a warning.

    Raises:
        InputError: The number is not whole, or below 1.
    """
    end_unguarded_worker()
    if not isinstance(workers, Engine):
        workers = require_whole("workers", workers, Range(at_least=1))
        workers = InProcess(device=device) if workers == 1 else Pool(workers, device=device)
    if isinstance(workers, Pool) and not can_be_run_again():
        say_why_one_worker()
        return InProcess(threads=workers.threads, device=workers.device)
    return workers
