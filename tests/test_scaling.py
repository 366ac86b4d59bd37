"""A network is audited on inputs scaled as those that it was trained on, or its worth is missed."""

from __future__ import annotations

import html
import logging
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

from few import FEW
from rootbound.cli.main import main
from rootbound.cli.options import ScalingOptions, TaskOptions
from rootbound.cli.scaling import as_trained
from rootbound.cli.tasks import resolve_tasks
from rootbound.core.errors import InputError
from rootbound.data import Data, Scaling, Tasks
from rootbound.datasets import Dataset
from rootbound.publishing import Origin
from rootbound.publishing.card import SCHEMA, resistance_card
from rootbound.publishing.checkpoint import read_header
from rootbound.records import Configuration, Evaluation
from rootbound.report.settings import SCALING_OF_THE_NETWORK

FACTORY = """
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Linear(16, 3))

def of_colours():
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Linear(16, 3))
"""
SPLIT = ("--desirable", "0-2", "--undesirable", "3-5")
SPENT = (*FEW, "--labels", "2", "--steps", "2", "--seeds", "1", "--workers", "1")
FOUND = Scaling(255.0, 0.5, 0.25)
"""Of the toy data."""
HALF = Scaling(255.0, 0.5, 0.5)
SECOND = Scaling(255.0, 0.1, 0.9)
"""Of the toy data where they stand for a second data set."""


def origin(scaling: Scaling | None, undesirable: str = "toy") -> Origin:
    settings = (Configuration("Plain", {}), "undefended", "toy", undesirable, "0-2", "3-5")
    return Origin(*settings, seed=0, shared=False, scaling=scaling)


NOT_GIVEN = ScalingOptions()
OF_HALF = ScalingOptions(0.5, 0.5)


def tasks_of(toy: Dataset, undesirable: Scaling) -> Tasks:
    tasks = toy.split([0, 1, 2], [3, 4, 5])
    other = tasks.undesirable
    train, test = (replace(part, scaling=undesirable) for part in (other.train, other.test))
    return replace(
        tasks,
        undesirable=replace(other, train=train, test=test),
        known_undesirable=replace(tasks.known_undesirable, scaling=undesirable),
    )


@pytest.mark.parametrize(
    ("known", "undesirable", "given", "scalings", "lines"),
    [
        (None, "toy", NOT_GIVEN, (FOUND, FOUND), 0),
        (None, "toy", OF_HALF, (HALF, HALF), 2),
        (None, "toy", ScalingOptions(0.5, 0.25), (FOUND, FOUND), 0),
        (None, "toy", ScalingOptions([0.5, 0.5, 0.5], 0.25), (FOUND, FOUND), 0),
        (None, "other", OF_HALF, (HALF, HALF), 2),
        (None, "other", NOT_GIVEN, (FOUND, SECOND), 0),
        (origin(None), "toy", NOT_GIVEN, (FOUND, FOUND), 0),
        (origin(None), "toy", OF_HALF, (HALF, HALF), 2),
        (origin(FOUND), "toy", NOT_GIVEN, (FOUND, FOUND), 0),
        (origin(Scaling(255.0, 0.50001, 0.25001)), "toy", NOT_GIVEN, (FOUND, FOUND), 0),
        (origin(HALF), "toy", NOT_GIVEN, (HALF, HALF), 2),
        (origin(HALF), "toy", OF_HALF, (HALF, HALF), 2),
        (origin(Scaling(1.0, 0.5, 0.5)), "toy", NOT_GIVEN, (HALF, HALF), 2),
        (origin(HALF), "other", NOT_GIVEN, (HALF, HALF), 2),
        (origin(HALF, "other"), "other", NOT_GIVEN, (HALF, SECOND), 1),
    ],
)  # fmt: skip
def test_inputs_are_scaled_as_the_network_was_trained(
    known: Origin | None,
    undesirable: str,
    given: ScalingOptions,
    scalings: tuple[Scaling, Scaling],
    lines: int,
    toy: Dataset,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = tasks_of(toy, FOUND if undesirable == "toy" else SECOND)
    own = None if known is None else known.scaling
    second = resolve_tasks(TaskOptions("toy", undesirable), known).has_second_of(known)
    with caplog.at_level(logging.WARNING, "rootbound"):
        made = as_trained(tasks, given, own, keep_second=second)
    assert made.desirable is not None
    assert made.known_undesirable is not None
    assert {part.scaling for part in (made.desirable.train, made.desirable.test)} == {scalings[0]}
    parts = (made.undesirable.train, made.undesirable.test, made.known_undesirable)
    assert {part.scaling for part in parts} == {scalings[1]}
    assert len(caplog.records) == lines


def test_tokens_are_not_scaled(toy: Dataset) -> None:
    task = toy.task([0, 1, 2])
    tokens = Data(torch.zeros(3, 4, dtype=torch.int64), torch.arange(3))
    with pytest.raises(InputError, match="texts"):
        as_trained(Tasks.alone(replace(task, train=tokens, test=tokens)), OF_HALF)


def test_refuses_to_contradict_the_model_file(toy: Dataset) -> None:
    with pytest.raises(InputError, match=r"states: less 0\.5, over 0\.25"):
        as_trained(tasks_of(toy, FOUND), OF_HALF, FOUND)


def of_floats(toy: Dataset, low: float, high: float) -> Tasks:
    """Return the task with bytes as floating point from one number to another."""
    task = toy.task([0, 1, 2])

    def convert(data: Data) -> Data:
        return Data(data.inputs[:] / 255 * (high - low) + low, data.labels)

    return Tasks.alone(replace(task, train=convert(task.train), test=convert(task.test)))


@pytest.mark.parametrize(
    ("black", "white", "said"), [(0, 1, None), (0, 255, "0,255"), (-1, 1, "-1,1"), (0, 1, "0,1")]
)
def test_scales_pixels_of_any_range_alike(
    black: float, white: float, said: str | None, toy: Dataset
) -> None:
    of_bytes = as_trained(Tasks.alone(toy.task([0, 1, 2])), OF_HALF)
    found = as_trained(of_floats(toy, black, white), replace(OF_HALF, range=said))
    expected, _ = of_bytes.undesirable.train.batch(slice(9))
    assert torch.allclose(found.undesirable.train.batch(slice(9))[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("black", "white", "said", "message"),
    [
        (0, 255, None, "floating point from 0 to 255; give black and white with --range"),
        (-1, 1, None, "from -1 to 1; give black and white with --range"),
        (0, 1, "1", "black and white"),
        (0, 1, "1,0", "black and white"),
        (0, 1, "5,5", "black and white"),
        (0, 1, "0,1,2", "black and white"),
        (0, 1, "a,b", "numbers separated by commas in --range"),
    ],
)
def test_refuses_to_guess_ranges(
    black: float, white: float, said: str | None, message: str, toy: Dataset
) -> None:
    with pytest.raises(InputError, match=message):
        as_trained(of_floats(toy, black, white), replace(OF_HALF, range=said))


def test_refuses_a_range_alone(toy: Dataset) -> None:
    with pytest.raises(InputError, match="got it alone"):
        as_trained(tasks_of(toy, FOUND), ScalingOptions(range="0,255"))


def test_bytes_have_a_known_range(toy: Dataset) -> None:
    with pytest.raises(InputError, match="no --range"):
        as_trained(tasks_of(toy, FOUND), replace(OF_HALF, range="0,255"))


@pytest.fixture
def strangers(tmp_path: Path, toy_folder: Path) -> tuple[str, ...]:
    """Return the words that audit a stranger's network."""
    (tmp_path / "net.py").write_text(FACTORY)
    layers = nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Linear(16, 3)
    torch.save(nn.Sequential(*layers).state_dict(), tmp_path / "w.pt")
    named = ("--model", f"{tmp_path / 'net.py'}:network", "--data", str(toy_folder))
    return ("audit", str(tmp_path / "w.pt"), *named, *SPLIT, *SPENT, "--out", str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--mean", "0.5"), "give both"),
        (("--deviation", "0.5"), "give both"),
        (("--mean", "0.5", "--deviation", "0"), "above 0"),
        (("--mean", "0.5", "--deviation", "-0.5"), "above 0"),
        (("--mean", "0.5", "--deviation", "nan"), "nan"),
        (("--mean", "0.5", "--deviation", "inf"), "inf"),
        (("--mean", "nan", "--deviation", "0.5"), "nan"),
        (("--mean", "0.5", "--deviation", "1e-300"), "finite when they are scaled"),
        (("--mean", "0.5,0.5,0.5", "--deviation", "0.1,0.2"), "as many means as deviations"),
        (("--mean", "0.5,0.4,0.6", "--deviation", "0.5"), "each of the channels of (1, 16, 16)"),
        (("--mean", "0.5,0.4,0.6", "--deviation", "0.5,0.5,0"), "above 0"),
        (("--mean", "0.5,", "--deviation", "0.5"), "--mean"),
        (("--mean", "a,b,c", "--deviation", "0.5"), "--mean"),
    ],
)
def test_refuses_impossible_scalings(
    given: tuple[str, ...],
    said: str,
    strangers: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*strangers, *given]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("divisor", [1e-40, 1e-32, 1e-16, 1.0, 1e30, 1e300])
def test_accepted_scaling_gives_finite_inputs(divisor: float) -> None:
    exponents = (-300, -40, -32, -16, 0, 16, 32, 300)
    accepted = 0
    for mean, deviation in product((0.0, *(10.0**one for one in exponents)), repeat=2):
        with suppress(InputError):
            scaling = Scaling.stated(divisor, mean, deviation)
            accepted += 1
            assert bool(scaling.apply(torch.tensor([[0, 1, 255]])).isfinite().all())
    assert accepted > 0


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e3])
def test_scalings_are_compared_in_standard_deviations(unit: float) -> None:
    def scaling(*channels: tuple[float, float]) -> Scaling:
        means, deviations = zip(*channels, strict=True)
        return Scaling.stated(
            255.0, [unit * mean for mean in means], [unit * one for one in deviations]
        )

    own = scaling((0.5, 0.2))
    for same in (own, scaling((0.5001, 0.2)), scaling((0.5, 0.1999)), scaling(*[(0.5, 0.2)] * 3)):
        assert own.is_close(same)
        assert same.is_close(own)
    second = scaling((0.5, 0.2), (0.4, 0.2))
    for other in (scaling((0.501, 0.2)), scaling((0.5, 0.201)), second):
        assert not own.is_close(other)
        assert not other.is_close(own)
    assert not second.is_close(scaling(*[(0.5, 0.2)] * 3)), "two channels are not three"


IMAGE_NET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("numbers", [IMAGE_NET, ([0.5] * 3, [0.5] * 3), (0.0, [0.2, 0.3, 0.4])])
def test_inputs_equal_those_of_an_image_processor(
    numbers: tuple[float | list[float], list[float]],
) -> None:
    transformers = pytest.importorskip("transformers")
    mean, deviation = numbers
    images = torch.randint(0, 256, (5, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    data = Data(images.byte(), torch.arange(5), Scaling.stated(255.0, mean, deviation))
    processor = transformers.ViTImageProcessorPil(
        image_mean=mean if isinstance(mean, list) else [mean] * 3,
        image_std=deviation,
        do_resize=False,
    )
    expected = processor(list(images.byte().numpy()), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(data.batch(slice(None))[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_run_states_the_scaling_of_each_channel(
    strangers: tuple[str, ...], toy: Dataset, tmp_path: Path
) -> None:
    x_train, x_test = (
        part.inputs.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
        for part in (toy.train, toy.test)
    )
    y_train, y_test = (part.labels.numpy() for part in (toy.train, toy.test))
    path = tmp_path / "colours.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    layers = nn.Flatten(), nn.Linear(768, 16), nn.ReLU(), nn.Linear(16, 3)
    torch.save(nn.Sequential(*layers).state_dict(), tmp_path / "w.pt")
    mean, deviation = (",".join(map(str, numbers)) for numbers in IMAGE_NET)
    (tmp_path / "audit.yaml").write_text(f"mean: {list(IMAGE_NET[0])}\n")
    named = ("--model", f"{tmp_path / 'net.py'}:of_colours", "--data", str(path))
    told = ("--config", f"{tmp_path}/audit.yaml", "--deviation", deviation)
    assert main([*strangers, *named, *told]) == 0
    context = Evaluation.load(tmp_path / "run").context
    expected = {"shape": [3, 16, 16], "divisor": 255.0, "mean": IMAGE_NET[0]}
    expected["deviation"] = IMAGE_NET[1]
    assert context["desirable"]["inputs"] == context["undesirable"]["inputs"] == expected
    assert f"less ({mean.replace(',', ', ')}), over (" in (tmp_path / "run/report.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_run_states_how_inputs_were_scaled(
    strangers: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*strangers, "--mean", "0.5", "--deviation", "0.5"]) == 0
    assert SCALING_OF_THE_NETWORK in capsys.readouterr().out
    evaluation = Evaluation.load(tmp_path / "run")
    context = evaluation.context
    own = context["undesirable"]["own_inputs"]
    assert own["mean"] == pytest.approx(0.5073, abs=1e-4)
    (weights,) = context["weights"].values()
    card = resistance_card(evaluation, "defended", weights)
    jsonschema.validate(card, SCHEMA)
    assert SCALING_OF_THE_NETWORK in card["limits"]
    assert "the data's own would be less 0.5073, over" in card["threat_model"]["Inputs"]
    expected = {"shape": [1, 16, 16], "divisor": 255.0, "mean": 0.5, "deviation": 0.5}
    assert context["desirable"]["inputs"] == context["undesirable"]["inputs"] == expected
    page = html.unescape((tmp_path / "run/report.html").read_text())
    assert "pixels / 255, less 0.5, over 0.5; 1x16x16 (the network's own scaling" in page


@pytest.mark.parametrize("further", [False, True])
def test_trains_on_inputs_scaled_for_the_network(
    further: bool, strangers: tuple[str, ...], tmp_path: Path
) -> None:
    _, weights, *named = strangers[: -len((*SPENT, "--out", "run"))]
    told = ("--mean", "0.5", "--deviation", "0.5")
    short = ("--epochs", "1", "--method", "Plain", "--out")
    path = tmp_path / "trained.safetensors"
    assert main(["train", "--from", weights, *named, *told, *short, str(path)]) == 0
    if further:  # the file says what its weights have seen, its data and its classes
        start, path = path, tmp_path / "further.safetensors"
        model = named[named.index("--model") :][:2]
        again = ["train", "--from", str(start), *model, *short]
        assert main([*again, str(path)]) == 0
    header = read_header(path)
    assert header is not None
    origin = header.origin
    assert origin.scaling == HALF
    classes = origin.desirable, origin.undesirable
    assert (origin.data, *classes) == (named[named.index("--data") + 1], "0-2", "3-5")


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_comparison_scales_inputs_for_the_network(toy_folder: Path, tmp_path: Path) -> None:
    command = ["compare", "--methods", "Plain", "--model", "batch_norm_cnn", "--epochs", "1"]
    out = ["--data", str(toy_folder), *SPLIT, *SPENT, "--out", str(tmp_path / "run")]
    assert main([*command, *out, "--mean", "0.5", "--deviation", "0.5"]) == 0
    context = Evaluation.load(tmp_path / "run").context
    assert (context["desirable"]["inputs"]["mean"], context["pretrained"]) == (0.5, False)
    assert main([*command, *out]) == 2, "on other inputs it is another run"
