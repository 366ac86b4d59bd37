"""What two runs with the same settings must have in common, wherever they ran."""

from __future__ import annotations

import json
from dataclasses import replace

from rootbound.records import Evaluation


def timeless(evaluation: Evaluation) -> list[str]:
    """Return the lines of the file of records, without seconds and the number of workers."""
    context = {**evaluation.context, "seconds": 0.0, "workers": 0}
    found = replace(
        evaluation,
        context=context,
        trainings=tuple(replace(one, seconds=0.0) for one in evaluation.trainings),
        records=tuple(replace(one, seconds=0.0) for one in evaluation.records),
    )
    text = found.to_json()
    assert json.loads(text)["complete"]
    return text.splitlines()
