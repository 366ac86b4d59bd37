"""Settings that the data have no use for: an error in one line, never silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import rootbound as rb
from rootbound.cli import main
from rootbound.cli.options import TaskOptions
from rootbound.cli.tasks import resolve_tasks
from rootbound.datasets import Dataset
from rootbound.networks.origin import Origin
from rootbound.records import Configuration

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "photos", "photos", "cat,dog", "bird,eel", seed=0,
    shared=False, holdout=0.3, label_names="a,b", layout="NHWC", classes_by_name=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with the toy data as IDX files and as arrays, and two folders of images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "idx").symlink_to(toy_folder)
    toy = rb.load_data(toy_folder)
    arrays: dict[str, Any] = {}
    for name, part in (("train", toy.train), ("test", toy.test)):
        arrays |= {f"x_{name}": part.inputs.numpy(), f"y_{name}": part.labels.numpy()}
    np.savez(tmp_path / "toy.npz", **arrays)
    generator = np.random.default_rng(0)
    for folder in ("photos", "whole/train", "whole/test"):
        for kind in ("bird", "cat", "dog", "eel"):
            (tmp_path / folder / kind).mkdir(parents=True)
            for number in range(5):
                pixels = generator.integers(0, 256, (16, 16), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / kind / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("data", ["idx", "toy.npz", "mnist"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--holdout", "0.3"),
        ("--label-names", "a,b,c,d,e,f"),
        ("--input-column", "image"),
        ("--label-column", "label"),
    ],
)
def test_refuses_options_of_other_data(
    data: str, option: str, value: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    split = ["--data", data, "--desirable", "0-2", "--undesirable", "3-5", "--epochs", "1"]
    assert main(["train", *split, option, value, "--out", "m.safetensors"]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"rootbound: expected no {option} with {data}; got {value}; leave {option} out: such data "
        "are read without it\n"
    )
    assert not (place / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        ("photos", {"label_names": "a,b"}),
        ("photos", {"axes": "NHWC"}),
        ("photos", {"train_split": "train[:1]", "test_split": "train[1:]"}),
        ("idx", {"axes": "NHWC"}),
        ("mnist", {"axes": "NHWC"}),
        ((np.zeros((4, 2)), [0, 1, 0, 1]), {"label_names": ["a", "b"]}),
        (TensorDataset(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])), {"label": "y"}),
    ],
)
def test_refuses_settings_of_other_data_in_python(source: Any, setting: dict[str, Any]) -> None:
    with pytest.raises(rb.InputError, match=f"expected no `{next(iter(setting))}` with"):
        rb.load_data(source, **setting)


def test_refuses_holdout_if_test_samples_are_given(toy: Dataset) -> None:
    part = toy.test.inputs, toy.test.labels
    with pytest.raises(rb.InputError, match="no `holdout`, as there is a test part"):
        rb.load_data(part, part, holdout=0.3)


def test_accepts_needed_settings(toy: Dataset) -> None:
    assert rb.load_data("toy.npz", axes="NCHW").train.shape == (1, 16, 16)
    assert len(rb.load_data("photos", holdout=0.4).test) == 8
    inputs = toy.train.inputs.permute(0, 2, 3, 1)
    for images in (inputs.float(), inputs.float().numpy(), inputs):
        data = rb.load_data((images, toy.train.labels), axes="NHWC", holdout=0.5)
        assert data.train.shape == (1, 16, 16)
        assert len(data.test) == len(inputs) // 2


def test_accepts_a_setting_that_one_of_two_data_sets_needs() -> None:
    options = TaskOptions("photos", "idx", "cat,dog", "0,1", holdout=0.4)
    assert len(resolve_tasks(options).read().desirable.test) == 4
    options = replace(options, data="toy.npz", undesirable_data="photos", layout="NCHW")
    options = replace(options, desirable="0,1", undesirable="cat,dog")
    assert len(resolve_tasks(options).read().undesirable.test) == 4
    with pytest.raises(rb.InputError, match=r"no `label_names` with toy\.npz"):
        resolve_tasks(replace(options, label_names="a,b")).read()


@pytest.mark.parametrize("data", ["whole", "photos"])
def test_settings_in_a_model_file_need_not_fit_other_data(data: str) -> None:
    tasks = resolve_tasks(TaskOptions(data), ORIGIN).read()
    assert len(tasks.desirable.test) == {"whole": 10, "photos": 4}[data]
    options = TaskOptions("idx", desirable="0,1", undesirable="2,3")
    assert len(resolve_tasks(options, ORIGIN).read().desirable.classes) == 2
    with pytest.raises(rb.InputError, match="no `holdout`, as there is a test part"):
        resolve_tasks(TaskOptions("whole", holdout=0.3), ORIGIN).read()


def test_label_names_are_a_text_or_a_list() -> None:
    assert rb.datasets.Layout(label_names="cat, dog").label_names == ("cat", "dog")  # type: ignore[arg-type]
    assert rb.datasets.Layout(label_names=["cat", "dog"]).label_names == ("cat", "dog")  # type: ignore[arg-type]
    assert rb.datasets.Layout(label_names="").label_names == ()  # type: ignore[arg-type]
