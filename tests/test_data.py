"""Samples: which are refused, and how they are scaled, drawn and divided."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.data import Data, Scaling

# Every sample carries its own number, so that draws can be checked sample by sample.
label_lists = st.lists(st.integers(0, 3), min_size=1, max_size=60)
seeds = st.integers(0, 2**31)


def numbered(labels: list[int]) -> Data:
    count = len(labels)
    return Data(torch.arange(count, dtype=torch.float32).view(count, 1), torch.tensor(labels))


def numbers(data: Data) -> list[int]:
    return [int(value) for value in data.inputs.flatten()]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(data: Data) -> dict[int, int]:
    values = data.labels.tolist()
    return {label: values.count(label) for label in set(values)}


@pytest.mark.parametrize(
    ("inputs", "labels", "expected"),
    [
        (torch.tensor([[1.0], [torch.nan]]), torch.tensor([0, 1]), "finite inputs"),
        (torch.tensor([[torch.inf], [1.0]]), torch.tensor([0, 1]), "finite inputs"),
        (torch.tensor([[-torch.inf], [1.0]]).double(), torch.tensor([0, 1]), "finite inputs"),
        (torch.tensor([[1e39], [1.0]]).double(), torch.tensor([0, 1]), "finite inputs"),
        (torch.zeros(3, 1), torch.tensor([0, 1]), "as many labels as samples"),
        (torch.zeros(2, 1), torch.tensor([[0], [1]]), "as many labels as samples"),
        (torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64), "at least one sample"),
        (torch.zeros(2, 1), torch.tensor([0, -1]), "smallest -1"),
        (torch.zeros(2, 1), torch.tensor([0.0, 1.0]), "float32"),
        (torch.zeros(2, 1), torch.tensor([0, 1], dtype=torch.int32), "int32"),
        (torch.zeros(2, 1), torch.tensor([False, True]), "bool"),
    ],
    ids=[
        "nan",
        "inf",
        "minus inf, float64",
        "infinite in float32",
        "fewer labels",
        "labels of two dimensions",
        "empty",
        "negative label",
        "float labels",
        "int32 labels",
        "bool labels",
    ],
)
def test_refuses_unusable_samples(inputs: Tensor, labels: Tensor, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Data(inputs, labels)


def test_counts_bad_values() -> None:
    inputs = torch.tensor([[torch.nan, torch.inf, 1.0]])
    with pytest.raises(InputError, match="got 2 NaN or infinite"):
        Data(inputs, torch.tensor([0]))


@given(
    divisor=st.floats(1.0, 300.0),
    mean=st.floats(-2.0, 2.0),
    deviation=st.floats(0.05, 5.0),
    values=st.lists(st.integers(0, 255), min_size=1, max_size=20),
)
def test_scaling_equals_the_formula(
    divisor: float, mean: float, deviation: float, values: list[int]
) -> None:
    stored = torch.tensor(values, dtype=torch.uint8).view(-1, 1)
    data = Data(
        stored, torch.zeros(len(values), dtype=torch.int64), Scaling(divisor, mean, deviation)
    )
    scaled, _ = data.batch(slice(None))
    expected = (stored.double() / divisor - mean) / deviation
    assert scaled.dtype == torch.float32
    assert torch.allclose(scaled.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("scaling", [Scaling(), Scaling(2.0, 1.0, 4.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_scaling_does_not_change_stored_inputs(scaling: Scaling, dtype: torch.dtype) -> None:
    stored = torch.tensor([[1], [2], [3]]).to(dtype)
    before = stored.clone()
    data = Data(stored, torch.tensor([0, 1, 0]), scaling)
    batch, _ = data.batch(torch.tensor([0, 1, 2]))
    batch.add_(1)
    assert torch.equal(stored, before)
    assert batch.dtype == torch.float32
    for inputs, _ in (*data.in_order(2), *data.in_order(2)):
        assert inputs.dtype == torch.float32
    assert torch.equal(stored, before)


@given(labels=label_lists, size=st.integers(1, 70))
def test_in_order_yields_every_sample_once(labels: list[int], size: int) -> None:
    parts = list(numbered(labels).in_order(size))
    seen = torch.cat([inputs for inputs, _ in parts]).flatten().tolist()
    assert seen == list(range(len(labels)))
    assert torch.cat([part for _, part in parts]).tolist() == labels
    assert all(len(inputs) == size for inputs, _ in parts[:-1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_prescaled_samples_give_the_same_batches(dtype: torch.dtype) -> None:
    inputs = torch.arange(24).view(6, 4).to(dtype)
    data = Data(inputs, torch.arange(6) % 2, Scaling(255.0, 0.5, 0.25))
    scaled, index = data.scaled(), torch.tensor([4, 1])
    assert scaled.scaled().inputs.dtype == scaled.inputs.dtype
    assert all(map(torch.equal, scaled.batch(index), data.batch(index)))
    for some in (data, scaled):
        before = some.batch(torch.tensor([0, 1]))
        some.batch(slice(2))[0].add_(1)
        assert all(map(torch.equal, some.batch(slice(2)), before))


@given(count=st.integers(1, 40), size=st.integers(1, 12), epochs=st.integers(1, 3), seed=seeds)
def test_batches_never_repeat_a_sample_within_an_epoch(
    count: int, size: int, epochs: int, seed: int
) -> None:
    data = numbered([0] * count)
    capped = min(size, count)
    each = count // capped
    drawn = [
        inputs.flatten().tolist() for inputs, _ in data.batches(size, epochs * each, seeded(seed))
    ]
    assert [len(batch) for batch in drawn] == [capped] * (epochs * each)
    for epoch in range(epochs):
        seen = [value for batch in drawn[epoch * each : (epoch + 1) * each] for value in batch]
        assert len(set(seen)) == len(seen) == each * capped


def test_batches_cover_everything_when_the_size_divides_the_count() -> None:
    data = numbered([0] * 12)
    drawn = [
        set(map(int, inputs.flatten().tolist())) for inputs, _ in data.batches(4, 6, seeded(0))
    ]
    assert set().union(*drawn[:3]) == set().union(*drawn[3:]) == set(range(12))
    assert drawn[:3] != drawn[3:], "the second epoch has the order of the first"


def test_oversized_batch_is_all_data() -> None:
    batches = list(numbered([0, 1, 2]).batches(100, 4, seeded(0)))
    assert [sorted(inputs.flatten().tolist()) for inputs, _ in batches] == [[0.0, 1.0, 2.0]] * 4


def test_batches_keep_samples_and_labels_together() -> None:
    data = numbered([3, 1, 4, 1, 5, 9, 2, 6])
    for inputs, labels in data.batches(3, 5, seeded(1)):
        assert torch.equal(data.labels[inputs.flatten().long()], labels)


def test_seed_determines_batches() -> None:
    data = numbered([0] * 30)

    def drawn(seed: int) -> list[list[float]]:
        return [inputs.flatten().tolist() for inputs, _ in data.batches(7, 9, seeded(seed))]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@given(labels=label_lists, count=st.integers(1, 8), seed=seeds)
def test_per_class_splits_drawn_from_rest(labels: list[int], count: int, seed: int) -> None:
    data = numbered(labels)
    before = counts(data)
    if min(before.values()) <= count:
        with pytest.raises(InputError, match=f"more than {count} samples of every class"):
            data.per_class(count, seeded(seed))
        return
    drawn, rest = data.per_class(count, seeded(seed))
    assert sorted(numbers(drawn) + numbers(rest)) == list(range(len(labels)))
    assert counts(drawn) == dict.fromkeys(before, count)
    assert counts(rest) == {label: number - count for label, number in before.items()}
    for part in (drawn, rest):
        assert [labels[number] for number in numbers(part)] == part.labels.tolist()


@given(labels=label_lists, most=st.integers(1, 8), seed=seeds)
def test_hold_out_takes_a_share_but_leaves_one_sample_per_class(
    labels: list[int], most: int, seed: int
) -> None:
    data = numbered(labels)
    before = counts(data)
    if max(before.values()) == 1:
        with pytest.raises(InputError, match="at least one sample"):
            data.hold_out(0.2, most, seeded(seed))
        return
    drawn, rest = data.hold_out(0.2, most, seeded(seed))
    assert sorted(numbers(drawn) + numbers(rest)) == list(range(len(labels)))
    for label, number in before.items():
        expected = 0 if number == 1 else min(most, max(1, number // 5))
        assert counts(drawn).get(label, 0) == expected
        assert counts(rest)[label] == number - expected


@given(each=st.integers(2, 60), seed=seeds)
def test_equal_classes_give_equal_shares(each: int, seed: int) -> None:
    data = numbered([0, 1, 2] * each)
    drawn, _ = data.hold_out(0.2, 100, seeded(seed))
    as_before, _ = data.per_class(max(1, int(each * 0.2)), seeded(seed))
    assert numbers(drawn) == numbers(as_before)


@given(labels=label_lists, seed=seeds)
def test_halves_are_disjoint_stratified_and_exhaustive(labels: list[int], seed: int) -> None:
    data = numbered(labels)
    before = counts(data)
    if max(before.values()) < 2:
        with pytest.raises(InputError, match="at least one sample"):
            data.halves(seeded(seed))
        return
    first, second = data.halves(seeded(seed))
    assert sorted(numbers(first) + numbers(second)) == list(range(len(labels)))
    for label, number in before.items():
        assert counts(first).get(label, 0) == number // 2
        assert counts(second)[label] == number - number // 2
    for part in (first, second):
        assert [labels[number] for number in numbers(part)] == part.labels.tolist()


@pytest.mark.parametrize("draw", ["per_class", "halves"])
def test_draws_are_random_and_seeded(draw: str) -> None:
    data = numbered([0, 1] * 30)

    def drawn(seed: int) -> list[int]:
        if draw == "halves":
            return numbers(data.halves(seeded(seed))[0])
        return numbers(data.per_class(5, seeded(seed))[0])

    assert drawn(4) == drawn(4)
    assert set(drawn(4)) != set(drawn(5))


def test_next_tokens_are_drawn_in_the_same_total_as_classes() -> None:
    # Labels 0, 2 and 4 of a vocabulary; some tokens are rare, so classes are no strata.
    each, present = 20, [0, 2, 4]
    for labels in (present * each, [0] * (3 * each - 2) + [2, 4]):
        data = replace(numbered(labels), stratified=False)
        for held, expected in (
            (data.hold_out(0.2, 100, seeded(0)), 12),
            (data.hold_out(0.2, 3, seeded(0)), 9),
            (data.hold_out(0.01, 3, seeded(0)), 3),
            (data.per_class(5, seeded(0)), 15),
            (data.halves(seeded(0)), 30),
        ):
            assert [len(part) for part in held] == [expected, len(labels) - expected]
            assert sorted(numbers(held[0]) + numbers(held[1])) == list(range(len(labels)))
            assert numbers(held[0]) != sorted(numbers(held[0])), "they are not drawn at random"
            assert not any(part.stratified for part in held)
    scaled = data.scaled()
    assert not scaled.stratified
    assert numbers(scaled.draw(5, seeded(0))) == numbers(data.draw(5, seeded(0)))


def test_parts_keep_the_scaling() -> None:
    scaling = Scaling(255.0, 0.5, 0.25)
    data = Data(torch.zeros(8, 1, dtype=torch.uint8), torch.tensor([0, 1] * 4), scaling)
    parts = [*data.halves(seeded(0)), *data.per_class(1, seeded(0)), data.subset(3)]
    assert {part.scaling for part in parts} == {scaling}


@given(count=st.integers(1, 50), size=st.integers(1, 60))
def test_subset_is_deterministic_and_spread_evenly(count: int, size: int) -> None:
    data = numbered([0] * count)
    chosen = numbers(data.subset(size))
    assert chosen == numbers(data.subset(size))
    assert len(chosen) == len(set(chosen)) == min(size, count)
    assert chosen == sorted(chosen)
    if 2 <= size <= count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)


def test_shape_describes_one_sample() -> None:
    assert Data(torch.zeros(2, 3, 4, 5), torch.tensor([0, 1])).shape == (3, 4, 5)


def test_digest_changes_with_whatever_a_run_depends_on() -> None:
    inputs, labels = torch.arange(600).view(300, 2).byte(), torch.arange(300) % 3
    data = Data(inputs, labels)
    relabelled = labels.clone()
    relabelled[1] = 0  # no sample of the hundred that count
    others = [
        data,
        Data(inputs, relabelled),
        Data(inputs, labels, Scaling(255.0)),
        Data(inputs.view(300, 2, 1), labels),
        Data(inputs.flip(0), labels),
        Data(inputs.short(), labels),
    ]
    assert len({one.digest for one in others}) == len(others)
    assert Data(inputs.clone(), labels.clone()).digest == data.digest
