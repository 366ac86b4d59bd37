"""The program that starts workers: every worker runs it again, so it must be able to."""

from __future__ import annotations

import logging
import os
import sys
from multiprocessing import process
from pathlib import Path

from rootbound.core.errors import InputError, take_first_line

log = logging.getLogger(__name__)
NAME = "rootbound-worker"
"""Prefix of the names of worker processes. A process has its name before it runs the program."""
UNGUARDED = 71
"""Exit code of a worker in which the program was about to start workers itself."""
GUARD = 'if __name__ == "__main__":'


def can_be_run_again() -> bool:
    """Return whether the program is a file, not a notebook, `python -c` or standard input."""
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:  # python -m
        return True
    return Path(getattr(main, "__file__", None) or "<none>").is_file()


def say_why_one_worker() -> None:
    """Log that only one worker is used, and how to get more."""
    log.warning(
        "one worker is used, in this process: others would run the program again, which is no file "
        "(a notebook, python -c, or standard input); for more workers write it to a file, with "
        "what starts them under `%s`",
        GUARD,
    )


def end_unguarded_worker() -> None:
    """End this process if it is a worker that is still running the main program.

    It would start workers of its own. The process that started it reports the mistake.
    """
    current = process.current_process()
    if current.name.startswith(NAME) and getattr(current, "_inheriting", False):
        os._exit(UNGUARDED)


def failed_start_error(code: int | None) -> InputError:
    """Return the error for a worker that ended with this exit code before it could work."""
    if code == UNGUARDED:
        return InputError(
            f"what starts workers to stand under `{GUARD}`",
            "a program that begins it whenever it is run, as each worker does at its start",
            "write that line above it, or use workers=1",
        )
    return InputError(
        "workers that start",
        f"one that ended at its start with exit code {code}, for the reason it has printed above",
        f"put what the program does under `{GUARD}`, which no worker runs, or use workers=1",
    )


def unreadable_start_error(error: Exception) -> InputError:
    """Return the error for a worker that cannot unpickle its data or settings."""
    return InputError(
        "data and settings that other processes can be sent",
        f"{type(error).__name__} at a worker's start: {take_first_line(error)}",
        "define what they are made of in a module, or use workers=1",
    )
