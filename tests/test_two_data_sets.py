"""Desirable and undesirable classes out of two data sets: images that fit, names, the commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from few import FEW
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.data import Data, Scaling
from rootbound.datasets import Dataset, fitted
from rootbound.publishing import load_model
from rootbound.records import Evaluation
from toy import write_idx_folder

NAMES = ("cat", "dog", "7")


def dataset(shape: tuple[int, ...], count: int = 6, *, whole: bool = True) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (count, *shape), generator=generator)
    data = Data(
        inputs.byte() if whole else inputs / 255, torch.arange(count) % 3, Scaling(255.0, 0.3, 0.2)
    )
    return Dataset("zoo", NAMES, data, data)


def test_leaves_fitting_samples_unchanged() -> None:
    zoo = dataset((3, 8, 8))
    assert fitted(zoo, (3, 8, 8)) is zoo


def test_converts_grey_to_colour_by_repetition() -> None:
    zoo = dataset((1, 8, 8))
    found = fitted(zoo, (3, 8, 8))
    assert torch.equal(found.train.inputs, zoo.train.inputs.expand(-1, 3, -1, -1))
    assert found.train.scaling == zoo.train.scaling
    assert (found.name, found.classes) == ("zoo as 3x8x8", NAMES)


def as_images(inputs: Tensor) -> list[Image.Image]:
    return [Image.fromarray(one.permute(1, 2, 0).squeeze(2).numpy()) for one in inputs]


def test_converts_colour_to_grey_like_pillow() -> None:
    zoo = dataset((3, 8, 8))
    found = fitted(zoo, (1, 8, 8)).train.inputs
    for mine, image in zip(found, as_images(zoo.train.inputs), strict=True):
        theirs = torch.from_numpy(np.array(image.convert("L")))
        assert (mine[0].int() - theirs).abs().max() <= 1


@pytest.mark.parametrize("size", [(4, 4), (12, 12), (5, 9)])
def test_resizes_like_pillow(size: tuple[int, int]) -> None:
    zoo = dataset((1, 8, 8))
    found = fitted(zoo, (1, *size)).train.inputs
    for mine, image in zip(found, as_images(zoo.train.inputs), strict=True):
        resized = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        theirs = torch.from_numpy(np.array(resized))
        assert (mine[0].int() - theirs).abs().max() <= 1


def test_leaves_floating_point_unrounded() -> None:
    zoo = dataset((1, 8, 8), whole=False)
    found = fitted(zoo, (3, 4, 4)).train.inputs
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.round())


@pytest.mark.parametrize(
    ("found", "shape", "conversion"),
    [
        ((1, 8, 8), (1, 8, 8), ""),
        ((1, 8, 8), (3, 8, 8), "one channel repeated three times"),
        ((3, 8, 8), (1, 8, 8), "colours turned to grey by luma"),
        ((1, 8, 8), (1, 5, 9), "resized from 8x8 to 5x9 bilinearly, with antialiasing"),
        (
            (1, 28, 28),
            (3, 32, 32),
            "resized from 28x28 to 32x32 bilinearly, with antialiasing, one channel repeated three "
            "times",
        ),
        ((4,), (6,), "filled up with padding from 4 to 6 tokens"),
        ((4,), (3,), "cut from 4 to 3 tokens"),
    ],
)
def test_states_the_conversion(
    found: tuple[int, ...], shape: tuple[int, ...], conversion: str
) -> None:
    zoo = dataset(found)
    if len(found) == 1:
        texts = Data(zoo.train.inputs.int(), zoo.train.labels)
        zoo = replace(zoo, train=texts, test=texts)
    assert fitted(zoo, shape).task([0, 1]).conversion == conversion


@pytest.mark.parametrize("shape", [(4, 8, 8), (64,), (1, 64)])
def test_refuses_impossible_conversions(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="only images"):
        fitted(dataset((3, 8, 8)), shape)


@pytest.mark.parametrize(
    ("text", "classes"),
    [("cat,dog", (0, 1)), ("dog", (1,)), ("7-7", (2,)), ("all", (0, 1, 2)), ("7, cat", (2, 0))],
)
def test_selects_classes_by_name(text: str, classes: tuple[int, ...]) -> None:
    assert dataset((1, 8, 8)).chosen(text) == classes


def test_names_a_missing_class_and_the_existing_ones() -> None:
    with pytest.raises(InputError, match="cat, dog, 7; got 'bird'; correct the class list"):
        dataset((1, 8, 8)).chosen("cat,bird")


@pytest.mark.usefixtures("no_figures")
def test_existing_model_is_defended_against_another_data_set(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_idx_folder(other, dataset((1, 20, 20), count=60))
    plain, defended = tmp_path / "plain.safetensors", tmp_path / "defended.safetensors"
    given = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    assert main(["train", *given, "--method", "Plain", "--epochs", "2", "--out", str(plain)]) == 0
    again = ["train", "--from", str(plain), "--undesirable-data", str(other), "--epochs", "1"]
    again += ["--method.schedule.first_block_until", "0"]
    assert main([*again, "--out", str(defended)]) == 0, capsys.readouterr().err
    (before, _), (after, origin) = load_model(plain), load_model(defended)
    assert (origin.data, origin.desirable) == (str(toy_folder), "0-2")
    assert (origin.undesirable_data, origin.undesirable) == (str(other), "all")
    first = [next(iter(model.blocks[0].parameters())) for model in (before, after)]
    assert torch.equal(*first), "the defended model does not start from the given one"
    attack = [*FEW, "--labels", "2", "--steps", "3", "--seeds", "1", "--workers", "1"]
    assert main(["audit", str(defended), *attack, "--out", str(tmp_path / "run")]) == 0
    assert "other as 1x16x16 0-2" in capsys.readouterr().out
    how = "resized from 20x20 to 16x16 bilinearly, with antialiasing"
    assert Evaluation.load(tmp_path / "run").context["undesirable"]["conversion"] == how
    assert how in (tmp_path / "run" / "report.html").read_text()
