"""Which words count: shares that add up, and figures of any words."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import Tensor, nn

import tiny
from rootbound import report
from rootbound.data import Data, Task, TaskPair
from rootbound.datasets import Dataset, Letters
from rootbound.datasets.texts import Labelled, Texts
from rootbound.inspection.attributions import grad_cam, token_attributions
from rootbound.inspection.pictures import LONGEST_WORD, Array, as_npz, make_pictures
from rootbound.networks import Classifier, from_transformers, shallow_cnn, small_text
from rootbound.networks.block_outputs import join_mask, split_mask, trim_padding
from rootbound.networks.text import Words, bag_of_words
from rootbound.report.words import draw_words

GOLDEN = Path(__file__).parent / "golden"
EVIL = '<img src=x onerror="alert(1)">'


def of_transformers(family: str) -> Classifier:
    return from_transformers(tiny.network(family)).eval()


def ours() -> Classifier:
    return small_text(tiny.CLASSES, (10,), vocabulary=40).eval()


def without_words(model: Classifier, tokens: Tensor) -> Tensor:
    """Return logits where every state after the first block is zero."""
    states, mask = split_mask(model.blocks[0](tokens))
    outputs = join_mask(torch.zeros_like(states), mask)
    for block in model.blocks[1:]:
        outputs = block(outputs)
    logits: Tensor = model.head(outputs)
    return logits


@pytest.mark.parametrize(
    "make",
    [ours, *(lambda family=family: of_transformers(family) for family in tiny.TEXTS)],
    ids=["ours", *tiny.TEXTS],
)
def test_shares_add_up_to_the_difference_of_logits(make: Callable[[], Classifier]) -> None:
    model, tokens = make(), tiny.samples("bert")
    targets = torch.tensor([0, 1, 2, 1])
    shares = token_attributions(model, Data(tokens, targets), targets)
    assert shares is not None and shares.shape == tokens.shape
    assert not bool(shares[tokens == 0].any()), "padding has a share"
    with torch.no_grad():
        gained = (model(tokens) - without_words(model, tokens)).gather(1, targets[:, None])[:, 0]
    assert float(gained.abs().max()) > 1e-2, "nothing to explain"
    torch.testing.assert_close(shares.sum(1), gained, rtol=0.02, atol=5e-3)


def test_shares_of_a_linear_model_are_known() -> None:
    """The mean of vectors, read linearly: a word's share is its own logit over their number."""

    class Mean(nn.Module):
        def forward(self, outputs: Tensor) -> Tensor:
            states, mask = split_mask(outputs)
            return states.sum(1) / mask.sum(1, keepdim=True)

    model = Classifier(nn.Sequential(Words(9, 6, 8), Mean()), nn.Linear(8, 3)).eval()
    tokens = torch.tensor([[3, 4, 5, 0, 0], [8, 0, 0, 0, 0]])
    shares = token_attributions(model, Data(tokens, torch.tensor([2, 0])), torch.tensor([2, 0]))
    states, mask = split_mask(model.blocks[0](trim_padding(tokens)[0]))
    logits = states @ model.head.weight[[2, 0]].unsqueeze(2)
    expected = logits[..., 0] * mask / mask.sum(1, keepdim=True)
    assert shares is not None
    torch.testing.assert_close(
        shares, nn.functional.pad(expected, (0, 2)).detach()[:, : shares.shape[1]]
    )


def test_no_shares_without_hidden_states(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    texts = Data(tiny.samples("bert"), torch.zeros(4).long())
    assert token_attributions(bag_of_words(3), texts, texts.labels) is None
    images = toy_tasks.desirable.test
    assert token_attributions(toy_model, images, images.labels) is None


STRANGE = (
    EVIL,
    "]]>",
    "&amp;",
    "--",
    "$x^2$",
    "\x00\x0b\x1b",
    "日本語",
    "🌱",
    "w" * 100_000,
    "\n",
    " ",
)


def strange_tasks() -> TaskPair:
    """Return tasks whose words are what a stranger would write."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> Data:
        tokens = torch.randint(1, len(STRANGE) + 1, (count * 4, 8), generator=generator)
        tokens[0, 2:] = 0
        return Data(tokens, torch.arange(4).repeat(count))

    return Dataset(EVIL, (EVIL, "b", "c", "d"), part(10), part(5), ("", *STRANGE)).split(
        [0, 1], [2, 3]
    )


@pytest.fixture(scope="module")
def drawn() -> dict[str, Array]:
    return make_pictures(small_text(2, (8,), vocabulary=20), strange_tasks())


def test_long_words_are_cut_and_blank_ones_shown(
    drawn: dict[str, Array],
) -> None:
    shown = {str(word) for word in drawn["words_desirable"].flat}
    cut = {word[:LONGEST_WORD] for word in (*STRANGE, "w" * 2 * LONGEST_WORD)}
    assert shown <= {"", "?", "···", "·", *cut}
    assert drawn["words_desirable"].nbytes < 10_000
    assert not drawn["words_desirable"][drawn["words_desirable"] == ""].any()


def test_each_side_has_its_own_words() -> None:
    def side(letters: str) -> Texts:
        part = Labelled(tuple(letters * 6), torch.arange(6 * len(letters)) % 2)
        return Texts(letters, ("a", "b"), part, part)

    first, second = side("ab").tokenised(Letters("ab")), side("xyz").tokenised(Letters("xyz"))
    pair = TaskPair.of(first.task([0, 1]), second.task([0, 1]))
    found = make_pictures(small_text(2, (1,), vocabulary=9), pair)
    assert set(found["words_desirable"].flat) <= set("ab")
    assert set(found["words_undesirable"].flat) <= set("xyz")


def test_untrusted_words_are_escaped_and_complete(drawn: dict[str, Array], tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "records.json.gz", tmp_path)
    named = {f"BestResponse/{name}": value for name, value in drawn.items()}
    (tmp_path / "pictures.npz").write_bytes(as_npz(named))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.write(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x" in page
    assert ElementTree.parse(tmp_path / "figures" / "words.svg")


def test_draws_no_figure_without_words() -> None:
    assert (
        draw_words({"Plain": {"view": np.zeros((3, 2))}}, {"desirable": [], "undesirable": []})
        is None
    )


def test_view_shows_every_class_of_many() -> None:
    labels = torch.arange(300)
    data = Data(torch.randn(300, 4), labels)
    task = Task("many", tuple(map(str, range(300))), data, data)
    model = Classifier(nn.Sequential(nn.Linear(4, 3)), nn.Linear(3, 300)).eval()
    found = make_pictures(model, TaskPair(task, task, data))
    assert np.array_equal(found["view_labels"], labels.numpy())


def test_supporting_words_are_green_and_opposing_words_red() -> None:
    shares = np.array([[0.5, -1.0, 0.0]])
    parts = {
        "words_undesirable": np.array([["for", "against", "neither"]]),
        "shares_original_undesirable": shares,
        "shares_retrained_undesirable": shares,
    }
    figure = draw_words({"Plain": parts}, {"undesirable": ["a"]})
    assert figure is not None
    plt.close(figure)
    boxes = {
        text.get_text(): to_hex(box.get_facecolor(), keep_alpha=True)
        for text in figure.axes[0].texts
        if (box := text.get_bbox_patch()) is not None
    }
    assert boxes["for"][:7] == "#12a150" and boxes["against"][:7] == "#d6455d"
    # The strongest share is the most opaque, half of it half as much.
    assert [int(boxes[word][7:], 16) for word in ("against", "for", "neither")] == [153, 76, 0]


def test_first_image_of_each_class_is_explained_by_the_named_model(
    toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[tuple[Classifier, Tensor, Tensor]] = []

    def record(model: Classifier, _: nn.Module, data: Data, targets: Tensor) -> Array:
        explained.append((model, data.inputs[:], targets))
        return np.full((len(data), 16, 16), len(explained), np.uint8)

    monkeypatch.setattr("rootbound.inspection.pictures.grad_cam", record)
    monkeypatch.setattr("rootbound.inspection.pictures.can_attribute", lambda: True)
    model = shallow_cnn(3, (1, 16, 16)).eval()
    arrays = make_pictures(model, toy_tasks)
    sides = {"desirable": toy_tasks.desirable, "undesirable": toy_tasks.undesirable}
    firsts = {}
    for role, task in sides.items():
        places = [task.test.labels.tolist().index(label) for label in range(3)]
        firsts[role] = task.test.select(torch.tensor(places))
        assert np.array_equal(arrays[role], firsts[role].inputs[:].numpy())
    by_name = {
        name: explained[int(arrays[name].max()) - 1]
        for name in arrays
        if name.startswith("cam_")
    }  # fmt: skip
    with torch.no_grad():
        predicted = model(firsts["undesirable"].batch(slice(None))[0]).argmax(1)
    assert predicted.tolist() != [0, 1, 2]
    for name, is_given, role, targets in (
        ("cam_original_desirable", True, "desirable", [0, 1, 2]),
        ("cam_original_undesirable", True, "undesirable", predicted.tolist()),
        ("cam_retrained_undesirable", False, "undesirable", [0, 1, 2]),
    ):
        network, images, classes = by_name[name]
        assert torch.equal(network.head.weight, model.head.weight) is is_given
        assert torch.equal(images, firsts[role].inputs[:])
        assert classes.tolist() == targets


def test_view_ignores_the_sign_of_features() -> None:
    generator = torch.Generator().manual_seed(0)
    data = Data(torch.randn(40, 4, generator=generator), torch.arange(40) % 2)
    task = Task("two", ("a", "b"), data, data)

    def view(factor: float) -> Array:
        layer = nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            layer.weight.copy_(factor * torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5])))
        model = Classifier(nn.Sequential(layer), nn.Linear(4, 2)).eval()
        return make_pictures(model, TaskPair(task, task, data))["view"]

    assert view(1.0) == pytest.approx(view(-1.0))
    assert (np.abs(view(1.0)).max(axis=0) == view(1.0).max(axis=0)).all()


def test_evidence_against_a_class_does_not_count_for_it() -> None:
    """The only channel counts against the first class, and for the second.

    It is 1 at one place, and -0.5 at another: there is evidence for each class at one of them.
    """
    pytest.importorskip("captum")
    convolution = nn.Conv2d(1, 1, 1, bias=False)
    head = nn.Linear(16, 2, bias=False)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        head.weight.copy_(torch.stack([-torch.ones(16), torch.ones(16)]))
    model = Classifier(nn.Sequential(convolution, nn.Flatten()), head).eval()
    image = torch.zeros(1, 1, 4, 4)
    image[..., 0, 0], image[..., 1, 1] = 1.0, -0.5
    data = Data(image.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    against, supporting = grad_cam(model, convolution, data, torch.tensor([0, 1]))
    assert (against[1, 1], against.sum()) == (255, 255)
    assert (supporting[0, 0], supporting.sum()) == (255, 255)
