"""Finding the command, reading its options, and ending with the right exit code."""

from __future__ import annotations

import contextlib
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from types import FrameType, ModuleType

from jsonargparse import ArgumentError, ArgumentParser

from rootbound.core.errors import InputError, unknown_name
from rootbound.core.memory import keep_freed_memory

COMMANDS = {
    "demo": "train with and without a defence, attack everything, and show it (minutes)",
    "train": "train a model with one method and save it",
    "audit": "attack a saved model beside fresh weights, and report",
    "compare": "train with several methods, attack them all, and rank them",
    "export": "publish a model with its resistance card",
    "report": "make the report of a run folder again from its records",
    "runs": "list, show and compare runs; go on with one that was interrupted",
    "list": "show methods, attacks, models, data sets and suites",
}
DONE, FAILED, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class Terminated(KeyboardInterrupt):
    """What `kill`, `timeout` and schedulers ask for: to end as after Ctrl-C, workers too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _termination_heard():
            return _run(given)
    except (InputError, ArgumentError) as error:
        return _complain(error, BAD_INPUT)
    except Terminated:
        return _complain("terminated; what was finished is on disk", TERMINATED)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is on disk", INTERRUPTED)
    except (RuntimeError, OSError, MemoryError) as error:
        return _complain(f"{type(error).__name__}: {error}", FAILED)


@contextlib.contextmanager
def _termination_heard() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's alone
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        sys.stdout.write(_overview())
        return DONE
    if given[0] == "--version":
        sys.stdout.write(f"rootbound {version('rootbound')}\n")
        return DONE
    name, rest = given[0], given[1:]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    command, parser = command_and_parser(name)
    _log_to_stderr()
    prepare = getattr(command, "prepare", list)
    _check_options(parser, rest)
    try:
        options = parser.parse_args(prepare(rest))
    except SystemExit as ended:  # after --help or --print_config
        return int(ended.code or DONE)
    except (OverflowError, RecursionError) as error:  # which the parser lets through
        raise InputError("options of a usual size", str(error), "correct them") from None
    settings = parser.instantiate(options)
    # As they were given, so that a run can be begun again with them.
    settings.arguments = tuple(given)
    keep_freed_memory()
    return int(command.run(settings))


def command_and_parser(name: str) -> tuple[ModuleType, ArgumentParser]:
    """Return the module of a command, and the parser of its options."""
    # Commands import torch, which takes seconds: only the one that is asked for is loaded.
    command = importlib.import_module(f"rootbound.cli.{name}")
    parser = ArgumentParser(
        prog=f"rootbound {name}", description=command.__doc__, exit_on_error=False
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    command.configure(parser)
    return command, parser


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("rootbound: %(message)s"))
    logger = logging.getLogger("rootbound")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def _check_options(parser: ArgumentParser, given: Sequence[str]) -> None:
    """Raise for an option that does not exist, naming the nearest one that does."""
    known = [name for name in parser._option_string_actions if name.startswith("--")]
    for word in given:
        name = word.partition("=")[0]
        # What follows a dot is a setting of what the option names: the parser checks it.
        if name.startswith("--") and name.partition(".")[0] not in known:
            raise unknown_name("known option", name, known)


def _overview() -> str:
    lines = "\n".join(f"  {name:8}{text}" for name, text in COMMANDS.items())
    return (
        "usage: rootbound COMMAND [OPTIONS]\n\n"
        "Train models that resist transfer learning, and prove how much.\n\n"
        f"commands:\n{lines}\n\n"
        "'rootbound COMMAND --help' shows the options of one; '--version' the version.\n"
        "exit codes: 0 done, 1 failed on the way, 2 bad input, 130 interrupted, 143 terminated\n"
    )


def _complain(problem: object, code: int) -> int:
    sys.stderr.write(f"rootbound: {' '.join(str(problem).split())}\n")
    return code
