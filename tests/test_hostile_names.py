"""Names from strangers, full disks and damaged files: shown as words, or refused in one line."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from rootbound import datasets
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.datasets import Layout
from rootbound.networks import shallow_cnn
from rootbound.publishing import Origin, load_checkpoint, save_model
from rootbound.publishing.card import resistance_card, to_markdown
from rootbound.records import Configuration, Evaluation
from rootbound.report import write
from rootbound.report.leaderboard import write_leaderboard

GOLDEN = Path(__file__).parent / "golden"
EVIL = '<img src=x onerror="alert(1)"> ![x](http://a.invalid/x.png)'


def hostile() -> Evaluation:
    """Return records in which every name of a stranger's would like to be a part of the page."""
    golden = Evaluation.load(GOLDEN)
    tasks = {
        role: {**golden.context[role], "name": EVIL, "classes": [EVIL] * 3}
        for role in ("desirable", "undesirable")
    }
    more = {"model": EVIL, "suite": EVIL, "machine": EVIL}

    def named(one: Any) -> Any:
        return replace(one, method=EVIL) if one.method == "BestResponse" else one

    return replace(
        golden,
        context={**golden.context, **tasks, **more},
        trainings=tuple(replace(named(one), settings=EVIL) for one in golden.trainings),
        records=tuple(
            replace(
                named(one),
                attack=Configuration(f"{EVIL}{one.attack.kind}", one.attack.settings),
                family=f"{EVIL}{one.family}",
            )
            for one in golden.records
        ),
        diagnoses=tuple(map(named, golden.diagnoses)),
    )


def test_every_page_escapes_names(tmp_path: Path) -> None:
    evaluation = hostile()
    evaluation.save(tmp_path)
    write(tmp_path)
    write_leaderboard(tmp_path, command=f"rootbound {EVIL}")
    (tmp_path / "README.md").write_text(
        to_markdown(resistance_card(evaluation, EVIL, "0" * 64), EVIL)
    )
    pages = [*tmp_path.glob("*.html"), *tmp_path.glob("*.md"), *tmp_path.rglob("*.svg")]
    assert {page.name for page in pages} >= {
        "report.html", "leaderboard.html", "summary.md", "leaderboard.md", "README.md",
        "frontier.svg",
    }  # fmt: skip
    for page in pages:
        assert "<img src=x" not in page.read_text(), page.name
        if page.suffix == ".md":
            assert "](http" not in page.read_text(), page.name
    for name in ("report.html", "leaderboard.html", "summary.md", "leaderboard.md", "README.md"):
        assert "&lt;img src=x" in (tmp_path / name).read_text(), name


@pytest.mark.filterwarnings("error")
def test_control_characters_do_not_break_a_drawing(tmp_path: Path) -> None:
    odd = "a\x00b\x1bc\td"

    def named(one: Any) -> Any:
        return replace(one, method=odd) if one.method == "BestResponse" else one

    golden = Evaluation.load(GOLDEN)
    golden = replace(
        golden,
        trainings=tuple(map(named, golden.trainings)),
        records=tuple(map(named, golden.records)),
        diagnoses=tuple(map(named, golden.diagnoses)),
    )
    golden.save(tmp_path)
    write(tmp_path)
    write_leaderboard(tmp_path)
    drawings = list(tmp_path.rglob("*.svg"))
    assert len(drawings) > 3
    for drawing in drawings:
        ElementTree.parse(drawing)


def test_refuses_a_class_with_an_undecodable_name(tmp_path: Path) -> None:
    """Records, reports and cards could not be written with it."""
    for name in (b"caf\xe9", b"dog"):
        folder = tmp_path / "zoo" / os.fsdecode(name)
        folder.mkdir(parents=True)
        for row in range(3):
            Image.fromarray(np.full((4, 4), row, np.uint8)).save(folder / f"{row}.png")
    with pytest.raises(InputError, match=r"in UTF-8 in .*zoo; got 'caf\\udce9'; rename it"):
        datasets.load(tmp_path / "zoo")


def origin() -> Origin:
    return Origin(
        Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=0, shared=False
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda held: {**held, "head.weight": torch.zeros(3, 127)}, "do not fit"),
        (lambda held: {**held, "more": torch.zeros(1)}, "do not fit"),
        (lambda held: {**held, "head.bias": torch.full((3,), torch.nan)}, "NaN"),
        (lambda held: {**held, "head.bias": torch.full((3,), -torch.inf)}, "infinite"),
    ],
    ids=["shape", "name", "nan", "infinite"],
)
def test_refuses_our_file_with_other_weights(
    damage: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.safetensors"
    save_model(shallow_cnn(3, (1, 16, 16)), path, (1, 16, 16), origin())
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    save_file(damage(load_file(path)), path, metadata)
    assert main(["audit", str(path)]) == 2
    written = capsys.readouterr().err
    assert said in written and len(written.splitlines()) == 1


def test_refuses_a_ten_gigabyte_header(tmp_path: Path) -> None:
    """The file is as long as it says, though nearly all of it is a hole."""
    path, size = tmp_path / "m.safetensors", 10 * 2**30
    with path.open("wb") as file:
        file.write(struct.pack("<Q", size) + b'{"a":')
        file.truncate(8 + size)
    with pytest.raises(InputError, match="header too large"):
        load_checkpoint(str(path))


def test_names_one_corrupt_image_among_thousands(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    content = (tmp_path / "one.png").read_bytes()
    for part, count in (("train", 1500), ("test", 5)):
        for name in ("cat", "dog"):
            (tmp_path / "zoo" / part / name).mkdir(parents=True)
            for row in range(count):
                (tmp_path / "zoo" / part / name / f"{row:04}.png").write_bytes(content)
    # Samples that are all the same are refused.
    Image.fromarray(pixels + 1).save(tmp_path / "zoo" / "train" / "dog" / "0000.png")
    bad = tmp_path / "zoo" / "train" / "dog" / "0777.png"
    bad.write_bytes(content[:-30])
    with pytest.raises(InputError, match=r"dog/0777\.png"):
        datasets.load(str(tmp_path / "zoo"))
    found = datasets.load(str(tmp_path / "zoo"), layout=Layout(skip_unreadable=True))
    assert found.train.labels.bincount().tolist() == [1500, 1499]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of 64 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_leaves_no_partial_model(
    full_disk: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    method = ["--method", "Plain", "--epochs", "1", "--out", str(full_disk / "m.safetensors")]
    assert main(["train", *split, *method]) == 2
    written = capsys.readouterr().err
    assert "No space left on device" in written and len(written.splitlines()) == 1
    assert not list(full_disk.iterdir())


def test_full_disk_leaves_no_partial_data_set(
    full_disk: Path, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Claimed:
        free = 2**40

    monkeypatch.setenv("ROOTBOUND_CACHE", str(full_disk))
    with pytest.raises(InputError, match="GiB of free space"):
        datasets.load(str(toy_folder), layout=Layout(in_memory=0))
    # What was free when it was asked for may be taken when it is needed.
    monkeypatch.setattr("rootbound.datasets.cache.shutil.disk_usage", lambda _: Claimed)
    with pytest.raises(InputError, match="No space left on device"):
        datasets.load(str(toy_folder), layout=Layout(in_memory=0))
    assert not list(full_disk.iterdir())
