"""A notebook: from data to a report in one cell, with several workers asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

CELL = """
import rootbound as rb
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(784, 8), nn.Linear(8, 5)

    def forward(self, images):
        return self.head(self.first(images.flatten(1)).relu())

tasks = rb.datasets.mnist().split(desirable=range(5), undesirable=range(5, 10))
suite = rb.Suite("one", (rb.attacks.RidgeHead(),), (rb.Budget(10, 5),))
model = rb.Classifier.wrap(Network())
evaluation = rb.evaluate(model, tasks, suite=suite, seeds=1, workers=2, folder="run")
rb.report.write("run")
evaluation
"""


@pytest.mark.slow
def test_notebook_cell_goes_from_data_to_a_report(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=200, resources=resources).execute()
    said = "".join(one.get("text", "") for one in notebook.cells[0].outputs)
    assert "one worker is used, in this process" in said
    shown = "".join(one.get("data", {}).get("text/html", "") for one in notebook.cells[0].outputs)
    assert "an attacker who starts from these weights" in shown and "<img" in shown
    assert (tmp_path / "run" / "report.html").is_file()
