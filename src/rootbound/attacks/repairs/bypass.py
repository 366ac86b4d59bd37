"""Code of a network's own that holds no weights: gates and traps, stepped around."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import at_rest, replace_part, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier


@dataclass(frozen=True)
class BypassGates(Repair):
    """Put the identity in the place of modules that are not torch's own and hold no parameters.

    Such code computes something that cannot be trained: a gate whose gradient is not that of
    what it computes, a dead zone, a trap for unknown inputs. It is bypassed where it returns
    one tensor of the shape that it was given. An activation written by hand is bypassed too.
    """

    def applies_to(self, model: Classifier) -> bool:
        """Return whether there is such a module."""
        return bool(_gates(model))

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the network without its gates."""
        gates = _gates(model)
        fitting: set[nn.Module] = set()

        def compare(gate: nn.Module, given: tuple[object, ...], outputs: object) -> None:
            if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(outputs, Tensor):
                if given[0].shape == outputs.shape:
                    fitting.add(gate)
                else:
                    fitting.discard(gate)

        with contextlib.ExitStack() as hooks, at_rest(model):
            for gate in dict.fromkeys(gates.values()):
                hooks.callback(gate.register_forward_hook(compare).remove)
            model.backbone(sample(attacker.train, 2))
        for path, gate in gates.items():
            if gate in fitting:
                replace_part(model, path, nn.Identity())
        return model


def _gates(model: Classifier) -> dict[str, nn.Module]:
    """Return the outermost such modules of the backbone by their dotted names."""
    found: dict[str, nn.Module] = {}
    for path, part in model.named_modules(remove_duplicate=False):
        inside = any(path.startswith(f"{gate}.") for gate in found)
        if path.startswith("backbone") and not inside and _is_gate(part):
            found[path] = part
    return found


def _is_gate(part: nn.Module) -> bool:
    own = not type(part).__module__.startswith("torch.nn")
    return own and not any(True for _ in part.parameters())
