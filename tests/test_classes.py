"""Lists of classes: what users write are names, what reports and errors show are names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rootbound.cli.options import TaskOptions
from rootbound.cli.tasks import ClassList, resolve_tasks
from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.datasets import Dataset
from rootbound.datasets.classes import ClassNames, describe_names, parse_positions, write_names
from rootbound.publishing import Origin
from rootbound.records import Configuration

SETS = {
    "digits": tuple("0123456789"),
    "folders": ("1", "10", *map(str, range(2, 10))),  # as a folder sorts them
    "stars": tuple("12345"),
    "padded": tuple(f"{number:02}" for number in range(1, 11)),
    "points": ("1.0", "2.0", "3.0"),
    "signs": ("-1", "0", "1"),
    "gap": ("1", "2", "5"),
    "zoo": ("cat", "dog", "eel", "frog"),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
    "mixed": ("cat", "7", "dog"),
    "places": ("2", "0", "1"),
    "ranges": ("2-3", "2", "3", "t-shirt"),
    "commas": ("a", "b", "a, b", "hot dog, mustard"),
    "spaces": (" cat", "dog "),
    "twice": ("1", "01", "2"),
    "cased": ("Cat", "cat"),
    "letters": ("café", "犬", "A<b>"),
    "whole": ("all", "none"),
    "many": tuple(f"n{number:04}" for number in range(1000)),
    "numbers": tuple(map(str, range(1000))),
    "one": ("cat",),
}


@cache
def dataset(name: str, of_each: tuple[int, ...] = ()) -> Dataset:
    """Return samples of one number, two of each class unless said otherwise."""
    counts = torch.tensor(of_each or (2,) * len(SETS[name]))
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    samples = torch.arange(len(labels), dtype=torch.float32).unsqueeze(1)
    test = torch.arange(len(counts))
    data = Data(samples, labels), Data(test.float().unsqueeze(1), test)
    return Dataset(name, SETS[name], *data)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("digits", "0-4", "0 1 2 3 4"),
        ("digits", "1,3,5-7", "1 3 5 6 7"),
        ("digits", "9,0", "9 0"),
        ("digits", " 1 , 3 - 4", "1 3 4"),
        ("digits", "3-3", "3"),
        ("digits", "all", "0 1 2 3 4 5 6 7 8 9"),
        ("folders", "1-4", "1 2 3 4"),
        ("folders", "8-10", "8 9 10"),
        ("folders", "10", "10"),
        ("stars", "1-4", "1 2 3 4"),
        ("stars", "2-3,5", "2 3 5"),
        ("stars", "01,2", "1 2"),
        ("padded", "1-3", "01 02 03"),
        ("padded", "09-10", "09 10"),
        ("padded", "7,08", "07 08"),
        ("points", "1-2", "1.0 2.0"),
        ("points", "3,1.0", "3.0 1.0"),
        ("signs", "-1-0", "-1 0"),
        ("signs", "-1,1", "-1 1"),
        ("gap", "1-2,5", "1 2 5"),
        ("zoo", "frog,cat", "frog cat"),
        ("mixed", "7,dog", "7 dog"),
        ("mixed", "7-7", "7"),
        ("places", "0-1", "0 1"),
        ("ranges", "2-3", "2-3"),
        ("ranges", "t-shirt,2", "t-shirt 2"),
        ("cased", "cat", "cat"),
        ("twice", "01", "01"),
        ("twice", "1-2", "1 2"),
        ("letters", "犬,café", "犬 café"),
        ("letters", "A<b>", "A<b>"),
        ("whole", "all", "all none"),
        ("many", "n0999,n0001", "n0999 n0001"),
        ("numbers", "998-999", "998 999"),
    ],
)
def test_written_classes_are_names(name: str, text: str, wanted: str) -> None:
    data = dataset(name)
    assert data.names_of(data.chosen(text)) == tuple(wanted.split())


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("commas", "a,b", ["a, b"]),
        ("commas", "a, b", ["a, b"]),
        ("commas", "b,a", ["b", "a"]),
        ("commas", "hot dog,mustard, a", ["hot dog, mustard", "a"]),
        ("spaces", "dog,cat", ["dog ", " cat"]),
    ],
)
def test_names_may_hold_commas_and_spaces(name: str, text: str, wanted: list[str]) -> None:
    data = dataset(name)
    assert list(data.names_of(data.chosen(text))) == wanted


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("digits", "", "classes of digits out of 0-9; got ''; correct"),
        ("digits", "8-12", "out of 0-9; got '10'"),
        ("digits", "4-0", "from low to high; got '4-0'"),
        ("digits", "1.5", "got '1.5'"),
        ("digits", "²", "got '²'"),
        ("digits", f"0-{9 * 10**17}", "got '10'"),
        ("digits", "9" * 5000, "got '9999"),
        ("stars", "0-4", "classes of stars out of 1-5; got '0'"),
        ("gap", "1-5", "out of 1,2,5; got '3'"),
        ("zoo", "0-1", "cat, dog, eel, frog; got '0-1'; write the names of classes, not their po"),
        (
            "zoo",
            "3",
            "cat, dog, eel, frog; got '3'; write the names of classes, not their positions",
        ),
        ("zoo", "frgo", "got 'frgo'; did you mean 'frog'"),
        ("zoo", "bird", "got 'bird'; correct the class list"),
        ("zoo", "cat;dog", "got 'cat;dog'"),
        ("mixed", "0", "cat, 7, dog; got '0'; correct"),
        ("twice", "001", "one class of twice that is called 001; got '1', '01'; write"),
        ("many", "0-499", r"n0000, n0001, .*n0009, … \(1,000 classes\); got '0-499'"),
        ("numbers", "0-1000", "out of 0-999; got '1000'"),
    ],
)
def test_refuses_unknown_classes_and_lists_the_known(name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        dataset(name).chosen(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("desirable", "undesirable", "message"),
    [
        ("cat,frog", "frog,dog", "got frog in both; remove the overlap"),
        (["cat", 3], ["frog", 1], "got frog in both"),
        ("cat,cat,dog", "eel,frog", "got cat more than once"),
        ([0, "cat"], "eel,frog", "got cat more than once"),
        ("cat", "eel,frog", "two desirable classes; got 1; widen `desirable`: zoo has cat, dog, e"),
        ("cat,dog", [], "two undesirable classes; got 0; widen `undesirable`: zoo has cat"),
        ([0, 4], [1, 2], "labels of the classes of zoo, from 0 to 3; got 4"),
        (["0", "1"], [2, 3], "cat, dog, eel, frog; got '0'"),
    ],
)
def test_unusable_split_is_reported_by_name(
    desirable: str | list[int | str], undesirable: str | list[int | str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        dataset("zoo").split(desirable, undesirable)
    assert "0-4" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "chosen", "called"),
    [
        ("folders", "1-4", "folders 1-4"),
        ("folders", "2,10", "folders 2,10"),
        ("folders", [0, 1], "folders 1,10"),
        ("zoo", "frog,cat", "zoo frog, cat"),
        ("zoo", [0, "frog"], "zoo cat, frog"),
        ("padded", "1-2", "padded 01,02"),
        ("numbers", "all", "numbers 0-999"),
        ("numbers", range(0, 1000, 50), f"numbers {','.join(map(str, range(0, 1000, 50)))}"),
        ("numbers", range(0, 90, 3), "numbers 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, … (30 classes)"),
        ("many", range(30), f"many {', '.join(SETS['many'][:10])}, … (30 classes)"),
    ],
)
def test_task_is_named_after_its_classes(
    name: str, chosen: str | list[int | str], called: str
) -> None:
    task = dataset(name).task(chosen)
    assert task.name == called
    assert task.classes == dataset(name).names_of(dataset(name).labels_of(chosen))


def test_warns_where_a_number_is_the_name_of_another_class(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Labels from 1: a whole number means a position all the same, and an error says so, too."""
    stars = dataset("stars")
    assert stars.labels_of([1, 2]) == (1, 2)
    assert "1,2 stands for the classes called 2,3; write names as texts: '1'" in caplog.text
    with pytest.raises(InputError, match="from 0 to 4; got 5; write '5' for the class called 5"):
        stars.labels_of([4, 5])
    caplog.clear()
    for labels in (stars.chosen("1,2"), stars.labels_of(["1", "2"])):
        assert stars.labels_of(labels) == (0, 1)
    assert dataset("digits").labels_of([3]) == (3,) and dataset("zoo").labels_of([1]) == (1,)
    assert caplog.text == ""


def resolve(
    data: Dataset, origin: Origin | None = None, desirable: str | None = None
) -> list[tuple[str, ...]]:
    """Return the names that the options choose, and check that what is kept chooses them again."""
    source = resolve_tasks(TaskOptions(desirable=desirable), origin)
    names = []
    for listed in (source.desirable, source.undesirable):
        names.append(data.names_of(listed.find(data)))
        kept = listed.named(data)
        assert kept.by_name
        assert data.names_of(data.chosen(kept.text)) == names[-1]
    return names


@pytest.mark.parametrize("name", ["digits", "folders", "padded", "cifar10"])
def test_first_half_of_ten_classes_is_desirable_by_default(name: str) -> None:
    assert resolve(dataset(name)) == [SETS[name][:5], SETS[name][5:]]


@pytest.mark.parametrize(
    ("name", "offer"),
    [
        ("zoo", "name some of cat, dog, eel, frog"),
        ("stars", "name some of 1-5"),
        ("numbers", "name some of 0-999"),
        ("many", r"name some of n0000, .*\(1,000 classes\)"),
        ("one", "bring more classes: there is cat alone"),
    ],
)
@pytest.mark.parametrize("role", ["desirable", "undesirable"])
def test_other_numbers_of_classes_have_no_default(name: str, offer: str, role: str) -> None:
    with pytest.raises(InputError, match=f"in --{role}; got none; {offer}") as caught:
        ClassList(role, "").find(dataset(name))
    assert "0-4" not in str(caught.value)


def written_by(by_name: bool, desirable: str, undesirable: str) -> Origin:
    return Origin(
        method=Configuration("Plain", {}), arm="undefended", data="zoo", undesirable_data="zoo",
        desirable=desirable, undesirable=undesirable, seed=0, shared=False,
        classes_by_name=by_name,
    )  # fmt: skip


def test_lists_in_older_files_are_positions() -> None:
    older, newer = (written_by(by_name, "1-2", "3-4") for by_name in (False, True))
    assert resolve(dataset("folders"), older) == [("10", "2"), ("3", "4")]
    assert resolve(dataset("folders"), newer) == [("1", "2"), ("3", "4")]
    # What a user writes are names, whatever the file has.
    assert resolve(dataset("folders"), older, desirable="1-2")[0] == ("1", "2")
    assert parse_positions("0-1,7", ("cat", "7", "dog")) == (0, 1, 1)
    assert parse_positions("all", ("cat", "dog")) == (0, 1)


def test_file_without_the_field_is_older() -> None:
    values = written_by(True, "1-2", "3-4").to_json()
    assert Origin.from_json(values).classes_by_name
    del values["classes_by_name"]
    assert not Origin.from_json(values).classes_by_name


@given(st.lists(st.integers(0, 40), min_size=1, unique=True))
def test_numeric_names_survive_a_round_trip(numbers: list[int]) -> None:
    names = tuple(map(str, range(41)))
    chosen = [names[number] for number in numbers]
    assert ClassNames("numbers", names).find(write_names(chosen)) == tuple(numbers)


@given(st.text(alphabet="0123456789-, .ax²٣", max_size=12))
def test_any_text_gives_known_classes_or_an_input_error(text: str) -> None:
    for names in (SETS["digits"], SETS["mixed"], SETS["signs"]):
        try:
            labels = ClassNames("x", names).find(text)
        except InputError:
            continue
        assert labels, "text without a class was accepted"
        assert set(labels) <= set(range(len(names)))


def test_thousand_classes_are_parsed_quickly() -> None:
    data = dataset("numbers")
    pair = data.split("0-499", "500-999")
    assert (len(pair.desirable.classes), pair.undesirable.name) == (500, "numbers 500-999")
    assert describe_names(SETS["many"][:2]) == "n0000, n0001"


def test_names_with_wildcards_are_plain_text(tmp_path: Path) -> None:
    names = ("c++", "[a-b]", "x|y")
    assert ClassNames(tmp_path.name, names).find(r"[a-b],c++") == (1, 0)
    with pytest.raises(InputError, match=re.escape("c++, [a-b], x|y")):
        ClassNames("zoo", names).find("c+")


def test_names_with_blanks_or_newlines_are_found() -> None:
    names = ClassNames("odd", (" lead", "two\nlines", "a , b"))
    assert [names.find_one(name) for name in names.names] == [0, 1, 2]
    assert names.find("lead,a,b") == (0, 2)
    with pytest.raises(InputError, match="out of") as caught:
        names.find("nothing")
    assert len(str(caught.value).splitlines()) == 1
