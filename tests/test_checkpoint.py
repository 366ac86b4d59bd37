"""Saved models come back bit for bit; nothing else is believed, and nothing is executed."""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.data import Scaling
from rootbound.networks import MODELS, Classifier, build, shallow_cnn
from rootbound.publishing import Origin, load_model, save_model
from rootbound.publishing.checkpoint import load_with_header, read_header
from rootbound.publishing.header import Header
from rootbound.records import Configuration
from samples import IMAGE as SHAPE
from samples import samples_for, shape_for

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)
SCALING = Scaling(255.0, 0.5, 0.25)
VALUES = ORIGIN.to_json()


@pytest.fixture
def saved(tmp_path: Path, toy_model: Classifier) -> Path:
    path = tmp_path / "model.safetensors"
    save_model(toy_model, path, SHAPE, ORIGIN)
    return path


def description(**changes: Any) -> dict[str, Any]:
    whole = {
        "architecture": "shallow_cnn",
        "classes": 3,
        "shape": list(SHAPE),
        "origin": ORIGIN.to_json(),
    }
    return whole | changes


def store(path: Path, described: object, weights: dict[str, Tensor] | None = None) -> None:
    """Write what save_model would, of any description and weights."""
    values = dict(shallow_cnn(3, SHAPE).state_dict()) if weights is None else weights
    whole = {name: value.contiguous() for name, value in values.items()}
    save_file(whole, path, {"rootbound": json.dumps(described)})


@pytest.mark.parametrize("name", list(MODELS))
def test_round_trip_is_bit_identical(name: str, tmp_path: Path) -> None:
    shape = shape_for(name)
    model = build(name, 3, shape, seed=4)
    path = tmp_path / "new" / "folder" / "model.safetensors"
    save_model(model, path, shape, ORIGIN)
    loaded, origin = load_model(path)
    assert origin == ORIGIN
    assert loaded.architecture == name
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    samples = samples_for(name)
    assert torch.equal(loaded.eval()(samples), model.eval()(samples))


def test_the_same_model_gives_the_same_file(saved: Path, toy_model: Classifier) -> None:
    again = saved.with_name("again.safetensors")
    save_model(toy_model, again, SHAPE, ORIGIN)
    assert again.read_bytes() == saved.read_bytes()


def test_loads_an_intact_file(tmp_path: Path) -> None:
    # Else the refusals below could all be for a reason of the test's own making.
    store(tmp_path / "m", description())
    load_model(tmp_path / "m")


COLOURS = Scaling.stated(255.0, [0.485, 0.456, 0.406], 0.25)


@pytest.mark.parametrize(
    "known",
    [
        {"scaling": None},
        {"scaling": SCALING},
        {"scaling": COLOURS},
        {"tokeniser": "hf:müsli <b>", "length": 8},
        {"input_column": "words & more", "label_column": "kind"},
        {"label_names": "a,<b>", "train_split": "train[:90%]", "test_split": "train[90%:]"},
    ],
    ids=repr,
)
def test_file_states_how_data_were_read(
    known: dict[str, Any], tmp_path: Path, toy_model: Classifier
) -> None:
    origin = replace(ORIGIN, **known)
    save_model(toy_model, tmp_path / "m", SHAPE, origin)
    assert load_model(tmp_path / "m")[1] == origin


def test_older_file_states_less_about_its_data(tmp_path: Path) -> None:
    later = (
        "tokeniser",
        "length",
        "input_column",
        "label_column",
        "label_names",
        "train_split",
        "test_split",
        "scaling",
    )
    before = {name: value for name, value in ORIGIN.to_json().items() if name not in later}
    store(tmp_path / "m", description(origin=before | {"method": str(ORIGIN.method)}))
    assert load_model(tmp_path / "m")[1] == ORIGIN


def test_unknown_fields_of_the_origin_are_ignored(tmp_path: Path) -> None:
    store(tmp_path / "m", description(origin=ORIGIN.to_json() | {"of a later version": 1}))
    assert load_model(tmp_path / "m")[1] == ORIGIN


def test_reads_the_header_without_the_weights(saved: Path) -> None:
    expected = Header("shallow_cnn", 3, SHAPE, ORIGIN)
    assert load_with_header(saved)[1] == expected
    length = struct.unpack("<Q", saved.read_bytes()[:8])[0]
    weights = saved.stat().st_size - 8 - length
    saved.write_bytes(saved.read_bytes()[: 8 + length] + b"\xff" * weights)  # NaN, all of them
    assert read_header(saved) == expected
    with pytest.raises(InputError, match="NaN"):
        load_model(saved)


def test_foreign_file_has_no_header(tmp_path: Path) -> None:
    assert read_header(tmp_path / "missing") is None
    store(tmp_path / "m", description(classes=1))
    assert read_header(tmp_path / "m") is None
    save_file(dict(nn.Linear(2, 2).state_dict()), tmp_path / "m")
    assert read_header(tmp_path / "m") is None


def test_a_wrapped_network_is_saved_under_its_own_names(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    save_model(Classifier.wrap(module), tmp_path / "m", SHAPE, ORIGIN)
    assert load_file(tmp_path / "m").keys() == module.state_dict().keys()
    assert read_header(tmp_path / "m") == Header("", 3, SHAPE, ORIGIN)
    with pytest.raises(InputError, match="network of your own"):
        load_model(tmp_path / "m")


def test_refuses_to_save_an_unknown_classifier(tmp_path: Path) -> None:
    model = Classifier(nn.Flatten(), nn.Linear(256, 3))
    with pytest.raises(InputError, match="wrapped by hand"):
        save_model(model, tmp_path / "m", SHAPE, ORIGIN)
    assert not list(tmp_path.iterdir())


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def random_bytes(path: Path) -> None:
    noise = torch.randint(256, (5000,), generator=torch.Generator().manual_seed(0))
    path.write_bytes(bytes(noise.tolist()))


def huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")


def text(path: Path) -> None:
    path.write_text("this is not a model\n" * 10)


def torch_file(path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        empty,
        truncated,
        cut_in_the_header,
        longer,
        random_bytes,
        huge_header,
        text,
        torch_file,
        missing,
        folder,
    ],
)
def test_refuses_an_incomplete_model_file(damage: Callable[[Path], None], saved: Path) -> None:
    damage(saved)
    with pytest.raises(InputError) as caught:
        load_model(saved)
    assert len(str(caught.value).splitlines()) == 1
    assert str(saved) in str(caught.value)


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_refuses_a_pickle_without_executing_it(tmp_path: Path) -> None:
    made = tmp_path / "made by the pickle"
    content = pickle.dumps(Bomb(made))
    pickle.loads(content)
    assert made.exists(), "the test's pickle does nothing"
    made.unlink()
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(InputError, match="a safetensors file"):
        load_model(tmp_path / "m")
    torch.save(Bomb(made), tmp_path / "m")
    with pytest.raises(InputError, match="a safetensors file"):
        load_model(tmp_path / "m")
    assert not made.exists()


def test_refuses_foreign_safetensors(tmp_path: Path) -> None:
    for number, metadata in enumerate((None, {"format": "pt"})):
        path = tmp_path / str(number)
        path.write_bytes(save(dict(nn.Linear(2, 2).state_dict()), metadata))
        with pytest.raises(InputError, match="written by rootbound"):
            load_model(path)


@pytest.mark.parametrize("stated", ["{", "[" * 100_000], ids=["cut", "deep"])
def test_refuses_a_description_that_is_not_json(stated: str, tmp_path: Path) -> None:
    save_file(dict(nn.Linear(2, 2).state_dict()), tmp_path / "m", {"rootbound": stated})
    with pytest.raises(InputError):
        load_model(tmp_path / "m")


def changed(described: object) -> str:
    """Name what a description has that a right one has not."""
    if not isinstance(described, dict) or not described:
        return repr(described)
    key = next(key for key, value in described.items() if value != description()[key])
    value = described[key]
    if isinstance(value, dict) and value:
        key, value = next(one for one in value.items() if one not in ORIGIN.to_json().items())
    return f"{key} {value!r}"


@pytest.mark.parametrize(
    "described",
    [
        [],
        None,
        "text",
        {},
        description(classes=4),
        description(classes=0),
        description(classes=-1),
        description(classes="three"),
        description(classes=None),
        description(classes=math.inf),
        description(shape=[1, 20, 20]),
        description(shape=[1, 16]),
        description(shape=[1, 2, 2]),
        description(shape=[0, 16, 16]),
        description(shape=[1, -16, 16]),
        description(shape=[1, 2**40, 2**40]),
        description(shape=[1, math.inf, 16]),
        description(shape="abc"),
        description(shape=7),
        description(architecture="deep_cnn"),
        description(architecture=["shallow_cnn"]),
        description(origin=None),
        description(origin=[]),
        description(origin={}),
        description(origin=ORIGIN.to_json() | {"data": ["mnist"]}),
        description(origin=ORIGIN.to_json() | {"desirable": 3}),
        description(origin=ORIGIN.to_json() | {"seed": "first"}),
        description(origin=ORIGIN.to_json() | {"shared": "no"}),
        description(origin=ORIGIN.to_json() | {"length": "8"}),
        description(origin=ORIGIN.to_json() | {"length": True}),
        description(origin=ORIGIN.to_json() | {"length": None}),
        description(origin=ORIGIN.to_json() | {"input_column": 3}),
        description(origin=ORIGIN.to_json() | {"label_column": None}),
        description(origin=ORIGIN.to_json() | {"scaling": "mnist"}),
        description(origin=ORIGIN.to_json() | {"scaling": {"mean": 0.5}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"mean": None}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"mean": 10**400}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"mean": math.nan}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"divisor": 0.0}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"deviation": -0.5}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"deviation": 1e-300}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"variance": 1.0}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"mean": []}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"mean": [0.5, 1]}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"mean": [0.5, math.nan]}}),
        description(origin=VALUES | {"scaling": asdict(SCALING) | {"divisor": [1.0]}}),
        description(
            origin=ORIGIN.to_json()
            | {"scaling": asdict(SCALING) | {"mean": [0.5, 0.5], "deviation": [1.0] * 3}}
        ),
    ],
    ids=changed,
)
def test_refuses_a_description_that_does_not_fit(described: object, tmp_path: Path) -> None:
    store(tmp_path / "m", described)
    with pytest.raises(InputError) as caught:
        load_model(tmp_path / "m")
    assert len(str(caught.value).splitlines()) == 1


def test_refuses_an_unknown_architecture_with_the_nearest_name(tmp_path: Path) -> None:
    store(tmp_path / "m", description(architecture="shallow_cn"))
    with pytest.raises(InputError, match="did you mean 'shallow_cnn'"):
        load_model(tmp_path / "m")


def without_head(weights: dict[str, Tensor]) -> None:
    del weights["head.bias"]


def with_a_stranger(weights: dict[str, Tensor]) -> None:
    weights["stranger"] = torch.zeros(1)


def of_another_shape(weights: dict[str, Tensor]) -> None:
    weights["head.weight"] = torch.zeros(3, 64)


def with_nan(weights: dict[str, Tensor]) -> None:
    weights["head.weight"] = torch.full((3, 128), torch.nan)


def with_one_inf(weights: dict[str, Tensor]) -> None:
    weights["head.bias"] = torch.tensor([0.0, torch.inf, 0.0])


def infinite_in_single_precision(weights: dict[str, Tensor]) -> None:
    weights["head.bias"] = torch.tensor([0.0, 1e300, 0.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "change",
    [
        without_head,
        with_a_stranger,
        of_another_shape,
        with_nan,
        with_one_inf,
        infinite_in_single_precision,
    ],
)
def test_refuses_unusable_weights(
    change: Callable[[dict[str, Tensor]], None], tmp_path: Path
) -> None:
    weights = dict(shallow_cnn(3, SHAPE).state_dict())
    change(weights)
    store(tmp_path / "m", description(), weights)
    with pytest.raises(InputError) as caught:
        load_model(tmp_path / "m")
    assert len(str(caught.value).splitlines()) == 1


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damaged_file_is_refused_or_loaded_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    save_model(shallow_cnn(3, SHAPE), path, SHAPE, ORIGIN)
    content = bytearray(path.read_bytes())
    # The header, where every byte means something, is the first two kilobytes.
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 2000))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        model, _ = load_model(path)
    except InputError:
        return
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
