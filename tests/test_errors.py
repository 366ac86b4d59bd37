"""Errors for users: one line, whatever the names in them, with the nearest name that exists."""

from __future__ import annotations

import pickle

import pytest

from rootbound.core.errors import InputError, explain_errors, take_first_line, unknown_name_error


def test_error_is_one_line() -> None:
    error = InputError("a class", "Two\nlines", "name\r\nanother")
    assert str(error) == "expected a class; got Two lines; name another"


def test_error_survives_pickling() -> None:
    error = InputError("a number", "none", "give one")
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is InputError and str(sent) == str(error)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("one\ntwo"), "expected it; got one; mend it"),
        (KeyError("size"), "expected it; got KeyError: 'size'; mend it"),
        (RuntimeError(), "expected it; got RuntimeError; mend it"),
        (InputError("this", "that", "say so"), "expected this; got that; say so"),
    ],
)
def test_errors_of_user_code_become_one_line(raised: Exception, told: str) -> None:
    with pytest.raises(InputError) as caught, explain_errors("it", "mend it"):
        raise raised
    assert str(caught.value) == told


def test_interrupt_stays_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), explain_errors("it", "mend it"):
        raise KeyboardInterrupt


def test_first_lines_are_short() -> None:
    assert take_first_line(ValueError("x" * 500), 10) == "x" * 10


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fastt", "got '--fastt'; did you mean '--Fast'?"),
        ("FAST", "got '--FAST'; did you mean '--Fast'?"),
        ("qqq", "got '--qqq'; pick one of them"),
        (3, "got 3; pick one of them"),
    ],
)
def test_suggests_the_nearest_name(name: object, told: str) -> None:
    error = unknown_name_error("speed", name, ["slow", "Fast"], prefix="--")
    assert str(error) == f"expected a speed out of Fast, slow; {told}"
