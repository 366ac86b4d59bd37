"""Attacks that see inside blocks: gates held open, and cuts at any tensor of a forward pass."""

from __future__ import annotations

from rootbound.attacks import Attack, ExactLastLayer, FineTune, RidgeHead, repairs

PLAIN = FineTune(None, "kept", "adam", 2e-3)
EXACT = ExactLastLayer(1e-2, "standardised")
OPEN = repairs.OpenGates()

INSIDE: tuple[Attack, ...] = (
    # With open gates it is an ordinary network, which only several families attack well.
    *(
        repairs.Repaired(OPEN, attack)
        for attack in (
            PLAIN,
            repairs.Repaired(repairs.Sanitise(), PLAIN),
            repairs.Repaired(repairs.ReinitialiseDead(), PLAIN),
            repairs.Repaired(repairs.CutInside(), EXACT),
            RidgeHead(1e-1, "standardised"),
        )
    ),
    *(repairs.Repaired(repairs.CutInside(rank), EXACT) for rank in (1, 2)),
    repairs.Repaired(repairs.CutInside(), PLAIN),
)
"""Attacks that need no blocks, and so reach defences that hide within one."""
