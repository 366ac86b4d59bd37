"""The verdict on the models of a run, as users of Python ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import escape

from rootbound import report
from rootbound.core.errors import InputError, unknown_name
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
"""Labels a class, or all."""
NUMBERS = ("advantage", "attacked", "scratch", "against_undefended")
"""What a row of the table says of a model, each as a mean with its interval."""


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a run says of the models that were attacked; it prints as one sentence.

    Args:
        evaluation: Everything that was measured.
        folder: The folder of the run, if it has one: pictures of the models are there.
    """

    evaluation: Evaluation
    folder: Path | None = None

    def __repr__(self) -> str:
        """Return the verdict in a sentence: on the best of the models, if there are several."""
        sentence: str = self.values["sentence"]
        return sentence

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the sentence, what it rests on, and a figure."""
        shown = report.notebook(self.evaluation)
        return f"<p><strong>{escape(repr(self))}</strong></p>\n{shown}"

    @cached_property
    def values(self) -> dict[str, Any]:
        """All that the verdict says, as plain values: those of `verdict.json`."""
        return report.verdict(self.evaluation)

    @property
    def models(self) -> list[str]:
        """Names of the models that are claimed to resist."""
        return [model["model"] for model in self.values["models"]]

    @property
    def doubts(self) -> list[str]:
        """Why the numbers say less than they seem to, a sentence each."""
        return list(
            dict.fromkeys(one for model in self.values["models"] for one in model["doubts"])
        )

    def passes(self, limit: float = 1.0, model: str | None = None) -> bool:
        """Return whether it is shown that the weights add no more than that to an attacker's means.

        False does not say the opposite: `gate` tells "not shown" from "shown not to hold", and says
        what would decide it.

        Args:
            limit: Points that the weights may add at most, with any number of labels.
            model: Name of the model, where there are several.

        Raises:
            InputError: The limit is not finite, or there is no such model.
        """
        return self._judge(limit, model).end == "holds"

    def gate(self, limit: float = 1.0, model: str | None = None) -> str:
        """Return in a sentence whether that limit is shown to hold, shown not to, or undecided.

        Args:
            limit: Points that the weights may add at most, with any number of labels.
            model: Name of the model, where there are several.

        Raises:
            InputError: The limit is not finite, or there is no such model.
        """
        return in_a_sentence(self._judge(limit, model), self.evaluation)

    def advantage(self, labels: Labels | None = None, model: str | None = None) -> Estimate:
        """Return what the weights add to an attacker's means, in points, with its 95 % interval.

        It is the accuracy reached from these weights less that from random ones, or from the public
        model where there is one and it is the stronger.

        Args:
            labels: Labels a class, or `"all"`; those with which the weights add most when left out.
            model: Name of the model, where there are several; or of another that was attacked.

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
            model: Name of the model, where there are several.

        Returns:
            None where no undefended model was there to compare with.

        Raises:
            InputError: There is no such model.
        """
        name, plain = self._find_model(model), metrics.undefended(self.evaluation)
        if plain is None:
            return None
        change = metrics.desirable_change(self.evaluation, name)
        return None if change is None else -change

    def to_frame(self) -> pd.DataFrame:
        """Return a table of pandas with a row for each model and number of labels, in points.

        A row for each single trial is what `verdict.evaluation.to_frame()` has.

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
        """Write the whole report as one HTML page that needs nothing else.

        Raises:
            InputError: The page cannot be written, or pictures of the run are damaged.
        """
        report.html(self.evaluation, path, self._load_pictures())

    def figure(self, name: str = "curves-labels") -> Figure:
        """Return a figure of the report as one of matplotlib.

        Args:
            name: Such as `curves-labels`, `curves-steps`, `curves-trials`, or where the run has a
                folder `grad-cam`.

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
                "say which by `model`",
            )
        known = metrics.methods(self.evaluation)
        if model not in known:
            raise unknown_name("model", model, known)
        return model

    def _find_labels(self, labels: Labels, budgets: Sequence[int | None]) -> int | None:
        by_name = {ALL if one is None else one: one for one in budgets}
        if labels not in by_name:
            known = ", ".join(map(str, by_name))
            raise InputError(
                f"labels a class that attacks were given: {known or 'none'}",
                repr(labels),
                "ask for one of these, or audit with a suite that has them",
            )
        return by_name[labels]

    def _load_pictures(self) -> Any:
        return None if self.folder is None else report.load_pictures(self.folder)
