"""A page for each command: what it is for, and an example and a table for each group of options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path

import yaml

from docs.pages.gathered import to_table
from rootbound.cli.described import Described, describe
from rootbound.cli.help import OWN, group, synopsis
from rootbound.cli.main import COMMANDS, load_command

NETWORK = "the network"
"""Title of the options that name a network."""
WORDS = yaml.safe_load(Path(__file__).with_name("commands.yml").read_text("utf-8"))
INDEX = """# Commands

TABLE

`rootbound COMMAND --help` shows the most important options on one screen, and `--help-all` all of
them. The pages here say the same, with examples.

## Of every command
```
rootbound audit defended.safetensors --print_config > audit.yaml
rootbound audit --config audit.yaml --minutes 20
```
`--config FILE.yaml` reads any options from a file, and options after it take precedence.
`--print_config` prints all options as such a file.

Results go to stdout, and what is being done goes to stderr.

| exit code | means |
|---|---|
| 0 | done; of [a gate](../howto/gate.md), shown to hold |
| 1 | failed on the way; of a gate, shown not to hold |
| 2 | bad input: a line says what was expected, what was found, and what to do |
| 3 | of a gate, undecided |
| 130 | interrupted, as by Ctrl-C; what was finished is on disk |
| 143 | terminated, as by `kill`; what was finished is on disk |
"""


def make_pages() -> Iterator[tuple[str, str]]:
    """Yield path and text of each page."""
    rows = [(f"[`rootbound {name}`]({name}.md)", f"{text}") for name, text in COMMANDS.items()]
    yield "commands/index.md", INDEX.replace("TABLE", to_table(("command", "what it does"), rows))
    for name in COMMANDS:
        command = load_command(name)
        parts = [f"# rootbound {name}", WORDS["intro"][name]]
        for title, several in group(command):
            example = WORDS["examples"][title]
            example = example[name] if title == OWN else _adapt(example, name, title)
            heading = "Options of its own" if title == OWN else title.capitalize()
            parts.append(f"## {heading}\n```\n{example}\n```\n\n{_tabulate_options(several)}")
        if name == "list":
            parts.append("```\nrootbound list\n```\nIt has no options.")
        yield f"commands/{name}.md", "\n\n".join(parts) + "\n"


def _adapt(example: str, name: str, title: str) -> str:
    """Return the lines of an example with options that a command has, and its arguments."""
    flags = {
        flag for one in describe(load_command(name).Options) for flag in (one.flag, *one.names)
    }
    lines = [line for line in example.splitlines() if set(re.findall(r"--[a-z-]+", line)) <= flags]
    # The network must be named only for weights of strangers.
    weights = "weights.pt" if title == NETWORK else "defended.safetensors"
    arguments = {"audit": f" {weights}", "export": f" {weights} rootbound-audit"}.get(name, "")
    return "\n".join(lines).replace("COMMAND", f"{name}{arguments}")


def _tabulate_options(several: list[Described]) -> str:
    return to_table(
        ("option", "what it says", "default"),
        [(f"`{synopsis(one)}`", *_in_two(one)) for one in several],
    )


def _in_two(one: Described) -> tuple[str, str]:
    """Return what there is to say of an option, and its default."""
    text = re.sub(r"([|\[])", r"\\\1", one.text)  # they are marks of Markdown
    if one.default is MISSING:
        return text, "" if one.settings.get("nargs") == "*" else "must be given"
    if found := re.search(r"^(.*?) \(default: (.*?)\)(\.?)(.*)$", text):
        return f"{found[1]}{found[3]}{found[4]}", found[2]
    if one.hint is bool:
        return text, "no"
    value = f"{one.default:g}" if isinstance(one.default, float) else one.default
    return text, "" if value is None else f"`{value}`"
