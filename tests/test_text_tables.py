"""Tables of texts that `datasets` reads: columns are found, wrong ones named in one line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rootbound import datasets
from rootbound.core.errors import InputError
from rootbound.datasets import Layout, Texts

hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")

WORDS = ("a small game", "a <b>mail</b> server", "a chess engine", "", "x" * 100_000, "日本語")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def texts(count: int) -> list[str]:
    return [f"{WORDS[row % 6]}" for row in range(count)]


def table(folder: Path, form: str, **columns: Sequence[Any]) -> Path:
    """Write a train part of these columns, and their first six rows as the test part."""
    folder.mkdir(parents=True)
    for part, count in (("train", None), ("test", 6)):
        rows = {name: list(values)[:count] for name, values in columns.items()}
        path = folder / f"{part}.{form}"
        if form == "json":
            lines = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
            path.write_text("\n".join(json.dumps(line) for line in lines))
        else:
            made = hf.Dataset.from_dict(rows)
            made.to_csv(path) if form == "csv" else made.to_parquet(path)
    return folder


def read(folder: Path, **layout: Any) -> Texts:
    found = datasets.hugging_face(str(folder), Layout(**layout))
    assert isinstance(found, Texts)
    return found


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["web", "<i>games</i>", "net"], ("<i>games</i>", "net", "web")),
        ([10, 9, -2], ("-2", "9", "10")),
        ([True, False, True], ("False", "True")),
    ],
    ids=["strings", "numbers", "booleans"],
)
def test_classes_are_sorted_labels(
    form: str, labels: list[Any], names: tuple[str, ...], tmp_path: Path
) -> None:
    folder = table(tmp_path / "a b é", form, words=texts(12)[:3] * 4, kind=labels * 4)
    found = read(folder, label="kind", inputs="words")
    assert (found.name, found.classes) == ("a b é", names)
    assert [found.classes[one] for one in found.train.labels[:3]] == [str(one) for one in labels]
    assert list(found.train.texts) == texts(12)[:3] * 4
    assert len(found.test.texts) == 6


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_accepts_names_for_false_and_true(form: str, tmp_path: Path) -> None:
    folder = table(tmp_path / "zoo", form, words=texts(12), kind=[True, False, True] * 4)
    found = read(folder, label="kind", inputs="words", label_names=("no", "yes"))
    assert found.classes == ("no", "yes")
    assert found.train.labels[:3].tolist() == [1, 0, 1]
    with pytest.raises(InputError, match=r"numbers below 1, which `label_names` name, .* 'True'"):
        read(folder, label="kind", inputs="words", label_names=("no",))


def test_named_classes_keep_their_order(tmp_path: Path) -> None:
    features = hf.Features({"text": hf.Value("string"), "label": hf.ClassLabel(names=["z", "a"])})
    (tmp_path / "zoo").mkdir()
    for part in ("train", "validation"):
        rows = {"text": texts(6), "label": [0, 1] * 3}
        hf.Dataset.from_dict(rows, features=features).to_parquet(
            tmp_path / "zoo" / f"{part}.parquet"
        )
    found = read(tmp_path / "zoo")
    assert found.classes == ("z", "a")
    assert list(found.train.texts) == texts(6) and found.test.labels.tolist() == [0, 1] * 3
    tasks = datasets.load(str(tmp_path / "zoo"), layout=Layout(length=5)).task([1, 0])
    assert (tasks.classes, tasks.train.shape) == (("a", "z"), (5,))


HUB = """---
configs:
- config_name: first
  data_files: [{split: train, path: train.parquet}, {split: test, path: test.parquet}]
- config_name: second
  data_files: [{split: train, path: test.parquet}, {split: test, path: test.parquet}]
---
"""


@pytest.mark.parametrize(
    ("where", "splits", "first", "sizes"),
    [
        (":first", (None, None), "a", (12, 6)),
        (":second", (None, None), "a", (6, 6)),
        (":first@main", (None, None), "a", (12, 6)),
        (":first", ("train[:75%]", "train[75%:]"), "a", (9, 3)),
        (":second", ("train[2:]", "test"), "<b>", (4, 6)),
    ],
)
def test_reads_configurations_splits_and_class_names(
    where: str, splits: tuple[str, str], first: str, sizes: tuple[int, int], tmp_path: Path
) -> None:
    folder = table(tmp_path / "a zoo", "parquet", words=texts(12), kind=[2, 0, 1] * 4)
    (folder / "README.md").write_text(HUB)
    names = ("c", "<b>", "a")
    said = Layout("words", "kind", False, 64, 4.0, *splits, label_names=names)
    found = datasets.hugging_face(f"{folder}{where}", said)
    assert isinstance(found, Texts)
    assert (len(found.train.texts), len(found.test.texts)) == sizes
    assert (found.name, found.classes) == (f"a zoo{where.partition('@')[0]}", names)
    assert names[found.train.labels[0]] == first


@pytest.mark.parametrize(
    ("columns", "layout", "message"),
    [
        ({"label": [1, 2, 3] * 4}, {"label": "label", "label_names": ("a", "b")}, "name all"),
        ({"label": ["a", "b", "c"] * 4}, {"label": "text", "inputs": "text"}, "'text' for both"),
        (
            {"label": ["a", "b", "c"] * 4},
            {"label": "label", "label_names": ("x", "y")},
            "to be nam",
        ),
        ({"label": [0.5, 1.5, 1.0] * 4}, {"label": "label"}, "'label' in .* to be of type"),
        ({"label": ["a", "b", None] * 4}, {"label": "label"}, "a class in every row"),
        ({"label": [["a"], ["b"], ["c"]] * 4}, {"label": "label"}, "to be of type"),
        ({"label": ["a", "b", "c"] * 4}, {}, "one column of type ClassLabel"),
        ({"label": ["a", "b", "c"] * 4}, {"label": "no", "inputs": "text"}, "no such column among"),
        (
            {"label": [1, 2, 3] * 4, "other": texts(12)},
            {"label": "label"},
            "one column of strings",
        ),
        ({"label": [1, 2, 3] * 4}, {"label": "label", "inputs": "label"}, "to be of type"),
    ],
)
def test_refuses_unsuitable_columns(
    columns: dict[str, list[Any]], layout: dict[str, str], message: str, tmp_path: Path
) -> None:
    folder = table(tmp_path / "zoo", "parquet", text=texts(12), **columns)
    with pytest.raises(InputError, match=message) as caught:
        read(folder, **layout)
    assert len(str(caught.value).splitlines()) == 1


def parts(folder: Path, features: Any, **rows: Any) -> Path:
    folder.mkdir()
    for part, columns in rows.items():
        made = hf.Dataset.from_dict(columns, features=features)
        made.to_parquet(folder / f"{part}.parquet")
    return folder


PLAIN = {"text": "string", "label": "string"}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["a", "b"], ["a", "c"], "classes of the training part in all of"),
        (["a", "b"], ["a", None], "classes of the training part in all of"),
    ],
)
def test_refuses_test_classes_missing_from_training(
    train: list[Any], test: list[Any], message: str, tmp_path: Path
) -> None:
    features = hf.Features({name: hf.Value(kind) for name, kind in PLAIN.items()})
    made = {
        part: {"text": ["one", "two"], "label": labels}
        for part, labels in (("train", train), ("test", test))
    }
    folder = parts(tmp_path / "zoo", features, **made)
    with pytest.raises(InputError, match=message):
        read(folder, label="label", inputs="text")


@pytest.mark.parametrize("wrong", [None, -1])
def test_names_rows_without_a_class(wrong: int | None, tmp_path: Path) -> None:
    """As in the test parts of competitions, where the hub has -1."""
    features = hf.Features({"text": hf.Value("string"), "label": hf.ClassLabel(names=["a", "b"])})
    made = {part: {"text": ["x", "y", "z"], "label": [0, 1, wrong]} for part in ("train", "test")}
    folder = parts(tmp_path / "zoo", features, **made)
    with pytest.raises(InputError, match="a class in every row") as caught:
        datasets.load(str(folder))
    assert len(str(caught.value).splitlines()) == 1


def test_names_a_row_without_a_text(tmp_path: Path) -> None:
    folder = table(
        tmp_path / "zoo", "parquet", text=["one", None, "three"] * 2, label=["a", "b", "a"] * 2
    )
    with pytest.raises(InputError, match="a text in row 1"):
        read(folder, label="label", inputs="text")


def test_names_a_chosen_class_without_samples(tmp_path: Path) -> None:
    features = hf.Features(
        {"text": hf.Value("string"), "label": hf.ClassLabel(names=["a", "<b>", "c"])}
    )
    made = {part: {"text": texts(4), "label": [0, 2] * 2} for part in ("train", "test")}
    found = datasets.load(str(parts(tmp_path / "zoo", features, **made)))
    found.task([0, 2])
    with pytest.raises(InputError, match="none of class '<b>'"):
        found.task([0, 1])


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            {"x": [0.5, 1.5], "y": [1.0, 2.0], "class": ["a", "b"]},
            "save numbers as arrays in FILE.npz",
        ),
        (
            {"text": ["a", "b"]},
            "add a column of classes; or put the files of each class in a folder",
        ),
    ],
    ids=["numbers", "no classes"],
)
def test_says_what_a_table_lacks(columns: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    hf.Dataset.from_dict(columns).to_json(path)
    with pytest.raises(InputError, match=says):
        read(path, label="class") if "class" in columns else read(path)


def test_asks_which_of_two_class_columns(tmp_path: Path) -> None:
    """As CIFAR-100 has them: a hundred fine classes in twenty coarse ones."""
    fine, coarse = (hf.ClassLabel(names=[f"{kind} {row}" for row in range(count)])
                    for kind, count in (("fine", 100), ("coarse", 20)))  # fmt: skip
    features = hf.Features({"text": hf.Value("string"), "fine_label": fine, "coarse_label": coarse})
    rows = {
        "text": texts(200),
        "fine_label": [row % 100 for row in range(200)],
        "coarse_label": [row % 20 for row in range(200)],
    }
    folder = parts(tmp_path / "zoo", features, train=rows, test=rows)
    with pytest.raises(InputError, match=r"fine_label: ClassLabel, coarse.*it by `label`"):
        read(folder)
    for column, count in (("fine_label", 100), ("coarse_label", 20)):
        data = read(folder, label=column).tokenised(length=4)
        kind = column.removesuffix("_label")
        pair = data.split(f"{kind} 0,{kind} 7", f"{kind} 19,{kind} 3")
        assert len(data.classes) == count
        assert pair.undesirable.name == f"zoo {kind} 19, {kind} 3"


def test_refuses_a_part_without_rows(tmp_path: Path) -> None:
    features = hf.Features({"text": hf.Value("string"), "label": hf.ClassLabel(names=["a", "b"])})
    made = {
        "train": {"text": texts(4), "label": [0, 1] * 2},
        "test": {"text": [], "label": []},
    }
    with pytest.raises(InputError) as caught:
        datasets.load(str(parts(tmp_path / "zoo", features, **made)))
    assert len(str(caught.value).splitlines()) == 1


def test_tokenises_texts_of_any_length(tmp_path: Path) -> None:
    folder = table(tmp_path / "zoo", "parquet", text=texts(12), label=["a", "b"] * 6)
    found = datasets.load(str(folder), layout=Layout("text", "label", length=4))
    assert found.train.shape == (4,)
    assert found.train.inputs[3].tolist() == [0, 0, 0, 0]
    assert int((found.train.inputs[4] != 0).sum()) == 1
    assert torch.equal(found.train.inputs[:6], found.test.inputs)


def test_reads_the_table_of_the_data_folder() -> None:
    folder = Path(__file__).parents[2] / "shared" / "data" / "debian-sections"
    if not folder.is_dir():
        pytest.skip("the folder of development data is not here")
    found = datasets.load(str(folder))
    assert len(found.classes) == 10 and found.train.tokens
