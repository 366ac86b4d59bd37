"""The output of `--help` and `--help-all`: one screen for most people, and everything.

The first screen names every option: those with a brief description have a line each, of the others
only the names are listed. `--help-all` prints the full descriptions. If these fit on one screen,
`--help` prints them too.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from itertools import groupby
from types import ModuleType

from rootbound.cli.described import Described, describe

ALL = "--help-all"
WIDTHS = 80, 100
"""Least and greatest width of the output, whatever the terminal's width."""
COLUMN = 28
"""Column in which descriptions of options begin."""
SCREEN = 40
"""Most lines of a first screen."""
OWN = "this command"
EVERYWHERE = (
    ("--config FILE.yaml", "Any of these options, from a file."),
    ("--print_config", "Print all options as YAML, for --config."),
    ("--help, -h", "The most important options, on one screen."),
    (ALL, "All options."),
)


def brief_help(name: str, command: ModuleType) -> str:
    """Return one screen about a command."""
    everything = full_help(name, command)
    if everything.count("\n") <= SCREEN:
        return everything
    width = width_of_help()
    lines = _write_head(name, command, width)
    for title, several in group(command):
        lines.append(f"options of {title}:")
        for one in several:
            if one.brief:
                names = synopsis(one, first_name=True)
                lines += entry(names, _with_default(one, one.brief), width)
        if others := [one.flag for one in several if not one.brief]:
            lines += textwrap.wrap(
                f"more: {', '.join(others)}", width, initial_indent="  ",
                subsequent_indent="    ", break_on_hyphens=False,
            )  # fmt: skip
    lines.append(f"'rootbound {name} {ALL}' explains every option.")
    return "\n".join(lines) + "\n"


def full_help(name: str, command: ModuleType) -> str:
    """Return the full descriptions of a command's options."""
    width = width_of_help()
    lines = _write_head(name, command, width)
    for title, several in group(command):
        lines.append(f"options of {title}:")
        for one in several:
            lines += entry(synopsis(one), _with_default(one, one.text), width)
        lines.append("")
    lines.append("options of every command:")
    for words, text in EVERYWHERE:
        lines += entry(words, text, width)
    return "\n".join(lines) + "\n"


def group(command: ModuleType) -> list[tuple[str, list[Described]]]:
    """Return the options of a command by the titles of their groups, its own first."""
    known = sorted(describe(command.Options), key=lambda one: one.title != "")
    by_title: dict[str, list[Described]] = {}
    for title, several in groupby(known, key=lambda one: one.title):
        by_title.setdefault(title or OWN, []).extend(several)
    return list(by_title.items())


def synopsis(one: Described, *, first_name: bool = False) -> str:
    """Return the names of an option, or the first one, and a word for its value."""
    if one.default is MISSING:
        word = str(one.settings.get("metavar", one.key.upper()))
        return f"[{word} ...]" if one.settings.get("nargs") == "*" else word
    flags = one.flag if first_name else ", ".join((one.flag, *one.names))
    if one.hint is bool:
        return flags
    word = one.settings.get("metavar") or one.key.rpartition("_")[2].upper()
    return f"{flags} [{word}]" if one.settings.get("nargs") == "?" else f"{flags} {word}"


def _write_head(name: str, command: ModuleType, width: int) -> list[str]:
    arguments = [synopsis(one) for one in describe(command.Options) if one.default is MISSING]
    usage = " ".join(["usage: rootbound", name, *arguments, "[OPTIONS]"])
    about = textwrap.wrap(" ".join(str(command.__doc__).split()), width)
    examples = [f"  {line}" for line in getattr(command, "EXAMPLES", ())]
    return [usage, "", *about, "", *examples, *([""] if examples else [])]


def entry(words: str, text: str, width: int) -> Iterator[str]:
    """Yield the lines of an option: its names, with its description beside or below them."""
    lines: Sequence[str] = textwrap.wrap(text, width - COLUMN, break_on_hyphens=False)
    if len(words) + 4 > COLUMN:
        yield f"  {words}"
    elif lines:
        yield f"  {words:{COLUMN - 2}}{lines[0]}"
        lines = lines[1:]
    else:
        yield f"  {words}"
    yield from (" " * COLUMN + line for line in lines)


def _with_default(one: Described, text: str) -> str:
    """Add the default to a text, unless the text already says it or there is none."""
    if one.default is MISSING or one.default is None or one.hint is bool or "default" in text:
        return text
    value = f"{one.default:g}" if isinstance(one.default, float) else one.default
    end = "." * text.endswith(".")
    return f"{text.removesuffix('.')} (default: {value}){end}"


def width_of_help() -> int:
    """Return how many characters a line of help has, by the terminal's width."""
    least, most = WIDTHS
    return min(most, max(least, shutil.get_terminal_size().columns)) - 1
