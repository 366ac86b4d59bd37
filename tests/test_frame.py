"""Records as a table: one row per record, and all labels as a value, so that no group loses any."""

from __future__ import annotations

import re
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from rootbound.core.errors import InputError
from rootbound.records import Configuration, Evaluation, Record
from rootbound.records.frame import COLUMNS

RECORD = Record(
    arm="defended", method="one", seed=0, attacker=0, stage="screen", tier="probe", family="f",
    attack=Configuration("RidgeHead", {}), labels=10, steps=(3, 10), validation=(0.5, 0.6),
    test=(0.5, 0.6), selected=1, validation_loss=1.0, accuracy=0.55, seconds=1.0, flops=2.0,
    certificate={"bound": 0.5}, error=None, losses=(1.0, 0.9),
)  # fmt: skip
FAILED = replace(
    RECORD, labels=None, steps=(), validation=(), test=(), losses=(), selected=0,
    accuracy=None, error="ValueError: no",
)  # fmt: skip
ALL = replace(RECORD, labels=None, accuracy=0.9, selected=0)
RUN = Evaluation({}, (), (ALL, RECORD, FAILED))


def test_each_record_is_a_row() -> None:
    pytest.importorskip("pandas")
    frame = RUN.to_frame()
    assert list(frame["labels"]) == ["all", 10, "all"]
    assert list(frame.sort_values("labels", kind="stable")["labels"]) == [10, "all", "all"]
    groups = frame.groupby("labels", observed=True)["accuracy"]
    assert groups.max().to_dict() == {10: 0.55, "all": 0.9}
    assert frame["step"].tolist()[:2] == [3, 10] and frame["step"].isna().tolist()[2]
    assert frame["error"].isna().tolist() == [True, True, False]
    assert frame.loc[0, "attack"] == "RidgeHead()" and frame.loc[0, "attack_class"] == "RidgeHead"


def test_empty_table_has_columns() -> None:
    pytest.importorskip("pandas")
    assert list(Evaluation({}, (), ()).to_frame().columns) == list(COLUMNS)


def test_columns_cover_records_and_are_documented() -> None:
    own = {part.name for part in fields(Record)} - {"selected"}
    assert set(COLUMNS) == own | {"step", "attack_class"}
    page = (Path(__file__).parents[1] / "docs" / "howto" / "records.md").read_text()
    table = page.partition("| column |")[2].partition("\n\n")[0]
    first = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+)`", first)) == set(COLUMNS)


def test_says_what_to_install_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pandas.*pip install 'rootbound\[frame\]'"):
        RUN.to_frame()
