"""Suites: frozen, named lists of attacks and budgets."""

from rootbound.core.errors import InputError, unknown_name_error
from rootbound.suites.quick import DEMO_1, DEMO_2, QUICK_1, QUICK_2, QUICK_3
from rootbound.suites.standard import STANDARD_1, STANDARD_2
from rootbound.suites.suite import Suite

SUITES = {
    suite.name: suite
    for suite in (DEMO_1, DEMO_2, QUICK_1, QUICK_2, QUICK_3, STANDARD_1, STANDARD_2)
}


def find_suite(suite: Suite | str) -> Suite:
    """Return the suite of that name, or the given suite itself.

    Raises:
        InputError: There is no suite of that name, or the object is not a suite.
    """
    if isinstance(suite, Suite):
        return suite
    if not isinstance(suite, str):
        raise InputError("a suite or the name of one", str(suite), "write for example 'quick-2'")
    if suite not in SUITES:
        raise unknown_name_error("suite", suite, SUITES)
    return SUITES[suite]


__all__ = [
    "DEMO_1",
    "DEMO_2",
    "QUICK_1",
    "QUICK_2",
    "QUICK_3",
    "STANDARD_1",
    "STANDARD_2",
    "SUITES",
    "Suite",
    "find_suite",
]
