"""Write the pages that are made from code and records into the documentation's folder.

python -m docs.pages, before the site is built; `make docs` does both.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from docs.pages import commands, leaderboards, parts
from rootbound.publishing import card
from rootbound.report import verdicts

FOLDER = Path("docs")
MADE = ("methods", "attacks", "commands", "schema")
"""Folders in which everything is made here; they are emptied first, so that no old page stays."""


def main() -> None:
    """Write all pages."""
    for name in MADE:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    pages = {
        **dict(parts.make_pages()),
        **dict(commands.make_pages()),
        "leaderboard.md": leaderboards.make_page(),
    }
    # Each schema lies where its own `$id` says, whatever the address of the site.
    for schema in (card.SCHEMA, verdicts.SCHEMA):
        pages[f"schema/{schema['$id']}"] = json.dumps(schema, indent=1, ensure_ascii=False)
    for name, text in pages.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
