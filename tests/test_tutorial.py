"""The tutorial's code, as it stands on its page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from rootbound.suites import SUITES

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


def test_examples_are_shown_on_their_pages() -> None:
    """A formatter that takes a page's line for Python spoils it, and nothing is included."""
    lines = [
        line
        for page in PAGE.parent.rglob("*.md")
        for line in page.read_text().splitlines()
        if "examples/" in line and ".py" in line and line.lstrip("`;- ")[:1] in '"8<'
    ]
    assert len(lines) > 3
    for line in lines:
        assert re.fullmatch(r'--8<-- "(examples/\w+\.py)"', line), line
        assert (PAGE.parents[1] / line[8:-1]).is_file()


@pytest.mark.slow
def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = SUITES["demo-1"]
    one_of_each = tuple({type(attack): attack for attack in demo.attacks}.values())
    monkeypatch.setitem(SUITES, "demo-1", replace(demo, attacks=one_of_each))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {"__name__": "tutorial"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # our own page
    first, *results = capsys.readouterr().out.splitlines()
    assert first == "30596 14704 14700"
    assert [line.partition(":")[0] for line in results] == ["undefended", "defended"]
    assert (tmp_path / "tutorial-run" / "report.html").is_file()
