"""Doing the jobs of a run, and showing how far it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rootbound.core import progress
from rootbound.evaluation.jobs import Job, Preparation, PreparedModel, Result
from rootbound.evaluation.journal import Journal
from rootbound.evaluation.plan import Assignment, Plan
from rootbound.execution import Crew


@dataclass(eq=False)
class Work:
    """The jobs of a run. First models are prepared, and then attacked.

    A training takes much longer than a trial, and how long trials take is not known before the
    first ones. So the time until all models are ready is shown first, and then the time left.

    Args:
        crew: Does the jobs.
        plan: Decides which come next.
        journal: Saves the results, and has those of an interrupted run.
    """

    crew: Crew[Job, Result]
    plan: Plan
    journal: Journal
    _models: int = 0
    """Number of models that are not prepared yet."""
    _trials: int = 0
    """Number of trials that were submitted."""
    _done: int = 0
    """Number of those that are done."""

    def do_all(self, preparations: Sequence[Preparation]) -> None:
        """Prepare and attack all models, as the plan says."""
        self._submit(preparations)
        until, total = self.crew.until, self._models or self._count_trials()
        title = "preparing models" if self._models else "attacking"
        goal = "until all are ready" if self._models and until is None else "left"
        with progress.step(title, total, until=until, goal=goal) as shown:
            for job, result in self.crew.finished():
                self.journal.add(job, result)
                self._submit(_advance(self.plan, job, result))
                self._count(job, shown)

    def _submit(self, jobs: Iterable[Job]) -> None:
        """Submit jobs; pass the results of an interrupted run to the plan at once."""
        coming = deque(jobs)
        while coming:
            job = coming.popleft()
            result = self.journal.recall(job)
            if result is not None:
                coming += _advance(self.plan, job, result)
                continue
            self.crew.submit(job)
            if isinstance(job, Assignment):
                self._trials += job.size
            else:
                self._models += 1

    def _count(self, job: Job, shown: progress.Step) -> None:
        """Show that a job is done; after the last preparation, show trials instead of models."""
        if isinstance(job, Assignment):
            self._done += job.size
        else:
            self._models -= 1
            shown.advance()
            if not self._models:
                shown.restart("attacking", self._count_trials(), self._done)
        if not self._models:
            shown.expect(self._count_trials())
            shown.reach(self._done)

    def _count_trials(self) -> int:
        return self._trials + self.plan.expected_trials()


def _advance(plan: Plan, job: Job, result: Result) -> Sequence[Job]:
    """Give a result to the plan; return the next jobs."""
    if isinstance(result, PreparedModel):
        return plan.begin(result.subject)
    assert isinstance(job, Assignment)  # nothing else has records
    return plan.advance(job, result)
