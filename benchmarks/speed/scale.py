"""What the package adds to the work itself, as ratios of pairs that take turns.

python -m benchmarks.speed.scale [ROWS]

Rows: import, help, resume, plain, diagnosis, malloc, start, workers, ray; all of them when left
out. The two sides of a pair run one after the other, so that other jobs on the machine slow both
alike. A ratio is the median over pairs, with the smallest and the largest.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from ray.cluster_utils import Cluster
from torch.nn import functional

import rootbound as rb
from rootbound.core.memory import keep_freed_memory
from rootbound.execution.ray_cluster import SETTINGS
from rootbound.inspection.diagnosis import diagnose
from rootbound.methods import Plain
from rootbound.training import Recipe, accuracy

PAIRS = 7
TRAINING = """
import sys, time, torch, rootbound as rb
from rootbound.core.memory import keep_freed_memory
torch.set_num_threads(1)
sys.argv[1] == "kept" and keep_freed_memory()
digits = rb.datasets.mnist().split(range(5), range(5, 10))
method = rb.methods.{method}(recipe=rb.Recipe(epochs=1))
started = time.process_time()
method.fit(rb.models.{model}(5, digits.desirable.train.shape), digits)
print(time.process_time() - started)
"""

STEPS = """
import resource, sys, torch, rootbound as rb
from rootbound.core.memory import keep_freed_memory
torch.set_num_threads(1)
sys.argv[1] == "kept" and keep_freed_memory()
model = rb.models.build("{model}", 5, {shape}).train()
optimiser = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
inputs, labels = torch.randn(128, *{shape}), torch.arange(128) % 5
def step():
    optimiser.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    optimiser.step()
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF)
for _ in range({steps}):
    step()
after = resource.getrusage(resource.RUSAGE_SELF)
spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(spent / {steps}, (after.ru_minflt - before.ru_minflt) / {steps})
"""
"""Processor seconds and page faults of a bare step, by itself in its process."""
SCORING = """
import resource, sys, torch, rootbound as rb
from rootbound.data import Data
from rootbound.core.memory import keep_freed_memory
from rootbound.training import predict
torch.set_num_threads(1)
sys.argv[1] == "kept" and keep_freed_memory()
model, images = rb.models.build("resnet_20", 5, (3, 32, 32)), torch.zeros(4096, 3, 32, 32)
data = Data(images, torch.zeros(4096, dtype=torch.long))
predict(model, data)
before = resource.getrusage(resource.RUSAGE_SELF)
predict(model, data)
after = resource.getrusage(resource.RUSAGE_SELF)
spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(spent, after.ru_minflt - before.ru_minflt)
"""
"""The same for scoring 4,096 photographs."""
COMPARING = """
import time, rootbound as rb
from rootbound.attacks import Budget, FineTune
from rootbound.evaluation import evaluate
from rootbound.execution import InProcess, Pool, RayCluster
from rootbound.suites import Suite
digits = rb.datasets.mnist().split(range(5), range(5, 10))
settings = [(rate, size) for rate in (1e-4, 3e-4, 1e-3, 3e-3) for size in (64, 96)]
attacks = tuple(FineTune(None, "kept", "adam", rate, size) for rate, size in settings)
suite = Suite("scale", attacks, (Budget(100, 400),))
started = time.perf_counter()
evaluate(rb.models.shallow_cnn(5), digits, suite=suite, seeds=4, workers={engine})
print(time.perf_counter() - started)
"""
"""Each of 8 models meets a single bundle, which takes more than 5 seconds."""
STARTING = """
import os, time
from rootbound.execution import Pool
for _ in range(2):
    started = time.perf_counter()
    with Pool(2).open(os.path.join, ("a",)) as crew:
        crew.submit("b", "c")
        list(crew.finished())
    print(time.perf_counter() - started)
"""


def show(what: str, goal: str, slow: list[float], fast: list[float]) -> None:
    """Print one row: how many times as long the first side takes."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    print(
        f"| {what} | {goal} | {statistics.median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]"
        f" | {statistics.median(slow):.3g} against {statistics.median(fast):.3g} |",
        flush=True,
    )


def take_turns(
    first: Callable[[], float], second: Callable[[], float], pairs: int = PAIRS
) -> tuple[list[float], list[float]]:
    """Return what two sides measure that take turns, after one turn that does not count."""
    first(), second()
    measured = [(first(), second()) for _ in range(pairs)]
    return [a for a, _ in measured], [b for _, b in measured]


def measure_wall(run: Callable[[], object]) -> Callable[[], float]:
    """Return a function that runs and says how many seconds it took."""

    def measured() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return measured


def measure_command(*arguments: str) -> Callable[[], float]:
    """Return a function that runs a program and says how much processor time it took."""

    def measured() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return measured


def compare_imports() -> None:
    """Import of the package, and of what compares, against torch's (processor seconds)."""
    for what in ("rootbound", "rootbound; rootbound.compare"):
        sides = take_turns(
            measure_command("-c", f"import {what}"), measure_command("-c", "import torch")
        )
        show(f"`import {what}`: `import torch`", "<= 1.3", *sides)


def compare_help() -> None:
    """Help of the command line against an interpreter that does nothing (processor seconds)."""
    sides = take_turns(measure_command("-m", "rootbound", "--help"), measure_command("-c", "pass"))
    show("`rootbound --help`: `python -c pass`", "<= 0.3 s", *sides)


def compare_resumed() -> None:
    """The command for a finished run against `import torch` (processor seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (
            "-m rootbound compare --methods Plain,BestResponse --epochs 1 --suite demo-1 --labels "
            f"10 --steps 20 --seeds 1 --workers 1 --out {folder}"
        ).split()
        measure_command(*arguments)()
        sides = take_turns(measure_command(*arguments), measure_command("-c", "import torch"))
    show("`compare` of a finished run, report included: `import torch`", "<= 3 s", *sides)


def compare_plain() -> None:
    """One epoch by hand against the same by the package."""
    digits = rb.datasets.mnist().split(range(5), range(5, 10))
    data, recipe = digits.desirable.train, Recipe(epochs=1)
    inputs, labels = data.batch(slice(None))
    padded = functional.pad(inputs, (1, 1, 1, 1), mode="replicate")
    steps = recipe.steps(len(data))

    def by_hand() -> None:
        torch.manual_seed(0)
        model = rb.models.shallow_cnn(5).train()
        optimiser = torch.optim.Adam(model.parameters(), recipe.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, total_steps=steps + 1
        )
        order = torch.randperm(len(labels))
        for step in range(steps):
            index = order[step * 128 : (step + 1) * 128]
            # Every image moved by up to one pixel, as the recipe says.
            down, right = torch.randint(3, (2, 128))
            windows = padded[index].unfold(2, 28, 1).unfold(3, 28, 1)
            batch = windows[torch.arange(128), :, down, right]
            optimiser.zero_grad(set_to_none=True)
            functional.cross_entropy(model(batch), labels[index]).backward()
            optimiser.step()
            schedule.step()

    def packaged() -> None:
        Plain(recipe).fit(rb.models.shallow_cnn(5), digits)

    sides = take_turns(measure_wall(by_hand), measure_wall(packaged), 5)
    show("a loop by hand: an epoch of `Plain`, checks included", ">= 1.0", *sides)


def compare_diagnosis() -> None:
    """All numbers about a network against one pass over the test samples."""
    digits = rb.datasets.mnist().split(range(5), range(5, 10))
    model = rb.models.shallow_cnn(5)
    sides = take_turns(
        measure_wall(lambda: diagnose(model, digits)),
        measure_wall(lambda: accuracy(model, digits.desirable.test)),
    )
    show("diagnosis of a network: its accuracy", "<= 1 s", *sides)


def compare_malloc() -> None:
    """Training where freed memory goes back to the kernel against where it is kept."""
    programs = {
        "a bare step of shallow_cnn": STEPS.format(
            model="shallow_cnn", shape=(1, 28, 28), steps=200
        ),
        "a bare step of resnet_20": STEPS.format(model="resnet_20", shape=(3, 32, 32), steps=4),
        "scoring 4,096 photographs by resnet_20": SCORING,
    }
    for name, program in programs.items():
        measured = [
            (run_and_read(program, "returned"), run_and_read(program, "kept")) for _ in range(5)
        ]
        for number, what in enumerate(("processor seconds", "page faults")):
            sides = [a[number] for a, _ in measured], [b[number] for _, b in measured]
            show(f"{name}, memory returned: kept ({what})", "> 1", *sides)
    for method, model in (("Plain", "shallow_cnn"), ("BestResponse", "shallow_cnn")):
        program = TRAINING.format(method=method, model=model)

        def side(kind: str, program: str = program) -> Callable[[], float]:
            return lambda: run_and_read(program, kind)[0]

        sides = take_turns(side("returned"), side("kept"), 5)
        show(f"{method}, {model}, memory returned: kept (processor seconds)", "> 1", *sides)


def run_and_read(program: str, *arguments: str) -> list[float]:
    """Return the numbers that a program prints, a process of its own."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def make_timer(engine: str) -> Callable[[], float]:
    """Return a function that says how many seconds an engine takes, in a new process."""
    return lambda: run_and_read(COMPARING.format(engine=engine))[0]


def compare_workers() -> None:
    """One process against two, their start included."""
    sides = take_turns(make_timer("InProcess()"), make_timer("Pool(2)"), 3)
    show("8 bundles of 8 fine-tunings by 1 worker: by 2, from cold", ">= 1.7", *sides)


def compare_starts() -> None:
    """The first pool of a process, which imports everything, against the next."""
    measured = [run_and_read(STARTING) for _ in range(PAIRS)]
    first, second = [times[0] for times in measured], [times[1] for times in measured]
    show("a pool of 2 that does nothing, the first: the second", "", first, second)


def compare_ray() -> None:
    """Two processes of a pool against two of a Ray cluster that runs, both from cold."""
    os.environ |= SETTINGS
    head = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        sides = take_turns(make_timer("Pool(2)"), make_timer(f"RayCluster({head.address!r})"), 3)
        show("the same bundles by a pool of 2: by Ray with 2 CPUs", ">= 0.9", *sides)
    finally:
        head.shutdown()


if __name__ == "__main__":
    keep_freed_memory()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}; "
        f"load {load:.1f} at the start\n"
    )
    print("| what: against | goal | ratio | medians (s, or as said) |\n|---|---|---|---|")
    rows: dict[str, Callable[[], None]] = {
        "import": compare_imports,
        "help": compare_help,
        "resume": compare_resumed,
        "plain": compare_plain,
        "diagnosis": compare_diagnosis,
        "malloc": compare_malloc,
        "start": compare_starts,
        "workers": compare_workers,
        "ray": compare_ray,
    }
    for name in sys.argv[1:] or rows:
        rows[name]()
