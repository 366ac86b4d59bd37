"""Folders of image files, read without the library `datasets`."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from few import FEW
from rootbound import datasets
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.datasets import Dataset, Layout

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

NAMES = ("<b>cat", "dog & co", "eel-é")
HOWTO = Path(__file__).parents[1] / "docs" / "howto" / "data.md"
SKIP = Layout(skip_unreadable=True)


@pytest.fixture(autouse=True)
def _without_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)


def image(value: int, side: int = 6, mode: str = "RGB") -> Image.Image:
    pixels = np.full((side, side) if mode == "L" else (side, side, 3), value, dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Six training and two test images per class, in a folder whose name asks for trouble."""
    folder = tmp_path / "my zoo [1] ü"
    for part, count in (("train", 6), ("test", 2)):
        for label, name in enumerate(NAMES):
            (folder / part / name).mkdir(parents=True)
            for row in range(count):
                image(20 * label + row).save(folder / part / name / f"{row}.png")
    return folder


def load(folder: Path, layout: Layout = SKIP) -> Dataset:
    return datasets.load(str(folder), layout=layout)


def refused(folder: Path, message: str, layout: Layout | None = None) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(folder, layout or Layout())
    assert len(str(caught.value).splitlines()) == 1


def test_every_image_gets_its_class(zoo: Path) -> None:
    found = load(zoo)
    assert (found.name, found.classes) == (zoo.name, NAMES)
    assert found.train.inputs[:, 0, 0, 0].tolist() == [
        20 * a + b for a in range(3) for b in range(6)
    ]
    assert found.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.train.shape == (3, 6, 6)


def test_hidden_folders_are_no_classes(zoo: Path) -> None:
    (zoo / "train" / ".ipynb_checkpoints").mkdir()
    (zoo / "test" / ".cache").mkdir()
    (zoo / "train" / NAMES[0] / "Thumbs.db").write_bytes(b"no image")
    assert load(zoo, Layout()).classes == NAMES


@pytest.mark.parametrize("name", NAMES[:2])
def test_grey_images_become_colour_among_colour_images(name: str, zoo: Path) -> None:
    image(7, mode="L").save(zoo / "train" / name / "0.png")
    found = load(zoo)
    assert found.train.inputs[6 * NAMES.index(name), :, 0, 0].tolist() == [7, 7, 7]
    assert found.conversion.startswith("1 of 24 images of grey among colours")


def test_refuses_images_of_several_sizes(zoo: Path) -> None:
    path = zoo / "train" / NAMES[2] / "4.png"
    image(3, side=9).save(path)
    for layout in (Layout(), SKIP):
        refused(zoo, r"\(9, 9\) at .*4\.png", layout)


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\nnot quite"])
def test_names_a_corrupt_image_and_skips_it_on_request(
    part: str, content: bytes, zoo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = zoo / part / NAMES[1] / "1.png"
    path.write_bytes(content)
    refused(zoo, "a readable image at .*1.png")
    with caplog.at_level(logging.WARNING):
        found = load(zoo)
    assert str(path) in caplog.text
    data = {"train": found.train, "test": found.test}
    whole = {"train": 18, "test": 6}
    assert {name: len(one) for name, one in data.items()} == whole | {part: whole[part] - 1}
    assert data[part].labels.bincount()[1] == {"train": 5, "test": 1}[part]
    shown = data["train"].inputs[:, 0, 0, 0] // 20
    assert shown.tolist() == data["train"].labels.tolist(), "a label went to another image"


@pytest.mark.parametrize(
    ("link", "target", "said"),
    [("9.png", "missing.png", r"a readable image at .*9\.png"), ("loop", "..", "remove the link")],
)
def test_names_broken_links(link: str, target: str, said: str, zoo: Path) -> None:
    (zoo / "train" / NAMES[0] / link).symlink_to(target)
    refused(zoo, said)


def test_refuses_an_image_larger_than_memory(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # the test's images have 36
    refused(zoo, "decompression bomb")


def test_names_a_chosen_class_without_images(zoo: Path) -> None:
    for path in (zoo / "train" / NAMES[0]).iterdir():
        path.unlink()
    found = load(zoo)
    found.task([1, 2])
    with pytest.raises(InputError, match="none of class '<b>cat'"):
        found.task([0, 1])


def test_refuses_a_class_without_training_images(zoo: Path) -> None:
    (zoo / "test" / "yak").mkdir()
    refused(zoo, "yak")


def test_refuses_a_folder_without_test_part(zoo: Path) -> None:
    (zoo / "test").rename(zoo / "tset")
    refused(zoo, "a folder test in .*tset beside train")


@pytest.mark.slow
def test_photographs_lead_to_a_card_in_one_command_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog", "car", "truck")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for row in range(20):
            pixels = random.integers(100, size=(16, 16, 3)).astype(np.uint8)
            pixels[4 * label : 4 * label + 4] += 150
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{row}.jpg")
    (block,) = (part for part in HOWTO.read_text().split("```") if "--data photos " in part)
    few = {"train": ["--epochs", "1"], "audit": [*FEW, "--seeds", "1", "--workers", "1"]}
    for line in block.strip().splitlines():
        _, command, *words = line.split()
        assert main([command, *words, *few.get(command, [])]) == 0
    card = (tmp_path / "published" / "README.md").read_text()
    assert "8 test samples, 20 % of each class held out" in card
