"""Pages of methods and attacks: in words, how to use it, where it stands, formula and source."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from docs.pages.gathered import (
    GATHERED,
    Values,
    to_table,
    write_interval,
    write_labels,
    write_price,
)
from rootbound.attacks import ATTACKS
from rootbound.methods import METHODS

IN_WORDS = yaml.safe_load(Path(__file__).with_name("in_words.yml").read_text("utf-8"))
TRAIN = """```
rootbound train --method {name} --out model.safetensors
rootbound compare --methods "Plain,{name}"
```
In Python: `rb.defend(network, tasks, method="{name}")`. Settings are fields of
`rb.methods.{name}`."""
ATTACK = """```python
suite = rb.suites.find_suite("quick-2").with_attacks((rb.attacks.{name}({needed}),))
```
The suite then has this attack beside its own. On the command line `--suite file.py:suite` names a
suite of yours."""
ARMS = ("Plain", "BestResponse", "scratch")
NEEDED = {"Repaired": "repair, attack", "PartialFineTune": 'part="norms"'}


def make_pages() -> Iterator[tuple[str, str]]:
    """Yield path and text of each page."""
    yield "methods/index.md", _list("Methods", METHODS, IN_WORDS["methods"])
    for name, part in METHODS.items():
        usage, standing = TRAIN.format(name=name), _describe_method(name)
        yield f"methods/{name}.md", _make_page(part, IN_WORDS["methods"][name], usage, standing)
    yield "attacks/index.md", _list("Attacks", ATTACKS, IN_WORDS["attacks"])
    for name, attack in ATTACKS.items():
        usage = ATTACK.format(name=name, needed=NEEDED.get(name, ""))
        standing = _describe_attack(name)
        yield f"attacks/{name}.md", _make_page(attack, IN_WORDS["attacks"][name], usage, standing)


def _list(title: str, parts: Mapping[str, type], in_words: Mapping[str, str]) -> str:
    assert set(parts) == set(in_words), set(parts) ^ set(in_words)
    rows = "\n".join(f"| [{name}]({name}.md) | {in_words[name]} |" for name in parts)
    return f"# {title}\n\n| name | what it does |\n|---|---|\n{rows}\n"


def _make_page(part: type, in_words: str, usage: str, standing: str) -> str:
    name = part.__name__
    options = "    options: {heading_level: 3, show_root_heading: false}"
    assert inspect.getdoc(part)
    return (
        f"# {name}\n\n{in_words}\n\n## Use it\n\n{usage}\n\n## Where it stands\n\n{standing}\n\n"
        f"## Formula, source and settings\n\n::: {part.__module__}.{name}\n{options}\n"
    )


def _describe_method(name: str) -> str:
    rows = []
    for split in GATHERED["splits"]:
        of_plain = next(row for row in split["rows"] if row["method"] == "Plain")
        for place, row in enumerate(split["rows"], 1):
            if row["class"] == name:
                rows.append(_make_row(split, place, row, of_plain))
    if not rows:
        return "It has not been compared with the others yet."
    head = ("data", "worst advantage", "undefended", "price", "last layer, %", "place")
    return (
        f"{to_table(head, rows)}\n\nThe worst advantage is what an attacker gains over random "
        "weights, in points, with the number of labels for which it is largest. The price is in "
        "points of desirable accuracy. The next column is what the best new last layer reaches. "
        "[The whole leaderboard](../leaderboard.md) says how to read it.\n"
    )


def _make_row(split: Values, place: int, row: Values, of_plain: Values) -> tuple[str, ...]:
    worst, exact = row["worst_advantage"], row["exact_last_layer"]
    where = "" if worst is None else f"<br>with {write_labels(worst['labels'])}"
    settings = "".join(row["method"].partition("(")[1:])
    unreliable = "<br>unreliable" if row["status"] == "unreliable" else ""
    return (
        f"{split['title']}{f'<br>`{settings}`' if settings else ''}",
        f"{write_interval(worst)}{where}",
        write_interval(of_plain["worst_advantage"]),
        write_price(row),
        "–" if exact is None else f"{exact['mean']:.1f}",
        f"{place} of {len(split['rows'])}{unreliable}",
    )


def _describe_attack(name: str) -> str:
    reached = GATHERED["attacks"]["reached"]
    if name not in reached:
        return "No published run has it among its attacks yet."
    head = ("labels per class", "undefended, %", "`BestResponse`, %", "scratch, %")
    rows = [
        (labels, *(_of_best(reached, name, labels, arm) for arm in ARMS))
        for labels in sorted(reached[name], key=_order)
    ]
    return (
        f"{to_table(head, rows)}\n\n"
        "What its strongest setting reaches from each model, and in brackets what the best of all "
        "attacks reaches: suite `standard-1`, MNIST, 0-4 desirable and 5-9 not, means over draws "
        f"(`benchmarks/results/{GATHERED['attacks']['folder']}/`).\n"
    )


def _of_best(reached: Values, name: str, labels: str, arm: str) -> str:
    """Return what an attack reaches, and in brackets what the best one does."""
    own = reached[name][labels].get(arm)
    best = max(other[labels].get(arm, 0.0) for other in reached.values() if labels in other)
    return "–" if own is None else f"{own:.1f} ({best:.1f})"


def _order(labels: str) -> float:
    return float("inf") if labels == "all" else int(labels)
