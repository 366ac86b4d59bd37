"""Local text files: checks that they are UTF-8, and settings for their reader."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError

SEPARATED = (".csv", ".tsv")
SUFFIXES = (*SEPARATED, ".json", ".jsonl", ".txt")
"""Suffixes of text files; other tables state their encoding themselves."""
OTHER_TABLES = (".parquet", ".arrow", ".json", ".jsonl")
AT_ONCE = 2**20
"""Number of bytes that are read at a time."""
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte-order marks of other encodings, the longer ones first, as one is a prefix of another."""
ZEROS = 0.2
"""Share of zero bytes from which a text counts as UTF-16; in European languages half are zero."""


def check_encoding(source: Path) -> None:
    """Raise an `InputError` for the first file of texts that is not UTF-8, with or without a mark.

    Args:
        source: A folder or a file; anything else is ignored.
    """
    for path in _find(source, SUFFIXES):
        with path.open("rb") as file:
            start = file.read(4096)
            mark = next((name for bom, name in MARKS.items() if start.startswith(bom)), None)
            if mark is None and start.count(0) > ZEROS * len(start):
                mark = "UTF-16"
            if mark is not None:
                raise _refuse(path, mark, mark.lower())
            file.seek(0)
            decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
            while True:
                content = file.read(AT_ONCE)
                try:
                    decoder.decode(content, final=not content)
                except UnicodeDecodeError as error:
                    line += error.object[: error.start].count(b"\n")
                    wrong = f"byte 0x{error.object[error.start]:02x} in line {line}"
                    raise _refuse(path, wrong, "windows-1252") from None
                if not content:
                    break
                line += content.count(b"\n")


def describe_missing(source: Path) -> dict[str, Any]:
    """Return settings with which the library takes no word for a missing value.

    Without them, `NA`, `null` and `None` in a CSV file would not be read as texts or classes.
    """
    is_separated = bool(_find(source, SEPARATED)) and not _find(source, OTHER_TABLES)
    return {"keep_default_na": False} if is_separated else {}


def _find(source: Path, suffixes: tuple[str, ...]) -> list[Path]:
    paths = sorted(source.rglob("*")) if source.is_dir() else [source]
    return [path for path in paths if path.suffix.lower() in suffixes and path.is_file()]


def _refuse(path: Path, got: str, encoding: str) -> InputError:
    return InputError(
        f"text in UTF-8 in {path}",
        got,
        f"convert it, for example with: iconv -f {encoding} -t utf-8",
    )
