r"""A suite of the exact last layers of `demo-1` with all labels, to try many models of a method.

rootbound compare --methods BestResponse --seeds 12 \
    --suite benchmarks/claims/exact_last_layers.py:suite
"""

import rootbound as rb
from rootbound.attacks import Budget, ExactLastLayer
from rootbound.suites import find_suite

EXACT = tuple(
    attack for attack in find_suite("demo-1").attacks if isinstance(attack, ExactLastLayer)
)
suite = rb.Suite("exact-last-layers-1", EXACT, (Budget(None, 1),))
