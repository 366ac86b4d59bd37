"""Errors that a user can correct: they say what was expected, what came, and what to do."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class InputError(ValueError):
    """An input that cannot be used; the message is one line and says what to do.

    The command line prints it and ends with exit code 2.
    """

    def __init__(self, expected: str, got: str, fix: str) -> None:
        # Foreign names, such as those of classes, may have several lines.
        super().__init__(" ".join(f"expected {expected}; got {got}; {fix}".splitlines()))
        self._parts = expected, got, fix

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Pickle the error for other processes."""
        return type(self), self._parts


@contextlib.contextmanager
def explain_errors(expected: str, fix: str) -> Iterator[None]:
    """Turn whatever the code of others raises into an `InputError` with its first line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # The message of a KeyError is only a name.
        kind = "KeyError: " if isinstance(error, KeyError) else ""
        raise InputError(expected, kind + take_first_line(error), fix) from None


def unknown_name_error(
    kind: str,
    name: object,
    known: Iterable[str],
    prefix: str = "",
    otherwise: str = "pick one of them",
) -> InputError:
    """Return the error for a name that does not exist, suggesting the nearest known one.

    Args:
        kind: The kind of thing that it should name.
        name: The name.
        known: The known names.
        prefix: The prefix that people write before each name.
        otherwise: What to do if none is near.
    """
    names = sorted(known)
    folded = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.4)
    hint = f"did you mean {prefix + folded[near[0]]!r}?" if near else otherwise
    got = prefix + name if isinstance(name, str) else name
    return InputError(f"a {kind} out of {', '.join(names)}", repr(got), hint)


def take_first_line(error: BaseException, length: int = 160) -> str:
    """Return the first line of an error's message, or its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0][:length]
