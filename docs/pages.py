"""Pages that are made from the code: one for each method and each attack, and their lists."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from rootbound.attacks import ATTACKS
from rootbound.methods import METHODS


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
    return files


def _list(title: str, parts: Mapping[str, type]) -> str:
    lines = [f"# {title}", "", "| name | |", "|---|---|"]
    for name, part in parts.items():
        first = (inspect.getdoc(part) or "").splitlines()[0]
        lines.append(f"| [{name}]({name}.md) | {first} |")
    return "\n".join(lines) + "\n"
