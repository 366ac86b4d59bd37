"""Write the records of `apart`: three methods, two seeds, toy data."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from rootbound.attacks import Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.evaluation import compare
from rootbound.methods import BestResponse, Plain, SelectiveDistillation
from rootbound.networks import shallow_cnn
from rootbound.suites import Suite
from rootbound.training import Recipe
from toy import toy_dataset

RECIPE = Recipe(epochs=15, batch_size=30, learning_rate=1e-2)
NOISE = (0.15, 0.15, 0.15, 0.6, 0.6, 0.6)
"""With less of it in the undesirable classes every model reaches 100 %, and no sign shows."""
SUITE = Suite(
    "golden-1",
    (
        LastLayer("sgd", 0.1),
        LastLayer("adam", 0.03),
        ExactLastLayer(1e-3),
        FineTune(2, "re-initialised", "adam", 1e-2),
        FineTune(None, "kept", "adam", 1e-2),
    ),
    (Budget(5, 10), Budget(None, 32)),
)

if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        compare(
            (
                Plain(RECIPE),
                BestResponse(RECIPE, undesirable_batch_size=90, weight=1.0),
                SelectiveDistillation(RECIPE, target=-1.0),
            ),
            toy_dataset(NOISE).split([0, 1, 2], [3, 4, 5]),
            shallow_cnn(classes=3, shape=(1, 16, 16)),
            suite=SUITE,
            seeds=2,
            folder=folder,
        )
        shutil.copy(Path(folder) / "records.json.gz", Path(__file__).parent / "apart")
