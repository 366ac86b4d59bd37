"""What records name a method or attack by, and the file that holds records."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rootbound.attacks import FineTune
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.methods import METHODS
from rootbound.records import (
    Configuration,
    Difference,
    Evaluation,
    RunFolder,
    Spec,
    compare_runs,
    find_runs,
    records_file,
)
from rootbound.records.configuration import ADDED_LATER, Text, divide_list, from_values, to_values
from rootbound.report.leaderboard import write_leaderboard
from rootbound.suites import SUITES

GOLDEN = Path(__file__).parent / "golden"
OLDER = Path(__file__).parent / "older"


@dataclass(frozen=True)
class Inner:
    """A setting that has settings of its own."""

    rate: float = 0.5
    later: bool = field(default=False, metadata=ADDED_LATER)


@dataclass(frozen=True)
class Outer:
    """Settings of every kind."""

    inner: Any = Inner()
    value: Any = None


VALUES = {
    "nothing": None,
    "boolean": True,
    "whole": -3,
    "small": 1e-05,
    "exact": 0.1 + 0.2,
    "text": "a, b(c=1), 'quoted' and \"twice\" \\ ü\n",
    "none": (),
    "one": (1,),
    "several": (1, ("two", None), 3.0),
    "settings": Outer(value="x, y"),
    "settings in a row": (Inner(1.0), Inner(later=True)),
    "infinite": float("inf"),
    "undefined": float("nan"),
    "list": [1, 2],
    "path": Path("/a, b"),
    "class": Path,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
def test_configuration_survives_text_and_json(value: Any) -> None:
    configuration = Configuration.of(Outer(Inner(0.25), value))
    assert configuration.kind == "Outer"
    assert str(configuration).startswith("Outer(inner=Inner(rate=0.25), value=")
    written = json.loads(json.dumps(to_values(configuration), allow_nan=False))
    for again in (Configuration.parse(str(configuration)), from_values(written)):
        assert again == configuration
        assert str(again) == str(configuration)
        assert hash(again) == hash(configuration)


def test_built_in_configurations_print_like_python() -> None:
    attacks = [attack for suite in SUITES.values() for attack in (*suite.attacks, *suite.benign)]
    for attack in attacks:
        assert str(Configuration.of(attack)) == repr(attack)
    for owner in (*attacks, *(method() for method in METHODS.values())):
        configuration = Configuration.of(owner)
        assert Configuration.parse(str(configuration)) == configuration
        assert not any(isinstance(value, Text) for _, value in configuration.leaves())


def test_newer_field_is_shown_unless_default() -> None:
    assert str(Configuration.of(Inner())) == "Inner(rate=0.5)"
    assert str(Configuration.of(Inner(later=True))) == "Inner(rate=0.5, later=True)"


def test_reads_a_class_within_a_function() -> None:
    configuration = Configuration.parse("f.<locals>.Own(rate=0.1, how=<function g at 0x7f>)")
    assert configuration.kind == "f.<locals>.Own"
    assert dict(configuration.settings) == {"rate": 0.1, "how": Text("<function g at 0x7f>")}


def test_settings_are_accessible_at_any_depth() -> None:
    one, other = Configuration.of(Outer(Inner(0.1), "a")), Configuration.of(Outer(Inner(0.2), "a"))
    assert dict(one.leaves()) == {("inner", "rate"): 0.1, ("value",): "a"}
    assert one.differing(other) == {"inner.rate": 0.1}
    assert one.differing(one) == {}
    kinds = [Configuration.of(Outer(None, value)) for value in (1, True, 1.0, "1", (1,))]
    for kind in kinds:  # some are equal to Python, but their texts and digests are not
        assert [bool(kind.differing(other)) for other in kinds] == [kind != one for one in kinds]
    shown = one.changed(lambda value: value.upper() if isinstance(value, str) else value)
    assert str(shown) == "Outer(inner=Inner(rate=0.1), value='A')"


@pytest.mark.parametrize(
    "text",
    [
        "", "random weights", "(", ")", "()", "A(", "A)", "A(b)", "A(b=1))(", "A(b=1) and more",
        "A(b=1,)", "A(,)", "A(1)", "A(b c=1)", "A(\n", "__import__('os').abort()",
        pytest.param("A(b=" * 50_000, id="open"), pytest.param("(" * 100_000, id="brackets"),
    ],
)  # fmt: skip
def test_refuses_hostile_text(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Configuration.parse(text)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300


def test_survives_deeply_nested_text() -> None:
    text = f"{'A(b=' * 5_000}1{')' * 5_000}"
    assert str(Configuration.parse(text)) == text


@pytest.mark.parametrize(
    "values",
    [{}, {"class": 1, "settings": {}}, {"class": "A"}, {"class": "A", "settings": []},
     {"class": "A", "settings": {"b": {"text": 1}}}, {"class": "A", "settings": {}, "more": 1}],
)  # fmt: skip
def test_refuses_other_values(values: Any) -> None:
    with pytest.raises(ValueError, match="class with settings"):
        from_values(values)


def test_splits_lists_at_top_level_commas() -> None:
    assert list(divide_list("a=1, b=(2, 3), c='(,', d=[4, 5], e={6: 7, 8: 9}, f='it\\'s, \"'")) == [
        "a=1", " b=(2, 3)", " c='(,'", " d=[4, 5]", " e={6: 7, 8: 9}", " f='it\\'s, \"'",
    ]  # fmt: skip


def test_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    golden.save(tmp_path)
    written = (tmp_path / "records.json.gz").read_bytes()
    assert written == (GOLDEN / "records.json.gz").read_bytes()
    assert Evaluation.load(tmp_path) == golden
    values = json.loads(gzip.decompress(written))
    assert len(values["attacks"]) == len({record.attack for record in golden.records})
    assert {training["settings"] for training in values["trainings"]} == {0, 1, 2, 3}
    assert values["attacks"][0]["class"] == "LastLayer"


def test_zero_differs_from_unknown(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    training, record = golden.trainings[0], golden.records[0]
    known = replace(training, desirable_errors=(), desirable_balanced=0.0)
    scored = replace(record, balanced=0.0, halves=(0.0, 0.0))
    run = replace(golden, trainings=(training, known), records=(record, scored))
    run.save(tmp_path)
    assert Evaluation.load(tmp_path) == run


def test_settings_keep_every_digit(tmp_path: Path) -> None:
    attack = Configuration.of(FineTune(None, "kept", "adam", 0.00123456789))
    golden = Evaluation.load(GOLDEN)
    records = tuple(replace(record, attack=attack) for record in golden.records)
    replace(golden, records=records).save(tmp_path)
    assert {record.attack for record in Evaluation.load(tmp_path).records} == {attack}


def test_reads_uncompressed_records(tmp_path: Path) -> None:
    content = gzip.decompress((GOLDEN / "records.json.gz").read_bytes())
    (tmp_path / "records.json").write_bytes(content)
    assert Evaluation.load(tmp_path) == Evaluation.load(GOLDEN)


def test_folder_of_an_earlier_version_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "older"
    shutil.copytree(OLDER, folder)
    older = Evaluation.load(folder)
    assert {record.attack.kind for record in older.records} >= {"FineTune", "LastLayer"}
    held = json.loads((folder / "records.json").read_text())
    assert [str(record.attack) for record in older.records] == [
        record["attack"] for record in held["records"]
    ]
    assert [str(training.settings) for training in older.trainings] == [
        training["settings"] for training in held["trainings"]
    ]
    assert older.trainings[-1].settings == "random weights"
    assert RunFolder(folder).read_complete() == older
    assert list(find_runs(tmp_path)) == [folder]
    assert main(["report", str(folder)]) == 0
    write_leaderboard(folder)
    for arguments in (["list", str(tmp_path)], ["show", str(folder)]):
        assert main(["runs", *arguments]) == 0
        assert "f5cae5d608ae" in capsys.readouterr().out
    older.save(folder)
    assert records_file(folder).name == "records.json.gz"
    assert not (folder / "records.json").exists()
    assert Evaluation.load(folder) == older


def test_spec_of_an_earlier_version_names_the_same_run(tmp_path: Path) -> None:
    spec = Spec.load(OLDER)
    assert spec.digest == "f5cae5d608ae"
    method = spec.content["arms"]["SelectiveDistillation"]["method"]
    assert dict(method.leaves())["target",] == -2.0
    spec.save(tmp_path)
    written = json.loads((tmp_path / "spec.json").read_text())
    assert written["spec"]["arms"]["Plain"]["method"]["class"] == "Plain"
    again = Spec.load(tmp_path)
    assert again.digest == spec.digest
    assert list(again.differs_from(spec)) == []


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    values = json.loads(gzip.decompress((GOLDEN / "records.json.gz").read_bytes()))
    change(values)
    return gzip.compress(json.dumps(values).encode())


def put(table: str, name: str, value: object, values: dict[str, Any]) -> None:
    values[table][0][name] = value


IMPOSSIBLE: tuple[tuple[str, str, object], ...] = (
    ("records", "accuracy", math.nan), ("records", "accuracy", 50), ("records", "accuracy", "0.5"),
    ("records", "halves", [0.5]), ("records", "halves", [math.inf, 0.5]),
    ("records", "test", None), ("records", "test", []), ("records", "selected", 99),
    ("records", "labels", "10"), ("records", "stage", "rehearsal"), ("records", "seed", "0"),
    # The first record has two steps.
    ("records", "selected", 2), ("records", "selected", -1), ("records", "validation", [0.5]),
    ("records", "validation", [0.5] * 3), ("records", "test", [0.5] * 3), ("records", "labels", 0),
    ("records", "halves", [0.5] * 3), ("records", "balanced", 1.5), ("records", "task", "other"),
    ("records", "attacker", None), ("records", "arm", "leg"), ("trainings", "seed", "0"),
    ("records", "validation", [0.5, 1.5]), ("records", "test", [0.5, -0.5]),
    ("trainings", "desirable_balanced", 2.0),
    ("trainings", "desirable_accuracy", -1.0), ("trainings", "arm", "leg"),
)  # fmt: skip
"""What no run can have measured, in the first entry of a table."""
WHOLE = (GOLDEN / "records.json.gz").read_bytes()
DAMAGED = {
    "empty": b"",
    "head alone": WHOLE[:2],
    "cut off": WHOLE[: len(WHOLE) // 2],
    "end missing": WHOLE[:-4],
    "one byte": WHOLE[:1000] + bytes([WHOLE[1000] ^ 255]) + WHOLE[1001:],
    "sum": WHOLE[:-8] + bytes(8),
    "more behind": WHOLE + b"more",
    "no json": gzip.compress(b"{"),
    "not text": gzip.compress(b"\xff\xfe{}"),
    "deep": gzip.compress(b"[" * 100_000),
    "no attacks": changed(lambda values: values.pop("attacks")),
    "row": changed(lambda values: values["records"][0].update(attack=99)),
    "negative row": changed(lambda values: values["records"][0].update(attack=-1)),
    "row of lists": changed(lambda values: values["records"][0].update(attack=[])),
    "method's row": changed(lambda values: values["trainings"][0].update(settings="Plain()")),
    "attack of words": changed(lambda values: values["attacks"].__setitem__(0, "FineTune")),
    "attack of another kind": changed(lambda values: values["attacks"].__setitem__(0, {"a": 1})),
    "method of another kind": changed(lambda values: values["methods"].__setitem__(0, 1)),
    **{
        f"{name} {value!r}": changed(partial(put, table, name, value))
        for table, name, value in IMPOSSIBLE
    },
    "old with hostile text": json.dumps(
        {"format": 2, "complete": True, "context": {}, "trainings": [],
         "records": [{"attack": "A(\n\n"}]}
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_refuses_a_damaged_file_in_one_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "records.json.gz").write_bytes(content)
    assert main(["report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "records.json.gz") in line
    assert [path.name for path in tmp_path.iterdir()] == ["records.json.gz"]


def test_key_distinguishes_all_trials_of_a_run() -> None:
    record = Evaluation.load(GOLDEN).records[0]
    others = (
        replace(record, method="other"), replace(record, seed=7), replace(record, attacker=7),
        replace(record, stage="longer"), replace(record, rung=1), replace(record, task="benign"),
        replace(record, labels=None), replace(record, attack=Configuration("Other", {})),
    )  # fmt: skip
    assert len({one.key for one in (record, *others)}) == 1 + len(others)
    measured_again = replace(record, seconds=7.0, accuracy=0.5, test=(0.0, 0.0), error="no")
    assert measured_again.key == record.key


def test_attacker_prefers_validation_accuracy_then_lower_loss() -> None:
    record = Evaluation.load(GOLDEN).records[0]
    failed = replace(record, steps=(), validation=(), test=(), selected=0, validation_loss=None)
    several = replace(record, steps=(1, 2, 3), validation=(0.9, 0.2, 0.8), selected=1)
    ranked = [
        failed,
        replace(several, validation_loss=0.1),
        replace(several, selected=2, validation_loss=None),  # a loss that was not finite
        replace(several, selected=2, validation_loss=9.0),
        replace(several, selected=2, validation_loss=0.0),
        replace(several, selected=0, validation_loss=5.0),
    ]
    assert sorted(reversed(ranked), key=lambda one: one.preference) == ranked
    assert len({one.preference for one in ranked}) == len(ranked)


def test_entries_of_a_part_keep_their_places(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    parts = tmp_path / "records"
    parts.mkdir()
    begun = replace(golden, trainings=(), records=(), diagnoses=(), complete=False)
    (parts / "run.json").write_text(begun.to_json())
    # Files sort by their names, which say nothing about the order of the entries inside.
    count = len(golden.records)
    for turn, rows in enumerate((range(count - 1, -1, -2), range(count - 2, -1, -2))):
        places = sorted(rows) if turn else list(rows)
        some = tuple(golden.records[row] for row in places)
        part = replace(begun, context={"places": [[1, row] for row in places]}, records=some)
        (parts / f"{turn}.json").write_text(part.to_json())
    assert Evaluation.load(tmp_path).records == golden.records
    assert not Evaluation.load(tmp_path).complete
    short = replace(begun, context={"places": []}, records=golden.records[:1])
    (parts / "2.json").write_text(short.to_json())
    with pytest.raises(InputError, match="run it again"):
        Evaluation.load(tmp_path)


def test_compressed_file_takes_precedence(tmp_path: Path) -> None:
    golden = Evaluation.load(GOLDEN)
    golden.save(tmp_path)
    # A process that was killed may have left the file of an older version beside it.
    (tmp_path / "records.json").write_text(replace(golden, records=()).to_json())
    assert Evaluation.load(tmp_path) == golden


def test_counts_differences_of_two_runs() -> None:
    spec, run = Spec({}), Evaluation.load(GOLDEN)
    first, second, *others = run.records
    model, *models = run.diagnoses

    def compare(other: Evaluation) -> Difference:
        there, back = (compare_runs((spec, a), (spec, b)) for a, b in ((run, other), (other, run)))
        assert there.only == back.only[::-1]
        assert (there.equal, there.unequal) == (back.equal, back.unequal)
        assert there.furthest == pytest.approx(back.furthest)
        return there

    total = len(run.records) + len(run.trainings) + len(run.diagnoses)
    same = compare(replace(run, records=(replace(first, seconds=99.0), second, *others)))
    assert (same.only, same.equal, same.unequal, same.furthest) == ((0, 0), total, (), 0.0)
    assert first.accuracy is not None
    higher = replace(first, accuracy=first.accuracy - 0.25)
    found = compare(replace(run, records=(higher, second, *others)))
    assert found.furthest == pytest.approx(25)
    assert found.unequal == (" ".join(map(str, ("trial", *first.key))),)
    failed = compare(replace(run, records=(replace(first, accuracy=None), second, *others)))
    assert len(failed.unequal) == 1, "an accuracy that is missing is no equal one"
    assert compare(replace(run, records=(first, *others))).only == (1, 0)
    # What only a later version says is no difference, and neither is a measurement of its own.
    later = replace(first, balanced=0.5, halves=(0.5, 0.5), losses=(1.0, 1.0))
    more = replace(model, values={**model.values, "later": 1.0})
    wider = replace(run, records=(later, second, *others), diagnoses=(more, *models))
    assert compare(wider).equal == total
    changed = replace(model, values={**model.values, "largest_logit": 1.0})
    assert len(compare(replace(run, diagnoses=(changed, *models))).unequal) == 1


def test_never_leaves_a_partial_file(tmp_path: Path) -> None:
    shutil.copy(OLDER / "records.json", tmp_path)
    with pytest.raises(TypeError):
        replace(Evaluation.load(tmp_path), context={"unwritable": object()}).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["records.json"]
    assert Evaluation.load(tmp_path) == Evaluation.load(OLDER)
