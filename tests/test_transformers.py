"""Networks of `transformers`: ours compute what the library's do, and go back to it unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tiny
from rootbound.core.errors import InputError
from rootbound.networks import Classifier, build, from_transformers, to_transformers
from rootbound.networks.block_outputs import find_last, trim_padding
from rootbound.publishing import Origin, load_model, save_model
from rootbound.records import Configuration
from tiny import transformers

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)
families = pytest.mark.parametrize("family", list(tiny.ROWS))
texts = pytest.mark.parametrize("family", tiny.TEXTS)


def ours(family: str, **changes: Any) -> Classifier:
    return from_transformers(tiny.network(family, **changes)).eval()


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@families
def test_logits_equal_those_of_the_library(family: str) -> None:
    network, samples = tiny.network(family), tiny.samples(family)
    expected = tiny.logits(network, samples)
    assert float(expected.std()) > 1e-2, "a comparison of nothing"
    torch.testing.assert_close(
        from_transformers(network).eval()(samples), expected, rtol=0, atol=1e-5
    )


@families
def test_splitting_anywhere_changes_nothing(family: str) -> None:
    model, samples = ours(family), tiny.samples(family)
    for trained in range(len(model.blocks) + 1):
        prefix, rest = model.split(trained)
        assert torch.equal(rest(prefix(samples)), model(samples)), f"{trained} trained blocks"


@texts
def test_padding_changes_nothing(family: str) -> None:
    model, samples = ours(family), tiny.samples(family)
    together = model(samples)
    wider = model(nn.functional.pad(samples, (0, 4)))
    torch.testing.assert_close(wider, together, rtol=0, atol=1e-6)
    for row, length in enumerate((10, 6, 1, 3)):
        alone = model(samples[row : row + 1, :length])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


def test_padding_is_cut_to_the_longest_text() -> None:
    tokens = torch.tensor([[5, 0, 7, 0, 0], [0, 0, 0, 0, 0], [0, 6, 0, 0, 0]], dtype=torch.int32)
    kept, mask = trim_padding(tokens)
    assert kept.dtype == torch.int64 and torch.equal(kept, tokens[:, :3].long())
    assert mask.int().tolist() == [[1, 0, 1], [1, 0, 0], [1, 1, 0]]
    assert find_last(mask).tolist() == [2, 0, 1]
    assert [one.shape for one in trim_padding(tokens[1:2])] == [(1, 1), (1, 1)]


@texts
def test_empty_text_has_finite_logits(family: str) -> None:
    nothing = torch.zeros(2, 10, dtype=torch.int64)
    assert bool(torch.isfinite(ours(family)(nothing)).all())


@texts
def test_refuses_texts_that_the_network_cannot_take(family: str) -> None:
    model = ours(family)
    with pytest.raises(InputError, match="a smaller `length`"):
        model.check_inputs((17,))
    with pytest.raises(InputError, match="own tokeniser"):
        model(torch.tensor([[3, 40]]))


@families
def test_round_trip_is_bit_identical(family: str, tmp_path: Path) -> None:
    model, samples = ours(family), tiny.samples(family)
    save_model(model, tmp_path / "m.safetensors", tiny.shape(family), ORIGIN)
    loaded, origin = load_model(tmp_path / "m.safetensors")
    assert origin == ORIGIN
    assert same(weights(loaded), weights(model))
    assert torch.equal(loaded.eval()(samples), model(samples))
    assert loaded.architecture == model.architecture


@families
def test_the_same_model_gives_the_same_file(family: str, tmp_path: Path) -> None:
    model, paths = ours(family), (tmp_path / "a", tmp_path / "b")
    save_model(model, paths[0], tiny.shape(family), ORIGIN)
    save_model(load_model(paths[0])[0], paths[1], tiny.shape(family), ORIGIN)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@families
def test_exports_back_to_the_library(family: str, tmp_path: Path) -> None:
    model, samples = ours(family), tiny.samples(family)
    network = to_transformers(model)
    assert torch.equal(from_transformers(network)(samples), model(samples))
    torch.testing.assert_close(tiny.logits(network, samples), model(samples), rtol=0, atol=1e-5)
    network.save_pretrained(tmp_path)
    plain = getattr(transformers, tiny.AUTO[family]).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(tiny.logits(plain, samples), model(samples), rtol=0, atol=1e-5)


@families
def test_reads_a_folder_of_the_library(family: str, tmp_path: Path) -> None:
    network, samples = tiny.network(family), tiny.samples(family)
    network.save_pretrained(tmp_path)
    model = build(f"hf:{tmp_path}", from_transformers(network).classes, tiny.shape(family))
    torch.testing.assert_close(
        model.eval()(samples), tiny.logits(network, samples), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("family", [name for name in tiny.ROWS if name != "gpt2"])
def test_draws_a_head_for_other_classes_and_reads_the_rest(family: str, tmp_path: Path) -> None:
    network = tiny.network(family)
    network.save_pretrained(tmp_path)
    drawn = [build(f"hf:{tmp_path}", 5, tiny.shape(family), seed=seed) for seed in (1, 1, 2)]
    assert [model.classes for model in drawn] == [5, 5, 5]
    assert same(weights(drawn[0].backbone), weights(from_transformers(network).backbone))
    assert same(weights(drawn[0]), weights(drawn[1]))
    assert not torch.equal(drawn[0].head.weight, drawn[2].head.weight)


@families
def test_reinitialised_is_new_and_seeded(family: str) -> None:
    model, state = ours(family), torch.get_rng_state()
    before = weights(model)
    drawn = model.reinitialised(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(weights(model), before), "the argument was changed"
    assert same(weights(drawn), weights(ours(family, seed=7).reinitialised(1))), "old traces"
    assert not same(weights(drawn), weights(model.reinitialised(2)))
    assert bool(torch.isfinite(drawn.eval()(tiny.samples(family))).all())


@families
def test_reinitialised_leaves_the_first_blocks(family: str) -> None:
    model = ours(family)
    for last in range(len(model.blocks) + 1):
        drawn = model.reinitialised(1, last)
        for position, (old, new) in enumerate(zip(model.blocks, drawn.blocks, strict=True)):
            kept = position < len(model.blocks) - last
            assert same(weights(old), weights(new)) == kept, f"block {position}, last {last}"
        assert not torch.equal(model.head.weight, drawn.head.weight)


@families
def test_new_weights_are_distributed_as_in_the_library(family: str) -> None:
    """A scratch arm of another initialisation would be a handicap, or a gift."""
    settings = {**tiny.ROWS[family], "num_labels": tiny.CLASSES}
    config = transformers.AutoConfig.for_model(family, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = getattr(transformers, tiny.AUTO[family]).from_config(config)
    expected, found = from_transformers(fresh).backbone, ours(family).reinitialised(0).backbone
    compared = 0
    for name, one in expected.state_dict().items():
        value, drawn = one.float(), found.state_dict()[name].float()
        spread = float(value.std(correction=0))
        if spread < 1e-9:  # norms, biases, counts
            assert torch.equal(drawn, value), name
        elif value.numel() > 200 and "position_ids" not in name:
            compared += 1
            assert 0.75 < float(drawn.std()) / spread < 1.33, name
    assert compared > 4


def test_tied_weights_stay_tied_until_a_new_head() -> None:
    model = ours("gpt2")
    for one in (model, model.reinitialised(1)):
        assert one.head.weight is next(one.backbone.parameters())
    partly = model.reinitialised(1, 1)
    assert torch.equal(next(partly.backbone.parameters()), next(model.backbone.parameters()))
    assert not torch.equal(partly.head.weight, model.head.weight)
    other = model.with_head(5, seed=0)
    assert other.classes == 5
    assert other(tiny.samples("gpt2")).shape == (4, 5)


def test_reading_restores_tied_weights(tmp_path: Path) -> None:
    save_model(ours("gpt2"), tmp_path / "m", (10,), ORIGIN)
    loaded, _ = load_model(tmp_path / "m")
    assert loaded.head.weight is next(loaded.backbone.parameters())


def with_another_head(model: Classifier) -> Classifier:
    return model.with_head(5, seed=0)


def with_a_head_of_its_own(model: Classifier) -> Classifier:
    return model.reinitialised(1, 1)


@pytest.mark.parametrize("change", [with_another_head, with_a_head_of_its_own])
def test_refuses_to_export_a_head_that_the_library_would_tie(
    change: Callable[[Classifier], Classifier], tmp_path: Path
) -> None:
    model = change(ours("gpt2"))
    with pytest.raises(InputError, match="head"):
        to_transformers(model)
    with pytest.raises(InputError, match="as its architecture"):
        save_model(model, tmp_path / "m", (10,), ORIGIN)
    assert not list(tmp_path.iterdir())


def test_refuses_to_export_a_built_in_model() -> None:
    with pytest.raises(InputError, match="a model of `transformers`"):
        to_transformers(build("small_text", 3, (10,)))
