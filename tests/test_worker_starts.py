"""Workers that cannot start: the error says so, with the cause; if none can start, one is used."""

from __future__ import annotations

import logging
import subprocess
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from rootbound.core.errors import InputError
from rootbound.evaluation import jobs
from rootbound.execution import Engine, InProcess, Pool, make_engine, program
from rootbound.execution.worker import Worker

A_FILE = str(Path(__file__))
PROGRAMS: dict[str, tuple[dict[str, object], bool]] = {
    "a script": ({"__file__": A_FILE}, True),
    "python -m": ({"__file__": "gone", "__spec__": SimpleNamespace()}, True),
    "python -c": ({}, False),
    "a notebook": ({"__spec__": None, "__vsc_ipynb_file__": "a.ipynb"}, False),
    "standard input": ({"__file__": "<stdin>"}, False),
    "a file that is gone": ({"__file__": f"{A_FILE}.gone"}, False),
}


@pytest.mark.parametrize("wanted", [2, Pool(3, threads=2, device="mps")], ids=["number", "engine"])
@pytest.mark.parametrize("kind", PROGRAMS)
def test_several_workers_need_a_program_file(
    kind: str,
    wanted: int | Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    attributes, is_file = PROGRAMS[kind]
    main = ModuleType("__main__")
    vars(main).update(attributes)
    monkeypatch.setitem(sys.modules, "__main__", main)
    with caplog.at_level(logging.WARNING, logger="rootbound"):
        engine = make_engine(wanted)
    if is_file:
        assert isinstance(engine, Pool) and not caplog.messages
        return
    alone = InProcess() if wanted == 2 else InProcess(threads=2, device="mps")
    assert engine == alone
    assert [message.startswith("one worker is used") for message in caplog.messages] == [True]


def test_tests_can_start_workers() -> None:
    """Whatever runs them: else every test of two workers would be one of none."""
    assert make_engine(2) == Pool(2)


def test_one_worker_and_foreign_engines_give_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert make_engine(1) == InProcess() == make_engine(InProcess())
    assert not caplog.messages


@pytest.mark.parametrize(("name", "starts"), [("rootbound-worker-3", True), ("Process-3", False)])
def test_worker_that_reruns_the_program_stops(
    name: str, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    worker = SimpleNamespace(name=name, _inheriting=True)
    monkeypatch.setattr("multiprocessing.process.current_process", lambda: worker)
    make_engine(1)
    assert codes == [program.UNGUARDED] * starts
    del worker._inheriting  # what it is once it has begun
    make_engine(1)
    assert len(codes) == starts


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (program.UNGUARDED, "got a program that begins it whenever it is run, as each worker does"),
        (1, "got one that ended at its start with exit code 1, for the reason it has printed"),
    ],
)
def test_failed_start_states_its_cause(code: int, cause: str) -> None:
    said = str(program.failed_start_error(code))
    assert cause in said and '`if __name__ == "__main__":`' in said and "limit" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="workers are no copies here")
def test_imports_common_modules_before_starting_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def ask(_: object, modules: list[str]) -> None:
        asked.extend(modules)
        raise KeyboardInterrupt

    monkeypatch.setattr(ForkServerContext, "set_forkserver_preload", ask)
    for function in (jobs.do_job, print):
        with pytest.raises(KeyboardInterrupt):
            Worker(function, (), 1)
    assert asked == ["rootbound.evaluation.jobs", "rootbound.evaluation.preload", "builtins"]


ASKED = """
import sys
from rootbound.evaluation.jobs import PRELOAD

def imported(name):
    return name in sys.modules
"""
ASKING = """
from asked import imported
from rootbound.execution import Pool

if __name__ == "__main__":
    with Pool(1).open(imported, ()) as crew:
        crew.submit("torch._dynamo", "captum.attr", "rootbound.cli")
        print(sorted(crew.finished()))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="workers are no copies here")
def test_slow_imports_are_preloaded(tmp_path: Path) -> None:
    """In a program of its own: here another test may have begun the process that is copied."""
    (tmp_path / "asked.py").write_text(ASKED)
    (tmp_path / "asking.py").write_text(ASKING)
    said = subprocess.check_output(
        [sys.executable, "asking.py"], cwd=tmp_path, text=True, timeout=200
    )
    assert said == "[('captum.attr', True), ('rootbound.cli', False), ('torch._dynamo', True)]\n"


STARTS = """
from rootbound.execution import Pool
with Pool(1).open(print, ()) as crew:
    crew.submit(1)
    list(crew.finished())
"""


@pytest.mark.slow
def test_names_a_missing_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(STARTS)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.endswith(str(program.failed_start_error(program.UNGUARDED)))


class Vanishing:
    """It can be sent, but not received."""

    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("none",)


@pytest.mark.slow
def test_explains_what_no_worker_can_load() -> None:
    with (
        pytest.raises(InputError, match="ValueError at a worker's start: invalid literal"),
        Pool(1).open(print, (Vanishing(),)) as crew,
    ):
        crew.submit(1)
        list(crew.finished())
