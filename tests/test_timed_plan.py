"""A run with a time limit: equal trials for every arm, more of them where attacks are winning."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from rootbound.attacks import (
    Attack,
    Attacker,
    Budget,
    ExactLastLayer,
    FineTune,
    LastLayer,
    Snapshot,
)
from rootbound.cli.main import main
from rootbound.data import TaskPair
from rootbound.evaluation import evaluate, jobs
from rootbound.evaluation.harness import make_failed_records
from rootbound.evaluation.plan import BETWEEN_DRAWS, Assignment, Subject
from rootbound.evaluation.timed_plan import FACTOR, TimedPlan, list_rounds
from rootbound.methods import BestResponse
from rootbound.networks import Classifier, shallow_cnn
from rootbound.records import Configuration, Evaluation, Record
from rootbound.records.record import Tier
from rootbound.report.headline import describe_gains
from rootbound.report.settings import describe_settings
from rootbound.report.summary import summarise
from rootbound.suites import STANDARD_2, SUITES, Suite
from rootbound.suites.space import Space
from rootbound.suites.suite import DRAWS_IN_TIME as DRAWS

RATES = (1e-4, 1e-3, 3e-3, 1e-2)
BLIND = (FineTune(None, "kept", "adam", 1e-2), ExactLastLayer(1e-3))
SUITE = Suite(
    "timed-1",
    attacks=(
        *(LastLayer("adam", rate) for rate in RATES),
        ExactLastLayer(1e-3),
        *(FineTune(None, "kept", "adam", rate) for rate in RATES),
    ),
    budgets=(Budget(1, 4), Budget(5, 8)),
    blind=BLIND,
    space=Space(proposals=2),
    benign=(ExactLastLayer(1e-3),),
    confirmed=1,
    longer=2,
)


@dataclass(frozen=True)
class Hangs(Attack):
    """Ends at once on the model that was given, and never on others."""

    tier: ClassVar[Tier] = "fine-tuning"

    @property
    def family(self) -> str:
        return "hangs"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        yield Snapshot(0, model)
        while not bool((next(model.parameters()) == MARK).any()):
            time.sleep(0.01)


MARK = 0.25
"""One weight of the model that was given."""
ARMS = ("undefended", "defended", "scratch")
Cells = dict[tuple[int | None, int, str], set[tuple[Configuration, int]]]


def run(tasks: TaskPair, folder: Path | None, minutes: float = 60.0) -> Evaluation:
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    return evaluate(
        model,
        tasks,
        undefended=model.reinitialised(5),
        suite=SUITE.within(minutes),
        folder=folder,
    )


@pytest.fixture(scope="module")
def whole(toy_tasks: TaskPair) -> Evaluation:
    return run(toy_tasks, None)


def cells(evaluation: Evaluation, method: str) -> Cells:
    found: Cells = defaultdict(set)
    for one in evaluation.records:
        if one.method == method:
            found[one.labels, one.rung, one.task].add((one.attack, one.attacker))
    return found


def timeless(records: tuple[Record, ...]) -> list[dict[str, Any]]:
    return [asdict(one) | {"seconds": 0.0} for one in records]


def test_every_arm_has_the_same_trials_on_every_rung(whole: Evaluation) -> None:
    expected = cells(whole, "scratch")
    assert all(cells(whole, arm) == expected for arm in ARMS)
    trained = sum(not isinstance(one, ExactLastLayer) for one in SUITE.attacks)
    assert len(expected[5, 0, "undesirable"]) == DRAWS * len(SUITE.attacks)
    assert len(expected[5, 1, "undesirable"]) >= DRAWS * (trained // FACTOR)
    assert expected[1, 0, "undesirable"] == {
        (Configuration.of(one), draw * BETWEEN_DRAWS) for one in BLIND for draw in range(DRAWS)
    }
    assert len(expected[5, 0, "benign"]) == DRAWS
    assert {one.stage for one in whole.records} == {"screen"}
    assert len({one.key for one in whole.records}) == len(whole.records)


def test_strong_families_come_early() -> None:
    known = BestResponse().adaptive_attacks()
    suite = STANDARD_2.with_attacks(known)
    rounds = list(list_rounds(suite))
    assert sorted(map(repr, chain(*rounds))) == sorted(map(repr, suite.attacks))
    assert known[0] in rounds[2], "the attack that knows the method waits"
    families = {trial.family for trial in chain(*rounds[:6]) if trial.tier != "probe"}
    assert len(families) >= 6, "after six rounds there is too little beside probes"


def test_trials_that_a_verdict_needs_come_first(
    toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[list[Assignment]] = []
    propose = TimedPlan._next_round

    def note(plan: TimedPlan) -> list[Assignment]:
        proposed = propose(plan)
        rounds.append(proposed)
        return proposed

    monkeypatch.setattr(TimedPlan, "_next_round", note)
    suite = replace(SUITE.within(60.0), controls=True)
    evaluate(shallow_cnn(classes=3, shape=(1, 16, 16)), toy_tasks, suite=suite)
    exact, tuned, blind, *others = ([one for one in found if one.trials] for found in rounds)
    assert {trial for one in exact for trial in one.trials} == {ExactLastLayer(1e-3)}
    assert {trial for one in tuned for trial in one.trials} == {SUITE.attacks[5]}
    assert {budget.labels for one in blind for budget in one.budgets} == {1}
    tasks = [{one.task for one in found} for found in others if found]
    assert tasks[-1] == {"benign"} and {"benign"} not in tasks[:-1]
    drawn = {one.attacker for found in rounds for one in found if one.subject.arm == "control"}
    assert drawn == {0}


def test_a_rung_has_four_times_the_steps_of_the_one_below(whole: Evaluation) -> None:
    for one in whole.records:
        if one.labels != 1 and one.task == "undesirable" and any(one.steps):
            assert one.steps[-1] == 2 * FACTOR**one.rung


def test_only_winners_go_on(whole: Evaluation) -> None:
    """At the end of a whole run, who was promoted is at least the best quarter of each arm.

    Others were promoted when the rung was shorter; the worst half of every arm never was.
    """
    above = {attack for attack, _ in cells(whole, "scratch")[5, 1, "undesirable"]}
    losers: list[set[Configuration]] = []
    for arm in ARMS:
        means: dict[Configuration, list[float]] = defaultdict(list)
        for one in whole.records:
            here = (one.method, one.labels, one.rung, one.task)
            if here == (arm, 5, 0, "undesirable") and any(one.steps):
                means[one.attack].append(one.preference[0])
        order = sorted(means, key=lambda attack: -statistics.fmean(means[attack]))
        last = statistics.fmean(means[order[len(order) // FACTOR - 1]])
        certain = {one for one in order if statistics.fmean(means[one]) > last}
        assert certain <= above
        losers.append(set(order[-3:]))
    assert not set.intersection(*losers) & above
    assert not any(attack.kind == "ExactLastLayer" for attack in above)


def test_end_of_time_changes_nothing_else(
    whole: Evaluation, toy_tasks: TaskPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def fits(_: TimedPlan, _round: object) -> bool:
        nonlocal asked
        asked += 1
        return asked < 2

    with monkeypatch.context() as patch:
        patch.setattr(TimedPlan, "_fits", fits)
        short = run(toy_tasks, tmp_path, minutes=1)
    assert short.complete and short.context["time"]["stopped"]
    known = timeless(whole.records)
    assert 0 < len(short.records) < len(known)
    assert all(one in known for one in timeless(short.records))
    assert all(cells(short, arm) == cells(short, "scratch") for arm in ARMS)
    assert timeless(run(toy_tasks, tmp_path, minutes=1).records) == timeless(short.records)
    longer = run(toy_tasks, tmp_path, minutes=60)
    assert timeless(longer.records) == known
    assert not longer.context["time"]["stopped"]
    assert longer.context["time"]["rungs"] == whole.context["time"]["rungs"]


def test_estimates_a_round_from_similar_rounds(
    toy_model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = tuple(FineTune(None, "kept", "adam", rate / 1e4) for rate in range(1, 22))
    suite = Suite("many", (ExactLastLayer(1e-3), *trials), (Budget(5, 8),)).within(60.0)
    expected: list[float] = []

    def fits(_: TimedPlan, proposed: Any) -> bool:
        expected.append(proposed.seconds)
        return True

    monkeypatch.setattr(TimedPlan, "_fits", fits)
    plan = TimedPlan(suite, workers=1, subjects=1, is_done=lambda _: False)
    coming, took = plan.begin(Subject("defended", "defended", 0, toy_model)), list[float]()
    while coming:
        took.append(sum(len(one.trials) for one in coming))
        done = [(one, make_failed_records(one, ValueError("no matter"))) for one in coming]
        coming = []
        for one, failed in done:
            coming += plan.advance(one, [replace(record, seconds=1.0) for record in failed])
    assert len(took) == 7
    assert expected == [statistics.fmean(took[:count]) for count in range(1, 7)]


def test_interrupted_run_resumes(
    whole: Evaluation, toy_tasks: TaskPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = jobs.do_job, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        if done == 30:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("rootbound.evaluation.comparison.do_job", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(toy_tasks, tmp_path)
    left = Evaluation.load(tmp_path)
    assert not left.complete and left.records
    assert timeless(run(toy_tasks, tmp_path).records) == timeless(whole.records)


def test_rungs_with_equal_steps_stay_separate(toy_tasks: TaskPair, tmp_path: Path) -> None:
    # The fifth is alone in its round, and wins: so it is alone on the next rung, too.
    hopeless = tuple(FineTune(None, "kept", "adam", rate) for rate in (1e-9, 2e-9, 3e-9, 4e-9))
    trials = (*hopeless, FineTune(None, "kept", "adam", 1e-4, head="probe"))
    suite = Suite("one step", trials, (Budget(20, 1),)).within(60.0)
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    kept, gone = (
        evaluate(model, toy_tasks, suite=suite, seeds=1, folder=folder)
        for folder in (tmp_path / "run", None)
    )
    assert {one.steps[-1] for one in kept.records if one.rung < 2} == {1}
    assert {one.rung for one in kept.records} >= {0, 1}
    assert timeless(kept.records) == timeless(gone.records)


@pytest.mark.parametrize(
    ("workers", "minutes"), [(1, 0.05), pytest.param(2, 0.2, marks=pytest.mark.slow)]
)
def test_does_not_wait_for_a_hanging_trial(
    toy_tasks: TaskPair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    minutes: float,
) -> None:
    monkeypatch.setattr(TimedPlan, "_fits", lambda *_: True)
    suite = Suite("hangs", (ExactLastLayer(1e-3), Hangs()), (Budget(5, 8),)).within(minutes)
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = MARK
    started = time.monotonic()
    found = evaluate(model, toy_tasks, suite=suite, workers=workers, folder=tmp_path)
    assert time.monotonic() - started < 60 * minutes + 3.0
    assert found.complete and found.context["time"]["stopped"]
    # The round of what hangs counts for nothing, even where a part of it was done.
    assert {one.attack.kind for one in found.records} == {"ExactLastLayer"}
    assert cells(found, "defended") == cells(found, "scratch")
    assert describe_gains(found, "defended")[0].startswith("With 5 labels per class")


def test_claims_nothing_without_time(toy_tasks: TaskPair, tmp_path: Path) -> None:
    found = run(toy_tasks, tmp_path, minutes=1e-9)
    assert not found.records and found.complete
    assert "The time was over before all was tried." in describe_gains(found, "defended")[-1]
    first, second = summarise(found).headline
    assert first.startswith("No verdict: ") and "No model has been evaluated" in second
    assert run(toy_tasks, tmp_path, minutes=60).records


def test_reports_state_the_time_spent(whole: Evaluation) -> None:
    said = dict(describe_settings(whole))["Time limit"]
    for text in ("60 minutes", "All was tried in time", "9 settings with 2 steps"):
        assert text in said
    assert said in describe_gains(whole, "defended")[-1]


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_audit_keeps_to_its_minutes(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tmp_path / "m.safetensors")
    split = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    assert main(["train", *split, "--epochs", "1", "--method", "Plain", "--out", model]) == 0
    more = ["--suite", "standard-1", "--workers", "1", "--out", str(tmp_path / "run")]
    few = ["--labels", "5", "--steps", "20", "--minutes", "0.1"]
    capsys.readouterr()
    assert main(["audit", model, *more, *few]) == 0
    assert "The time was over before all was tried." in capsys.readouterr().out
    found = Evaluation.load(tmp_path / "run")
    assert found.context["seconds"] < 8
    assert found.context["rules"]["draws"] == [3]


def test_time_limit_makes_another_suite_of_any_length() -> None:
    given = Suite("two-1", (ExactLastLayer(1e-3), FineTune()), (Budget(10, 3),), draws=(DRAWS,))
    halved = given.within(5)
    assert halved.digest != given.digest
    assert halved.digest == given.within(10).digest
    for name in ("quick-2", "quick-3", "standard-1", "standard-2"):
        short = SUITES[name].within(1)
        assert set(short.draws) == {DRAWS}
        stages = short.finalists, short.space, short.confirmed, short.longer
        assert stages == (0, None, 0, 0) and short.attackers == 1, name


def test_counts_attacks_that_know_a_method_once() -> None:
    suite, known = SUITES["quick-1"], SUITES["quick-1"].attacks[0]
    one, other = LastLayer("adam", 0.123), LastLayer("adam", 0.124)
    assert suite.with_attacks((known, known)) == suite
    more = suite.with_attacks((one, one, known))
    assert (more.name, more.adaptive) == ("quick-1 with 1 adaptive attack", 1)
    assert more.attacks == (*suite.attacks, one)
    assert more.with_attacks((other,)).adaptive == 2
    assert len({suite.digest, more.digest, more.with_attacks((other,)).digest}) == 3
