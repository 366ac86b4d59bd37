"""Data and a network of your own, through the whole evaluation."""

import torch
from torch import nn

import rootbound as rb


def make_task(name: str, seed: int) -> rb.Task:
    """Return a task of three clusters of points in 20 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 20, generator=generator)

    def part(count: int) -> rb.Data:
        labels = torch.arange(count) % 3
        return rb.Data(centres[labels] + torch.randn(count, 20, generator=generator), labels)

    return rb.Task(name, ("a", "b", "c"), train=part(300), test=part(150))


def main(suite: rb.Suite | str = "demo-1") -> rb.Verdict:
    tasks = rb.TaskPair.of(make_task("desirable clusters", 0), make_task("undesirable clusters", 1))
    network = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    defended = rb.defend(network, tasks, rb.methods.BestResponse(undesirable_batch_size=64))
    return rb.audit(defended, tasks, suite=suite, seeds=2)


if __name__ == "__main__":
    small = (rb.Budget(10, 50), rb.Budget(None, 100))
    verdict = main(rb.suites.SUITES["demo-1"].with_budgets(small))
    verdict.report("own-data.html")
    print(verdict)
