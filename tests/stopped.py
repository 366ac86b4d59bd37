"""Trainings that stop at once, as if they were killed."""

from __future__ import annotations

import pytest

from rootbound.training.state import Phase


class Stopped(BaseException):
    """Stands for a kill."""


def stop_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let phases see so many batches in all, then stop at once."""
    seen, left = Phase.seen, batches

    def counted(self: Phase) -> None:
        nonlocal left
        seen(self)
        left -= 1
        if left == 0:
            raise Stopped

    monkeypatch.setattr(Phase, "seen", counted)
