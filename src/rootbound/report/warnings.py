"""The table of flags: what in the numbers may not mean what it seems to mean."""

from __future__ import annotations

from rootbound.flags import FLAGS, flags
from rootbound.records import Evaluation
from rootbound.report.cells import Cell, Table


def warnings(evaluation: Evaluation) -> Table | None:
    """Return the table of the flags that are raised, None without any."""
    described = {flag.name: flag for flag in FLAGS}
    found: dict[tuple[str, str], list[str]] = {}
    for one in flags(evaluation):
        seed = "" if one.seed is None else f"seed {one.seed}: "
        found.setdefault((one.method, one.flag), []).append(f"{seed}{one.evidence}")
    if not found:
        return None
    rows = tuple(
        (
            Cell(method),
            Cell(name, mark="text"),
            Cell("; ".join(evidence), mark="text"),
            Cell(described[name].means, mark="text"),
            Cell(described[name].do_this, mark="text"),
        )
        for (method, name), evidence in found.items()
    )
    return Table(
        "Warning flags",
        "A flag is no verdict: it says where a number may not mean what it seems to mean. Those "
        "about a network compare it with the undefended one, so that an ordinary network raises "
        "none; docs/flags.md lists them all.",
        ("model", "flag", "evidence", "what it may mean", "what to do"),
        rows,
    )
