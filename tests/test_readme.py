"""The first page: it is short, has few numbers, and links only to what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import rootbound as rb

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def prose(text: str) -> str:
    """Return what people read: no code, no address of a link or picture."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`", "", text)
    return re.sub(r"(?<=\])\([^)]*\)", "", text)


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 900


def test_readme_has_few_numbers() -> None:
    """A number is a group of digits, with its decimals, anywhere outside code and addresses."""
    numbers = re.findall(r"\d+(?:[.,]\d+)*", prose(README))
    assert len(numbers) <= 40, numbers


def test_counts_numbers() -> None:
    assert re.findall(r"\d+(?:[.,]\d+)*", prose("1,750 of [2.5](a7.md) `x9`\n```\n3\n```\n")) == [
        "1,750",
        "2.5",
    ]


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]*)\)", README)
    assert len(targets) > 10
    for target in targets:
        assert (ROOT / target).exists(), target


def test_package_and_citation_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert project["license"] == " AND ".join(citation["license"])


def test_python_uses_existing_names() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(code, "README.md", "exec")
    assert len(code.splitlines()) <= 10
    for name in re.findall(r"\brb\.(\w+)", code):
        assert name in rb.__all__
