"""A suite of the exact last layers of `demo-1` with all labels: what many seeds of a method cost.

rootbound compare --methods BestResponse --suite benchmarks/exact_last_layers.py:suite --seeds 12
"""

import rootbound as rb
from rootbound.attacks import Budget, ExactLastLayer
from rootbound.suites import find_suite

EXACT = tuple(one for one in find_suite("demo-1").attacks if isinstance(one, ExactLastLayer))
suite = rb.Suite("exact-last-layers-1", EXACT, (Budget(None, 1),))
