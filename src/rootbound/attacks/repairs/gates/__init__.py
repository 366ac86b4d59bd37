"""Gates inside: what hardly varies over desirable inputs, and changes undesirable ones."""

from rootbound.attacks.repairs.gates.opened import Gates
from rootbound.attacks.repairs.gates.search import find_gates, measure_freed, measure_nearest

__all__ = ["Gates", "find_gates", "measure_freed", "measure_nearest"]
