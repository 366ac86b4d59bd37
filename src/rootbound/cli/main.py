"""Finding the command, reading its options, and ending with the right exit code."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from types import FrameType, ModuleType

from jsonargparse import ArgumentError

from rootbound.cli.parser import read_options
from rootbound.cli.words import name_options
from rootbound.core import progress
from rootbound.core.errors import InputError, unknown_name_error
from rootbound.core.memory import keep_freed_memory

COMMANDS = {
    "demo": "train with and without a defence, attack everything, and show it (minutes)",
    "train": "train a model with one method and save it",
    "audit": "attack a saved model beside random weights, and report",
    "compare": "train with several methods, attack them all, and rank them",
    "export": "publish a model with its resistance card",
    "report": "make the report of a run folder again from its records",
    "runs": "list, show and compare runs; go on with one that was interrupted",
    "list": "show methods, attacks, models, data sets and suites",
}
DONE, FAILED, BAD_INPUT, INTERRUPTED, READ_ENOUGH, TERMINATED = 0, 1, 2, 130, 141, 143


class Terminated(KeyboardInterrupt):
    """Raised when `kill`, `timeout` or a scheduler ends the program; workers end too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and any that it asks to run next; return the exit code."""
    outcome: int | Sequence[str] = list(sys.argv[1:] if arguments is None else arguments)
    _write_all_letters()
    try:
        with _handle_termination():
            while not isinstance(outcome, int):
                outcome = _run(outcome)
            sys.stdout.flush()
            return outcome
    except (InputError, ArgumentError) as error:
        return _complain(name_options(str(error)), BAD_INPUT)
    except Terminated:
        return _complain("terminated; what was finished is on disk", TERMINATED)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is on disk", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has closed it, as `head` does. Python would flush it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READ_ENOUGH
    except (RuntimeError, OSError, MemoryError) as error:
        return _complain(f"{type(error).__name__}: {error}", FAILED)


def _write_all_letters() -> None:
    """Write letters that a terminal lacks as codes instead of raising errors."""
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper) and stdout.errors == "strict":
        stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _handle_termination() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: Sequence[str]) -> int | Sequence[str]:
    """Run one command; return its exit code, or the words of the command to run next."""
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(_write_overview())
        return DONE
    if name == "--version":
        sys.stdout.write(f"rootbound {version('rootbound')}\n")
        return DONE
    _log_to_stderr()
    with progress.shown(name):
        command = load_command(name)
        try:
            options = read_options(command, words)
        except SystemExit as ended:  # after --help or --print_config
            return int(ended.code or DONE)
        keep_freed_memory()
        outcome: int | Sequence[str] = command.run(options)
        return outcome


def load_command(name: str) -> ModuleType:
    """Return the module of a command.

    Raises:
        InputError: There is no such command.
    """
    if name not in COMMANDS:
        raise unknown_name_error("command", name, COMMANDS)
    # Commands import torch, which takes seconds, so only the requested one is loaded.
    with progress.step("loading the program"):
        return importlib.import_module(f"rootbound.cli.{name}")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("rootbound: %(message)s"))
    logger = logging.getLogger("rootbound")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def _write_overview() -> str:
    lines = "\n".join(f"  {name:8}{text}" for name, text in COMMANDS.items())
    return (
        "usage: rootbound COMMAND [OPTIONS]\n\n"
        "Train models that resist transfer learning, and prove how much.\n\n"
        f"commands:\n{lines}\n\n"
        "'rootbound COMMAND --help' shows what one can do, '--help-all' all of its options;\n"
        "'rootbound --version' shows the version.\n"
        "exit codes: 0 done, 1 failed on the way or shown not to hold, 2 bad input, 3 undecided,\n"
        "130 interrupted, 143 terminated\n"
    )


def _complain(problem: object, code: int) -> int:
    sys.stderr.write(f"rootbound: {' '.join(str(problem).split())}\n")
    return code
