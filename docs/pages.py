"""What is made from the code: pages of methods, attacks and commands, and schemas of files."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from rootbound.attacks import ATTACKS
from rootbound.cli.main import COMMANDS, load_command
from rootbound.cli.parser import parser_of
from rootbound.methods import METHODS
from rootbound.publishing import card
from rootbound.report import verdicts


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those in the folder."""
    for title, kind, parts in (
        ("Methods", "methods", METHODS),
        ("Attacks", "attacks", ATTACKS),
    ):
        pages = {f"reference/{kind}/index.md": _list(title, parts)}
        for name, part in parts.items():
            pages[f"reference/{kind}/{name}.md"] = (
                f"# {name}\n\n::: {part.__module__}.{name}\n    options: {{heading_level: 2}}\n"
            )
        for path, content in pages.items():
            files.append(File.generated(config, path, content=content))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    # At an address that ends in its own `$id`, so that it is found there wherever the site is.
    for schema in (card.SCHEMA, verdicts.SCHEMA):
        text = json.dumps(schema, indent=1, ensure_ascii=False)
        files.append(File.generated(config, f"schema/{schema['$id']}", content=text))
    return files


def _commands() -> str:
    os.environ["COLUMNS"] = "84"  # whatever the terminal that the pages are made in
    parts = ["# Commands"]
    for name in COMMANDS:
        # The parser takes back a blank by a code that is for terminals.
        text = parser_of(name, load_command(name)).format_help().replace(" \b", "").rstrip()
        parts.append(f"## {name}\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def _list(title: str, parts: Mapping[str, type]) -> str:
    lines = [f"# {title}", "", "| name | |", "|---|---|"]
    for name, part in parts.items():
        first = (inspect.getdoc(part) or "").splitlines()[0]
        lines.append(f"| [{name}]({name}.md) | {first} |")
    return "\n".join(lines) + "\n"
