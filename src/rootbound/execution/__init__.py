"""Running independent jobs: in this process, in several, or on a cluster."""

from rootbound.core.errors import InputError
from rootbound.execution.crew import Crew, Engine, WorkerDied
from rootbound.execution.in_process import InProcess
from rootbound.execution.pool import Pool
from rootbound.execution.ray_cluster import RayCluster

__all__ = ["Crew", "Engine", "InProcess", "Pool", "RayCluster", "WorkerDied", "engine_for"]


def engine_for(workers: int | Engine, device: str = "cpu") -> Engine:
    """Return an engine of so many processes on a device; or the one that is given.

    Raises:
        InputError: there are none.
    """
    if isinstance(workers, Engine):
        return workers
    if workers < 1:
        raise InputError("at least 1 worker", str(workers), "raise it")
    return InProcess(device=device) if workers == 1 else Pool(workers, device=device)
