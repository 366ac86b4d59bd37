"""Cached files hold what was computed, or they do not count; tokens are computed once."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from rootbound.data.mapped import MappedRows
from rootbound.datasets import HashedWords, Letters, cache
from rootbound.datasets.cache import CHECK, VALUES, make_once
from rootbound.datasets.texts import Labelled, Texts

VALUES_MADE = torch.arange(12, dtype=torch.int32).view(3, 4)
TEXTS = ("grows in its own pot", "and badly elsewhere", "", "\ud800 漢字")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "käche dir"))
    return tmp_path / "käche dir"


@dataclass
class Counted:
    """Says how often it was asked."""

    values: Tensor = field(default_factory=lambda: VALUES_MADE)
    asked: int = 0

    def __call__(self) -> Tensor:
        self.asked += 1
        return self.values


@pytest.mark.parametrize(
    "values",
    [VALUES_MADE, VALUES_MADE.t(), torch.empty(0, 1).int(), torch.tensor([0.5, float("nan")])],
    ids=["whole", "not contiguous", "empty", "not finite"],
)
def test_makes_a_file_once(values: Tensor, folder: Path) -> None:
    make = Counted(values)
    first, second = (make_once("source", make) for _ in range(2))
    assert make.asked == 1
    for found in (first, second):
        assert found.dtype == values.dtype
        assert torch.equal(found.nan_to_num(7.0), values.nan_to_num(7.0))
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"]


def test_remakes_a_file_for_another_source() -> None:
    make = Counted()
    make_once("one", make)
    make_once("another", make)
    assert make.asked == 2


class Bomb:
    """Leaves a file where it is opened carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[:-3],
    "one bit": flipped,
    "text": lambda _: b"no tensors",
    "a head of 10 GB": lambda content: (10 * 2**30).to_bytes(8, "little") + content[8:],
    "without its digest": lambda _: save({VALUES: VALUES_MADE}),
    "of others": lambda _: save({VALUES: VALUES_MADE + 1, CHECK: torch.zeros(32).byte()}),
    "a digest of another kind": lambda _: save({VALUES: VALUES_MADE, CHECK: torch.zeros(3)}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_ignores_a_damaged_file(name: str, folder: Path) -> None:
    make_once("source", Counted())
    (path,) = folder.iterdir()
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    make = Counted()
    assert torch.equal(make_once("source", make), VALUES_MADE)
    assert make.asked == 1
    assert torch.equal(make_once("source", make), VALUES_MADE)
    assert make.asked == 1, "it is not mended"


def test_never_executes_a_file(folder: Path, tmp_path: Path) -> None:
    make_once("source", Counted())
    (path,) = folder.iterdir()
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    assert torch.equal(make_once("source", Counted()), VALUES_MADE)
    assert not (tmp_path / "mark").exists()


def test_makes_it_each_time_without_a_folder(folder: Path) -> None:
    folder.write_text("a file is in its place")
    make = Counted()
    for asked in (1, 2):
        assert torch.equal(make_once("source", make), VALUES_MADE)
        assert make.asked == asked


def test_makes_it_each_time_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    for name in (cache.FOLDER, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert torch.equal(make_once("source", Counted()), VALUES_MADE)


@dataclass
class Watched:
    """A tokeniser that says how often it was asked."""

    identity: str
    asked: int = 0

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        self.asked += 1
        return HashedWords()(texts, length)

    def vocabulary(self, texts: Iterable[str]) -> tuple[str, ...]:
        return HashedWords().vocabulary(texts)


def texts(*more: str) -> Texts:
    part = Labelled((*TEXTS, *more), torch.arange(len(TEXTS) + len(more)) % 2)
    return Texts("toy texts", ("a", "b"), part, Labelled(TEXTS[:2], torch.tensor([0, 1])))


@pytest.mark.parametrize(
    ("identity", "more", "length", "asked"),
    [
        ("one", (), 8, 0),
        ("one", (), 7, 2),
        ("two", (), 8, 2),
        # The test texts are the same.
        ("one", ("pot",), 8, 1),
        ("", (), 8, 2),
    ],
)
def test_tokenises_once(identity: str, more: tuple[str, ...], length: int, asked: int) -> None:
    before = texts().tokenised(Watched("one"), 8)
    again = Watched(identity)
    found = texts(*more).tokenised(again, length)
    assert again.asked == asked
    assert torch.equal(found.train.inputs[:4, :3], before.train.inputs[:, :3])


@pytest.mark.parametrize(
    ("identity", "length", "asked"),
    [
        ("one", 8, 0),
        # Each part for the width, and for its tokens.
        ("one", 3, 4),
        ("two", 8, 4),
        # First of all what it makes: there is nothing else to tell it from others.
        ("", 8, 6),
    ],
)
def test_tokenises_a_file_once(identity: str, length: int, asked: int) -> None:
    before = texts().tokenised(Watched("one"), 8, in_memory=0)
    again = Watched(identity)
    found = texts().tokenised(again, length, in_memory=0)
    assert again.asked == asked
    assert isinstance(found.train.inputs, MappedRows)
    assert torch.equal(found.train.inputs[:4][:, :3], before.train.inputs[:][:, :3])


@dataclass
class Shifted(Watched):
    """As `Watched`, with numbers of its own."""

    by: int = 0

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        found = super().__call__(texts, length)
        return torch.where(found == 0, 0, found + self.by)


def test_unidentified_tokeniser_is_recognised_by_its_tokens() -> None:
    """Its file is found by the tokens that are in it."""
    one, other, again = Shifted(""), Shifted("", by=1), Shifted("")
    first, second, third = (
        texts().tokenised(each, 8, in_memory=0).train.inputs for each in (one, other, again)
    )
    assert (
        isinstance(first, MappedRows)
        and isinstance(second, MappedRows)
        and isinstance(third, MappedRows)
    )
    assert torch.equal(torch.where(first[:] == 0, 0, first[:] + 1), second[:])
    assert first.path == third.path != second.path
    assert (one.asked, other.asked, again.asked) == (6, 6, 2)


@pytest.mark.parametrize("in_memory", [4.0, 0.0])
def test_texts_with_the_same_letters_are_told_apart(in_memory: float) -> None:
    letters, labels = Letters("abc "), torch.tensor([0, 1])
    for pair in (("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")):
        part = Labelled(pair, labels)
        for _ in range(2):  # made, and found again
            data = Texts("texts", ("x", "y"), part, part).tokenised(letters, 8, in_memory)
            rows = [[token for token in row if token] for row in data.train.inputs[:].tolist()]
            assert ["".join("abc "[token - 2] for token in row) for row in rows] == list(pair)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HashedWords(), HashedWords(99)),
        (Letters("ab"), Letters("ba")),
        (HashedWords(), Letters("")),
    ],
    ids=repr,
)
def test_different_tokenisers_are_told_apart(one: Any, other: Any) -> None:
    assert one.identity != other.identity


def test_shows_the_right_words() -> None:
    """With so few numbers every word shares its own."""
    few, shown = HashedWords(4), "pot"
    many = Labelled(tuple(f"word {row}" for row in range(50)), torch.arange(50) % 2)
    test = Labelled((shown, "elsewhere", *many.texts), torch.arange(52) % 2)
    found = Texts("toy texts", ("a", "b"), many, test).tokenised(few)
    assert found.vocabulary[int(found.test.inputs[0, 0])] == shown


def test_pretrained_tokeniser_is_identified_by_its_rules(tmp_path: Path) -> None:
    transformers: Any = pytest.importorskip("transformers")
    from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser  # noqa: PLC0415

    def tokeniser(*words: str, **settings: str) -> Any:
        folder = tmp_path / "-".join(words)
        folder.mkdir()
        special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        (folder / "vocab.txt").write_text("\n".join([*special, *words]))
        made = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"), **settings)
        made.save_pretrained(folder)
        return pretrained_tokeniser(str(folder))

    one, other = tokeniser("grows", "well"), tokeniser("well", "grows")
    before = one.identity
    one(["grows well", "grows"], 3)
    assert before == one.identity
    assert before and before != other.identity
    # Where texts are filled up is said here, not by the tokeniser: at the end.
    left = tokeniser("well", "grows", "on", padding_side="left")
    assert left.inner.padding_side == "left"
    assert (left(["grows well", "on"], 8) != 0).tolist() == [[True] * 4, [True] * 3 + [False]]
