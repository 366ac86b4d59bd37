"""Records: what was measured, as plain values; and the folder of a run that holds them."""

from rootbound.records.configuration import Configuration
from rootbound.records.difference import Difference, compare_runs, read_spec_from_records
from rootbound.records.evaluation import Evaluation, records_file
from rootbound.records.record import (
    EXACT,
    PRACTICAL,
    Arm,
    Diagnosis,
    Record,
    Stage,
    TaskName,
    Tier,
    Training,
)
from rootbound.records.run_folder import RunFolder, find_runs
from rootbound.records.run_spec import Spec, has_spec

__all__ = [
    "EXACT",
    "PRACTICAL",
    "Arm",
    "Configuration",
    "Diagnosis",
    "Difference",
    "Evaluation",
    "Record",
    "RunFolder",
    "Spec",
    "Stage",
    "TaskName",
    "Tier",
    "Training",
    "compare_runs",
    "find_runs",
    "has_spec",
    "read_spec_from_records",
    "records_file",
]
