"""Figures are drawn without a trace: a program goes on drawing its own as before."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from rootbound import report
from rootbound.records import Evaluation

GOLDEN = Path(__file__).parent / "golden"


def test_keeps_the_users_backend_and_figures() -> None:
    before = mpl.get_backend()
    try:
        plt.switch_backend("agg")
        own = plt.figure()
        drawn = report.make_plot(Evaluation.load(GOLDEN), "curves-labels")
        assert mpl.get_backend() == "agg"
        assert plt.get_fignums() == [own.number] and drawn.axes
    finally:
        plt.close("all")
        plt.switch_backend(before)


def test_works_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "module://no_such_screen")
    assert report.make_plot(Evaluation.load(GOLDEN), "curves-labels").axes
