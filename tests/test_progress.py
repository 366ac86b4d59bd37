"""Progress: a bar in a terminal or a notebook, a line from time to time in a log."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rootbound.attacks import Budget, FineTune
from rootbound.cli import main
from rootbound.core import progress
from rootbound.data import TaskPair
from rootbound.evaluation import compare
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.suites import Suite
from rootbound.training import Recipe


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose only number is the time."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (9e4, "25 h 0 min"),
    ],
)
def test_times_are_shown_in_two_units(seconds: float, words: str) -> None:
    assert progress.in_words(seconds) == words


def test_line_names_the_work_and_its_parent(clock: list[float]) -> None:
    assert progress.describe("audit", 3.0) == "audit for 3 s"
    with progress.step("attacking", 4) as outer:
        assert progress.describe("audit", 3.0) == "audit for 3 s; attacking, 0 of 4"
        clock[0] += 60
        outer.advance()
        with (
            progress.step("fine-tuning on defended (seed 0)"),
            progress.step("settings", 2) as inner,
        ):
            inner.advance()
            # 1.5 of 4 parts in 60 seconds.
            assert progress.describe("audit", 63.0) == (
                "audit for 1 min 3 s; attacking, 1 of 4; fine-tuning on defended (seed 0); "
                "settings, 1 of 2; about 1 min 40 s left"
            )
    assert progress.describe("audit", 64.0) == "audit for 1 min 4 s"


def test_counts_work_found_later_and_done_before(clock: list[float]) -> None:
    with progress.step("training", 10, done=5) as one:
        assert "left" not in progress.describe("train", 0.0)
        clock[0] += 10
        one.advance()  # a tenth of the whole in 10 seconds
        assert progress.describe("train", 10.0).endswith("training, 6 of 10; about 40 s left")
        one.expect(20)
        assert progress.describe("train", 10.0).startswith("train for 10 s; training, 6 of 20")


def test_time_left_is_estimated_from_recent_work(clock: list[float]) -> None:
    """Ten parts of a minute each, and then parts of a second."""
    with progress.step("attacking", 50) as one:
        for seconds, parts in ((60, 10), (1, 10)):
            for _ in range(parts):
                clock[0] += seconds
                one.advance()
        one.advance(0)
        assert progress.describe("demo", 610.0).endswith("20 of 50; about 30 s left")


def test_time_left_covers_the_counted_work(clock: list[float]) -> None:
    """Models take minutes and trials take seconds."""
    with progress.step("preparing models", 4, goal="until all are ready") as one:
        for _ in range(3):
            clock[0] += 60
            one.advance()
        said = progress.describe("compare", 180.0)
        assert said.endswith("preparing models, 3 of 4; about 1 min 0 s until all are ready")
        one.restart("attacking", 100)
        assert progress.describe("compare", 240.0).endswith("attacking, 0 of 100")
        clock[0] += 20
        one.reach(10)
        assert progress.describe("compare", 260.0).endswith("10 of 100; about 3 min 0 s left")


def test_time_limit_sets_the_end(clock: list[float]) -> None:
    with progress.step("attacking", 10, until=clock[0] + 600):
        clock[0] += 120
        assert progress.describe("audit", 120.0).endswith("about 8 min 0 s left")


def test_progress_never_exceeds_the_total() -> None:
    with progress.step("attacking", 10) as one:
        one.reach(12)
        assert str(one) == "attacking, 10 of 10"
        one.expect(8)
        assert str(one) == "attacking, 10 of 10"
        assert one.seconds_left(()) == 0


def test_shows_steps_in_turn_without_nesting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    titles: list[str] = []
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(progress, "_write_lines", lambda title, _: titles.append(title))
    for title in ("train", "audit"):
        with progress.shown(title), progress.shown("inside"):
            pass
    assert titles == ["train", "audit"]


def test_failure_leaves_no_open_step(clock: list[float]) -> None:
    with pytest.raises(RuntimeError), progress.step("training", 10), progress.step("inside"):
        raise RuntimeError
    assert progress.describe("train", 1.0) == "train for 1 s"


class Lines(logging.Handler):
    """Keeps lines, and says when there are enough."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.enough = threading.Event()
        self.wanted = wanted

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if len(self.lines) >= self.wanted:
            self.enough.set()


def test_long_call_still_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.01)
    monkeypatch.setattr(progress, "BETWEEN_LINES", 0.01)
    heard = Lines(3)
    logger = logging.getLogger("rootbound.core.progress")
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.addHandler(heard)
    try:
        with progress.shown("audit"), progress.shown("within"), progress.step("solving"):
            assert heard.enough.wait(20)
    finally:
        logger.removeHandler(heard)
    assert all(re.fullmatch(r"audit for \d s; solving", line) for line in heard.lines[:3])


def test_lines_go_to_stderr_without_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without what an earlier command has set up in this process.
    monkeypatch.setattr(logging.getLogger("rootbound"), "handlers", [])
    for handled in (True, False):
        monkeypatch.setattr(progress.log, "hasHandlers", lambda handled=handled: handled)
        progress.say("reading images")
        assert capsys.readouterr().err == ("" if handled else "rootbound: reading images\n")


def test_only_the_first_process_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    before = threading.active_count()
    with progress.shown("train"):
        assert threading.active_count() == before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_a_bar_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(progress, "REFRESH", 0.01)
    with progress.shown("audit"), progress.step("attacking", 4) as work:
        clock[0] += 2
        work.advance()
        work.expect(6)
        work.refresh()
        seen = sys.stderr
    assert isinstance(seen, Terminal)
    assert "attacking:" in seen.getvalue() and "1/6" in seen.getvalue()
    assert not caplog.messages


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of what a line would say whenever a step has begun."""
    lines: list[str] = []

    class Heard(progress.Step):
        def __post_init__(self) -> None:
            super().__post_init__()
            lines.append("; ".join(map(str, [*progress._steps, self])))

    monkeypatch.setattr(progress, "Step", Heard)
    return lines


def test_training_reports_progress(toy_folder: Path, tmp_path: Path, said: list[str]) -> None:
    split = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    train = ["train", *split, "--method", "Plain", "--epochs", "2", "--out", str(tmp_path / "m")]
    assert main(train) == 0
    assert said[:2] == ["loading the program", "reading model and data"]
    assert re.fullmatch(r"Plain, 0 of \d+", said[-1]), said


def test_comparison_reports_progress(
    toy_tasks: TaskPair, toy_model: Classifier, said: list[str]
) -> None:
    suite = Suite("one", (FineTune(),), (Budget(5, 2),))
    compare([Plain(Recipe(epochs=1))], toy_tasks, toy_model, suite=suite, seeds=1)
    whole = "preparing models, 0 of 2"
    assert said[:2] == [whole, f"{whole}; preparing Plain (seed 0)"]
    attacks = "fine-tuning on scratch (seed 0); settings with 5 labels per class; step, 0 of 2"
    assert said[-1] == f"attacking, 1 of 2; {attacks}"


SCRIPT = """
import logging, sys
import torch, rootbound as rb
from rootbound.core import progress
progress.FIRST_LINE = 0.0
logging.basicConfig(level=sys.argv[1]) if sys.argv[1:] else None
rows, labels = torch.rand(24, 4), torch.arange(24) % 4
tasks = rb.load_data((rows, labels)).split("0-1", "2-3")
small = rb.Suite("small", (rb.attacks.ExactLastLayer(1e-2),), (rb.Budget(2, 1),), draws=(2,))
network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
rb.audit(rb.defend(network, tasks, "Plain"), tasks, suite=small)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("level", "begin"),
    [("", "rootbound: "), ("INFO", "INFO:rootbound.core.progress:"), ("WARNING", None)],
)
def test_script_with_redirected_output_reports(level: str, begin: str | None) -> None:
    program = [sys.executable, "-c", SCRIPT, *([level] if level else [])]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    for work in ("defend for", "audit for"):
        lines = [line for line in done.stderr.splitlines() if work in line]
        assert len(lines) == (begin is not None), done.stderr
        assert all(line.startswith(f"{begin}{work}") for line in lines)


@pytest.mark.slow
def test_first_log_line_comes_before_loading() -> None:
    program = [sys.executable, "-m", "rootbound", "train", "--data", "nowhere"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 2
    first, *_, last = done.stderr.splitlines()
    assert re.fullmatch(r"rootbound: train for \d s; loading the program", first)
    assert "nowhere" in last
