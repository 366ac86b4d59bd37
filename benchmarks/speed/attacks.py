"""How fast attacks run, as ratios measured in one run.

python -m benchmarks.speed.attacks [ROWS]

Rows: last-layer, exact, pool, audit; all of them when left out. Both sides of a ratio are warm.
Numbers are medians of five with the spread in brackets. Every process has one thread, as in
evaluations. The slow sides are run for two trials and one epoch, and scaled.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

import rootbound as rb
from benchmarks.shared.timing import measure_seconds
from rootbound.attacks import Attacker, Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.attacks.probes.exact_last_layer import LinearHeads
from rootbound.core.memory import keep_freed_memory
from rootbound.data import Data
from rootbound.evaluation import Subject, evaluate
from rootbound.evaluation.plan import screen
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.suites import Suite
from rootbound.training import Recipe, predict

REPEATS, TRIALS, EPOCHS, BATCH = 5, 64, 50, 256


def show(name: str, ratio: float, goal: str, fast: Sequence[float], slow: Sequence[float]) -> None:
    """Print one row."""
    sides = (
        f"{statistics.median(side):.3g} s [{min(side):.3g}-{max(side):.3g}]"
        for side in (fast, slow)
        if side
    )
    print(f"| {name} | {goal} | {ratio:.3g} | {' against '.join(sides)} |", flush=True)


def time_last_layer(model: Classifier, train: Data) -> None:
    """The stacked heads against the two loops that people usually write."""
    features = Data(predict(model.backbone, train).clone(), train.labels)
    fresh = model.with_head(5, seed=0)
    rest = Classifier(nn.Sequential(), fresh.head)
    rates = [1e-4 * 1.15**i for i in range(TRIALS)]
    trials = [LastLayer("sgd", rate, BATCH) for rate in rates]
    steps = EPOCHS * (len(train) // BATCH)

    def stacked() -> None:
        attacker = Attacker(features, steps, torch.Generator().manual_seed(0))
        for _ in LastLayer.transfer_together(trials, rest, attacker):
            pass

    def one_epoch(through: bool) -> Callable[[], None]:
        def run() -> None:
            for rate in rates[:2]:
                head = nn.Linear(128, 5)
                optimiser = torch.optim.SGD(head.parameters(), rate, momentum=0.9)
                source, generator = train if through else features, torch.Generator()
                for inputs, labels in source.batches(BATCH, len(train) // BATCH, generator):
                    with torch.no_grad():
                        seen = model.backbone(inputs) if through else inputs
                    optimiser.zero_grad()
                    functional.cross_entropy(head(seen), labels).backward()
                    optimiser.step()

        return run

    fast = measure_seconds(stacked, REPEATS)
    scale = EPOCHS * TRIALS / 2
    for name, goal, through in (
        ("64 last layers, 50 epochs: loop with the backbone at every step", ">= 300", True),
        ("the same: loop over heads on cached features", ">= 10", False),
    ):
        slow = [scale * spent for spent in measure_seconds(one_epoch(through), REPEATS)]
        show(name, statistics.median(slow) / statistics.median(fast), goal, fast, slow)
    measure_share(fast, steps)


def measure_share(fast: Sequence[float], steps: int) -> None:
    """The stacked heads against the rate of a big matrix product."""
    rate = measure_product_rate()
    work = 4 * BATCH * 129 * 5 * TRIALS * steps
    reached = work / statistics.median(fast) / rate
    name = f"the same: share of the matrix-product rate ({rate / 1e9:.0f} GFLOP/s on one core)"
    show(name, reached, ">= 0.4", fast, [])


def measure_product_rate() -> float:
    """Return the operations a second of a big matrix product."""
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    product = measure_seconds(lambda: [left @ right for _ in range(20)], REPEATS)
    return 20 * 2 * 1024**3 / statistics.median(product)


def time_exact(model: Classifier, train: Data) -> None:
    """The exact last layer against scikit-learn, to the same optimum."""
    features = predict(model.backbone, train).clone()
    # Dead features have no unit variance, which the reference cannot do without.
    data = Data(features[:, features.std(0) > 0], train.labels)
    labels, penalty = data.labels, 1e-3
    rest = Classifier(nn.Sequential(), nn.Linear(data.shape[0], 5))
    trial = ExactLastLayer(penalty, "standardised")
    objectives: dict[str, float] = {}

    def ours() -> None:
        (snapshot,) = trial.transfer(rest, Attacker(data, 1, torch.Generator()))
        assert isinstance(snapshot.model, LinearHeads)
        weights = snapshot.model.heads[0]
        loss = snapshot.certificates[0]["training_loss"]
        objectives["ours"] = loss + penalty / 2 * float(weights.square().sum())

    def theirs() -> None:
        inputs = data.inputs.double()
        inputs = (inputs - inputs.mean(0)) / inputs.std(0, correction=0)
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        # Its penalty is on the sum of losses; the gradient's largest entry stops both.
        tolerance = (2 * 1e-6 * penalty / (5 * inputs.shape[1])) ** 0.5
        reference = LogisticRegression(
            C=1 / (penalty * len(data)), fit_intercept=False, tol=tolerance, max_iter=10_000
        ).fit(inputs.numpy(), labels.numpy())
        weights = torch.from_numpy(reference.coef_)
        loss = functional.cross_entropy(inputs @ weights.T, labels)
        objectives["theirs"] = float(loss + penalty / 2 * weights.square().sum())

    fast, slow = measure_seconds(ours, REPEATS), measure_seconds(theirs, REPEATS)
    gap = abs(objectives["ours"] - objectives["theirs"])
    size = f"{len(data):,} x {data.shape[0]}"
    name = f"exact last layer, {size}: scikit-learn (objectives differ by {gap:.1e})"
    show(name, statistics.median(slow) / statistics.median(fast), ">= 3", fast, slow)


def time_pool(model: Classifier, tasks: rb.TaskPair) -> None:
    """Fine-tuning trials in two processes against one after another, starting up included."""
    rates = (3e-4, 1e-3, 3e-3, 1e-2)
    trials = tuple(
        FineTune(None, "kept", "adam", rate, size) for rate in rates for size in (64, 96, 128, 192)
    )
    suite = Suite("pool", trials, (Budget(100, 200),))
    assert len(screen(Subject("defended", "x", 0, model), suite)) > 1

    def run(workers: int) -> Callable[[], object]:
        return lambda: evaluate(model, tasks, suite=suite, seeds=1, workers=workers)

    fast, slow = measure_seconds(run(2), 2), measure_seconds(run(1), 2)
    ratio = statistics.median(slow) / statistics.median(fast)
    show(
        "32 fine-tuning trials in two processes, from cold: one after another",
        ratio,
        ">= 1.6",
        fast,
        slow,
    )


def time_audit(model: Classifier, undefended: Classifier, tasks: rb.TaskPair) -> None:
    """The quick suite on one model with all arms, as a command would; its share of both cores."""
    torch.set_num_threads(2)
    rate = measure_product_rate()
    torch.set_num_threads(1)
    started = time.perf_counter()
    found = evaluate(model, tasks, undefended=undefended, suite="quick-2", seeds=1, workers=2)
    spent = [time.perf_counter() - started]
    show("audit --suite quick-2, all arms, seconds", spent[0], "<= 120", spent, [])
    reached = sum(record.flops for record in found.records) / spent[0] / rate
    name = f"the same: share of the matrix-product rate ({rate / 1e9:.0f} GFLOP/s on both cores)"
    show(name, reached, ">= 0.25", spent, [])


if __name__ == "__main__":
    keep_freed_memory()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}\n")
    print("| what: against | goal | measured | medians |\n|---|---|---|---|")
    digits = rb.datasets.mnist().split(range(5), range(5, 10))
    plain = Plain(Recipe(epochs=2)).fit(rb.models.shallow_cnn(classes=5), digits)
    every = rb.datasets.mnist().split(range(5), range(5, 10), share_undesirable=True)
    rows: dict[str, Callable[[], None]] = {
        "last-layer": lambda: time_last_layer(plain, digits.undesirable.train),
        "exact": lambda: time_exact(plain, every.undesirable.train),
        "pool": lambda: time_pool(plain, digits),
        "audit": lambda: time_audit(plain, plain, digits),
    }
    for name in sys.argv[1:] or rows:
        rows[name]()
