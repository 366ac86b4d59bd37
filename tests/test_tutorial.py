"""The tutorial's code, as it stands on its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


@pytest.mark.slow
def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {"__name__": "tutorial"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # our own page
    first, *results = capsys.readouterr().out.splitlines()
    assert first == "30596 14704 14700"
    assert [line.partition(":")[0] for line in results] == ["undefended", "defended"]
    assert (tmp_path / "tutorial-run" / "report.html").is_file()
