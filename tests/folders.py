"""The content of a folder."""

from __future__ import annotations

from pathlib import Path


def contents(root: Path) -> dict[str, bytes | None]:
    """Return every file and folder below; empty folders count, too."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if "__pycache__" not in path.parts
    }
