"""The verdict on the models of a run, for users of Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import escape

from rootbound import report
from rootbound.core.errors import InputError, unknown_name_error
from rootbound.core.files import as_path
from rootbound.flags import Raised, flags
from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.records.frame import import_pandas
from rootbound.report.gate import Judgement, in_a_sentence, judge

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ALL = "all"
Labels = int | Literal["all"]
"""Labels per class, or all."""
NUMBERS = ("advantage", "attacked", "scratch", "against_undefended")
"""Columns of the table; each has a mean with its interval."""


@dataclass(frozen=True, repr=False)
class Verdict:
    """The verdict of a run on the attacked models; it prints as one sentence.

    Args:
        evaluation: Everything that was measured.
        folder: The folder of the run, if it has one, with pictures of the models.
    """

    evaluation: Evaluation
    folder: Path | None = None

    def __repr__(self) -> str:
        """Return the verdict as a sentence; if there are several models, on the best of them."""
        sentence: str = self.values["sentence"]
        return sentence

    def _repr_html_(self) -> str:
        """Return the HTML for a notebook: the sentence, its basis, and a figure."""
        shown = report.notebook(self.evaluation)
        return f"<p><strong>{escape(repr(self))}</strong></p>\n{shown}"

    @cached_property
    def values(self) -> dict[str, Any]:
        """The whole verdict as plain values, as in `verdict.json`."""
        return report.verdict(self.evaluation)

    @property
    def models(self) -> list[str]:
        """Names of the models that are claimed to resist."""
        return [model["model"] for model in self.values["models"]]

    @property
    def doubts(self) -> list[str]:
        """Reasons why the numbers say less than they seem to, one sentence each."""
        return list(
            dict.fromkeys(one for model in self.values["models"] for one in model["doubts"])
        )

    def passes(self, limit: float = 1.0, model: str | None = None) -> bool:
        """Return whether the data shows that the marginal advantage is within a limit.

        False does not mean the opposite: `gate` distinguishes "undecided" from "does not hold", and
        says what would decide it.

        Args:
            limit: Largest allowed marginal advantage, in points, with any number of labels.
            model: Name of the model, if there are several.

        Raises:
            InputError: The limit is not finite, or there is no such model.
        """
        return self._judge(limit, model).end == "holds"

    def gate(self, limit: float = 1.0, model: str | None = None) -> str:
        """Return a sentence that says whether a limit holds, does not hold, or is undecided.

        Args:
            limit: Largest allowed marginal advantage, in points, with any number of labels.
            model: Name of the model, if there are several.

        Raises:
            InputError: The limit is not finite, or there is no such model.
        """
        return in_a_sentence(self._judge(limit, model), self.evaluation)

    def advantage(self, labels: Labels | None = None, model: str | None = None) -> Estimate:
        """Return the marginal advantage of the weights, in points, with its 95 % interval.

        It is the accuracy reached from these weights minus that from random weights, or from the
        public model if there is one and it is stronger.

        Args:
            labels: Labels per class, or `"all"`; if left out, those with the largest advantage.
            model: Name of the model, if there are several; or of another attacked one.

        Raises:
            InputError: There is no such model, no attack with so many labels, or none finished.
        """
        name = self._find_model(model)
        budgets = metrics.budgets(self.evaluation)
        asked = budgets if labels is None else [self._find_labels(labels, budgets)]
        found = [
            gain
            for one in asked
            if (gain := metrics.marginal_advantage(self.evaluation, name, one)) is not None
        ]
        if not found:
            raise InputError(
                f"attacks on {name} and on random weights that finished",
                "none",
                "look at why they failed: verdict.evaluation.to_frame()",
            )
        return max(found, key=lambda gain: gain.mean)

    def price(self, model: str | None = None) -> Estimate | None:
        """Return the desirable accuracy that the defence costs, in points.

        Args:
            model: Name of the model, if there are several.

        Returns:
            None if there was no undefended model to compare with.

        Raises:
            InputError: There is no such model.
        """
        name, plain = self._find_model(model), metrics.undefended(self.evaluation)
        if plain is None:
            return None
        change = metrics.desirable_change(self.evaluation, name)
        return None if change is None else -change

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with a row for each model and number of labels, in points.

        For a row for each trial, use `verdict.evaluation.to_frame()`.

        Raises:
            InputError: pandas is not installed.
        """
        rows = [
            {"model": model["model"], "labels": ALL if cell["labels"] is None else cell["labels"]}
            | {
                f"{number}{end and '_'}{end}": (cell[number] or {}).get(end or "mean")
                for number in NUMBERS
                for end in ("", "low", "high")
            }
            for model in self.values["models"]
            for cell in model["cells"]
        ]
        return import_pandas().DataFrame(rows)

    def report(self, path: Path | str) -> None:
        """Write the whole report as one self-contained HTML page.

        Raises:
            InputError: The page cannot be written, or pictures of the run are damaged.
        """
        report.html(self.evaluation, as_path(path, "path"), self._load_pictures())

    def figure(self, name: str = "curves-labels") -> Figure:
        """Return a figure of the report as a matplotlib figure.

        Args:
            name: Name of the figure, such as `curves-labels`, `curves-steps` or `curves-trials`; or
                `grad-cam`, if the run has a folder.

        Raises:
            InputError: There is no such figure, or the run has no data for it.
        """
        return report.make_plot(self.evaluation, name, self._load_pictures())

    @cached_property
    def _raised(self) -> Sequence[Raised]:
        return flags(self.evaluation)

    def _judge(self, limit: float, model: str | None) -> Judgement:
        return judge(self.evaluation, self._find_model(model), limit, self._raised)

    def _find_model(self, model: str | None) -> str:
        if model is None and len(self.models) == 1:
            return self.models[0]
        if model is None:
            raise InputError(
                "the name of one of the models that were attacked",
                ", ".join(self.models) or "none that is claimed to resist",
                "choose one with `model`",
            )
        known = metrics.methods(self.evaluation)
        if model not in known:
            raise unknown_name_error("model", model, known)
        return model

    def _find_labels(self, labels: Labels, budgets: Sequence[int | None]) -> int | None:
        by_name = {ALL if one is None else one: one for one in budgets}
        if labels not in list(by_name):
            known = ", ".join(map(str, by_name))
            raise InputError(
                f"labels per class that attacks were given: {known or 'none'}",
                repr(labels),
                "ask for one of these, or audit with a suite that has them",
            )
        return by_name[labels]

    def _load_pictures(self) -> Any:
        return None if self.folder is None else report.load_pictures(self.folder)
