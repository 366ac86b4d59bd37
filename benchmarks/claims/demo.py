"""Print the numbers of the README's first table from a run of `rootbound demo`.

python -m benchmarks.claims.demo [RUN_FOLDER]

Without a folder the demo is run first.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

from rootbound.cli import main
from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.records import EXACT, PRACTICAL, Evaluation

Row = tuple[str, str, str, bool]


def list_rows(evaluation: Evaluation) -> Iterator[Row]:
    """Yield for each number what it is, its goal, its value, and whether the goal is reached."""
    plain = metrics.points(metrics.desirable(evaluation, "Plain"))
    assert plain is not None
    yield "Plain: desirable accuracy, %", ">= 99.6", in_words(plain), plain.mean >= 99.6
    change = metrics.paired(
        metrics.desirable(evaluation, "BestResponse"), metrics.desirable(evaluation, "Plain")
    )
    assert change is not None
    yield "BestResponse: change, points", ">= -0.3", in_words(change), change.mean >= -0.3
    for method, goal, reached in (
        ("BestResponse", "<= 26", lambda value: value <= 26),
        ("Plain", ">= 97", lambda value: value >= 97),
    ):
        exact = metrics.points(metrics.attacked(evaluation, method, None, EXACT))
        assert exact is not None
        yield f"{method}: exact last layer, %", goal, in_words(exact), reached(exact.mean)
    for family in metrics.families(evaluation):
        if family in (EXACT, PRACTICAL):
            continue
        for labels in metrics.budgets(evaluation):
            gain = metrics.advantage(evaluation, "BestResponse", labels, family)
            assert gain is not None
            name = f"BestResponse: advantage, {family}, {labels or 'all'} labels, points"
            yield name, "<= +1", in_words(gain), gain.mean <= 1
    seconds = {name: compute_median_seconds(evaluation, name) for name in ("BestResponse", "Plain")}
    ratio = seconds["BestResponse"] / seconds["Plain"]
    yield "training time against Plain", "<= 2.5", f"{ratio:.2f}", ratio <= 2.5


def in_words(value: Estimate) -> str:
    """Return mean and 95 % interval."""
    return f"{value.mean:.2f} ({value.low:.2f} to {value.high:.2f})"


def compute_median_seconds(evaluation: Evaluation, method: str) -> float:
    """Return the median training time over seeds."""
    return statistics.median(
        training.seconds for training in evaluation.trainings if training.method == method
    )


def print_table(folder: str, wall: float | None) -> None:
    """Print the table; the demo's time is the given one, or that in the records."""
    evaluation = Evaluation.load(folder)
    for name, goal, value, reached in list_rows(evaluation):
        print(f"{'ok ' if reached else 'NOT'} {name:58} {goal:9} {value}")
    spent = evaluation.context["seconds"] if wall is None else wall
    print(f"{'ok ' if spent <= 240 else 'NOT'} {'demo, seconds':58} {'<= 240':9} {spent:.0f}")
    if wall is not None:
        kibibytes = sum(
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        print(f"    peak memory, this process and its largest child: {kibibytes / 2**20:.2f} GiB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print_table(sys.argv[1], None)
    else:
        target = tempfile.mkdtemp(prefix="rootbound-")
        started = time.perf_counter()
        if code := main(["demo", "--out", target]):
            sys.exit(code)
        print_table(target, time.perf_counter() - started)
