"""Timing of code: repeated runs, after a first one that does not count."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def measure_seconds(
    run: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the seconds of repeated runs, after a first one that does not count.

    Args:
        run: The function to time.
        repeats: The number of runs that count.
        clock: The clock; `time.process_time` where other jobs run beside this one.
    """
    device, measured = torch.get_default_device(), []
    for _ in range(repeats + 1):
        wait_for(device)
        started = clock()
        run()
        wait_for(device)
        measured.append(clock() - started)
    return measured[1:]


def wait_for(device: torch.device) -> None:
    """Return when an accelerator has finished all work that was queued on it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
