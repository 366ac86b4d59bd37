"""The suite standard, which is the reference: four tiers of attacks, run through all stages.

Settings are screened and searched, the best are confirmed, and the best of these runs longer.
`standard-2` also looks inside blocks, and the auditor's labels decide which settings it confirms.
"""

from __future__ import annotations

from dataclasses import replace

from rootbound.attacks import (
    Attack,
    Budget,
    DiscriminantHead,
    ExactLastLayer,
    FineTune,
    JointTune,
    KernelRidge,
    LastLayer,
    LoRA,
    NearestNeighbours,
    PartialFineTune,
    PerceptronProbe,
    Reading,
    RidgeHead,
    repairs,
)
from rootbound.suites.inside import INSIDE
from rootbound.suites.quick import list_last_layers, list_rates
from rootbound.suites.space import Space
from rootbound.suites.suite import Suite

ADAM = FineTune(None, "kept", "adamw", 3e-3)
SGD = FineTune(None, "kept", "sgd", 0.05)
EARLIER = (
    Reading(0, "before"),
    *(Reading(blocks, side) for blocks in (1, 2, 3) for side in ("after", "before")),
    Reading("all"),
)

LAST_LAYER: tuple[Attack, ...] = (
    *(LastLayer("sgd", rate) for rate in list_rates(1e-4, 15)),
    *(LastLayer("sgd", rate, unit="curvature") for rate in (0.1, 1.0, 1.9)),
    *(LastLayer("adamw", rate) for rate in list_rates(1e-4, 11)),
    *(ExactLastLayer(penalty, "standardised") for penalty in (1.0, 1e-1, 1e-2, 1e-3, 1e-4)),
    *(ExactLastLayer(penalty, "whitened") for penalty in (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)),
    *(ExactLastLayer(1e-3, "whitened", kept=kept) for kept in (1e-2, 1e-1)),
    *(RidgeHead(penalty, "standardised") for penalty in (1e-3, 1e-2, 1e-1, 1.0)),
    *(RidgeHead(penalty, "whitened") for penalty in (1e-1, 1.0)),
    *(DiscriminantHead(shrinkage, "standardised") for shrinkage in (0.01, 0.1, 0.3)),
    *(DiscriminantHead(shrinkage, "whitened") for shrinkage in (0.01, 0.3, 1.0)),
    *(NearestNeighbours(count, "whitened") for count in (1, 3, 5)),
    *(NearestNeighbours(count, "cosine") for count in (1, 3, 5)),
    *(
        PerceptronProbe(256, rate, coordinates=coordinates)
        for rate in (1e-3, 1e-2, 3e-2)
        for coordinates in ("standardised", "whitened")
    ),
    *(
        KernelRidge(width, 1e-2, coordinates=coordinates)
        for width in (0.5, 1.0, 2.0)
        for coordinates in ("standardised", "whitened")
    ),
)
EARLIER_BLOCKS: tuple[Attack, ...] = tuple(
    probe
    for reading in EARLIER
    for probe in (
        *(RidgeHead(penalty, "standardised", reading=reading) for penalty in (1e-2, 1e-1, 1.0)),
        RidgeHead(1e-1, "whitened", reading=reading),
        ExactLastLayer(1e-2, "standardised", iterations=80, reading=reading),
        *(DiscriminantHead(shrinkage, reading=reading) for shrinkage in (0.01, 0.1, 1.0)),
        NearestNeighbours(5, "cosine", reading=reading),
        PerceptronProbe(256, 1e-3, reading=reading),
        *(KernelRidge(width, 1e-2, reading=reading) for width in (0.5, 1.0)),
    )
)
ALL_LAYERS: tuple[Attack, ...] = (
    *(FineTune(None, "kept", "sgd", rate) for rate in (3e-3, 0.01, 0.03, 0.1, 0.3)),
    *(FineTune(None, "kept", "adamw", rate) for rate in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    *(FineTune(None, "kept", "sgd", rate, schedule="constant") for rate in (0.03, 0.1)),
    *(FineTune(None, "kept", "adamw", rate, schedule="constant") for rate in (1e-3, 3e-3)),
    *(FineTune(None, "kept", "sgd", rate, schedule="one-cycle") for rate in (0.1, 0.3)),
    *(FineTune(None, "kept", "adamw", rate, schedule="one-cycle") for rate in (3e-3, 1e-2)),
    FineTune(None, "kept", "sgd", 0.1, warm_up=0.2),
    FineTune(None, "kept", "adamw", 1e-2, warm_up=0.2),
    *(FineTune(None, "kept", "adamw", 3e-3, batch_size=size) for size in (16, 32, 256)),
    *(FineTune(None, "kept", "sgd", 0.05, batch_size=size) for size in (16, 32, 256)),
    *(FineTune(None, "kept", "adamw", 3e-3, head=head) for head in ("given", "zero", "probe")),
    *(FineTune(None, "kept", "sgd", 0.03, head=head) for head in ("given", "zero", "probe")),
    FineTune(None, "kept", "adamw", 5e-4, head="probe"),
    *(FineTune(None, "kept", "adagrad", rate) for rate in (0.01, 0.03)),
    *(FineTune(None, "kept", "rmsprop", rate) for rate in (3e-4, 1e-3)),
    *(FineTune(None, "kept", "muon", rate) for rate in (3e-3, 1e-2)),
    *(FineTune(None, "kept", "schedule-free", rate, schedule="constant") for rate in (3e-3, 1e-2)),
    *(FineTune(None, "kept", "sam", rate) for rate in (0.03, 0.1)),
    *(
        FineTune(None, "kept", "adamw", 3e-3, loss=loss)
        for loss in ("smoothed", "squared", "hinge", "focal")
    ),
    *(FineTune(None, "kept", "adamw", rate, augmentation="shift") for rate in (1e-3, 3e-3, 1e-2)),
    FineTune(None, "kept", "sgd", 0.1, augmentation="shift"),
    FineTune(None, "kept", "adamw", 3e-3, augmentation="mixup"),
    FineTune(None, "kept", "adamw", 3e-3, augmentation="shift", head="probe"),
)
SOME_LAYERS: tuple[Attack, ...] = (
    *(trial for layers in (2, 3, 4, 5) for trial in list_last_layers(layers)),
    *(PartialFineTune(None, "kept", "adamw", 3e-3, part="first", count=count) for count in (1, 2)),
    *(PartialFineTune(None, "kept", "adamw", rate, part="norms") for rate in (3e-3, 3e-2)),
    *(PartialFineTune(None, "kept", "adamw", rate, part="biases") for rate in (3e-3, 3e-2)),
    *(LoRA(None, "kept", "adamw", 3e-3, rank=rank) for rank in (1, 4, 16)),
    LoRA(None, "kept", "adamw", 1e-2, rank=4),
    *(JointTune(None, "kept", "adamw", 3e-3, retain=retain) for retain in (0.3, 1.0)),
)
REPAIRS: tuple[Attack, ...] = tuple(
    repairs.Repaired(repair, attack)
    for repair in (
        repairs.RecomputeStatistics(),
        repairs.ResetNorms(),
        repairs.BalanceLayers("units"),
        repairs.BalanceLayers("layers"),
        repairs.BalanceLayers("spectral"),
        repairs.BalanceFactors(),
        repairs.InsertWhitening(),
        repairs.Sanitise(),
        repairs.BypassGates(),
        repairs.LeakyActivations(),
        repairs.ShiftBias(),
        repairs.ReinitialiseDead(),
        repairs.ReinitialiseLast(1),
        repairs.ReinitialiseLast(2),
        repairs.Truncate(1),
        repairs.Truncate(2),
        repairs.ShrinkAndPerturb(0.9, 0.05),
        repairs.ShrinkAndPerturb(0.5, 0.1),
        repairs.ShrinkAndPerturb(0.2, 0.1),
        repairs.Prune(0.3),
        repairs.Prune(0.7),
        repairs.TuneOnDesirable(),
        repairs.SelfSupervise(),
        repairs.Distil(),
        repairs.Interpolate(0.5),
        *(repairs.Restart(number) for number in (1, 2, 3)),
    )
    for attack in (ADAM, SGD)
)
REPAIRED_PROBES: tuple[Attack, ...] = tuple(
    repairs.Repaired(repair, probe)
    for repair in (
        repairs.RecomputeStatistics(),
        repairs.ResetNorms(),
        repairs.Sanitise(),
        repairs.BypassGates(),
        repairs.ShiftBias(),
    )
    for probe in (
        ExactLastLayer(1e-2, "standardised", iterations=80),
        KernelRidge(0.5, 1e-2),
        DiscriminantHead(0.1),
    )
)
# With one label per class nothing can be tuned: the attacker takes the first that works.
BLIND: tuple[Attack, ...] = (
    FineTune(None, "kept", "adamw", 1e-3, augmentation="shift"),
    FineTune(None, "kept", "adamw", 1e-3),
    DiscriminantHead(1.0),
    NearestNeighbours(1, "cosine"),
    ExactLastLayer(1e-1, "standardised"),
    LastLayer("adamw", 1e-2),
    DiscriminantHead(1.0, reading=Reading(1)),
    DiscriminantHead(1.0, reading=Reading("all")),
    FineTune(None, "kept", "adamw", 1e-3, head="probe"),
    *(
        repairs.Repaired(repair, FineTune(None, "kept", "adamw", 1e-3, augmentation="shift"))
        for repair in (
            repairs.RecomputeStatistics(),
            repairs.BalanceLayers("units"),
            repairs.BalanceFactors(),
            repairs.InsertWhitening(),
            repairs.Sanitise(),
            repairs.BypassGates(),
            repairs.Truncate(1),
            repairs.ReinitialiseLast(1),
            repairs.SelfSupervise(),
        )
    ),
    repairs.ReassignHead(),
)

STANDARD_1 = Suite(
    name="standard-1",
    attacks=(
        *LAST_LAYER,
        *EARLIER_BLOCKS,
        *ALL_LAYERS,
        *SOME_LAYERS,
        *REPAIRS,
        *REPAIRED_PROBES,
        repairs.ReassignHead(),
        *(repairs.GradientFree(blocks) for blocks in (0, 1)),
    ),
    budgets=(Budget(1, 60), Budget(10, 150), Budget(100, 250), Budget(None, 300)),
    blind=BLIND,
    space=Space(),
    benign=(
        *(ExactLastLayer(penalty, "standardised") for penalty in (1e-1, 1e-3)),
        *(FineTune(None, "kept", "adamw", rate) for rate in (1e-3, 3e-3)),
        FineTune(None, "kept", "sgd", 0.05),
    ),
    controls=True,
    confirmed=3,
    attackers=5,
    longer=10,
)

STANDARD_2 = replace(
    STANDARD_1,
    name="standard-2",
    confirmed=0,
    attackers=1,
    draws=(10, 11, 6, 6),
    finalists=8,
    attacks=(*STANDARD_1.attacks, *INSIDE),
    blind=(
        *BLIND,
        repairs.Repaired(
            repairs.OpenGates(), FineTune(None, "kept", "adamw", 1e-3, augmentation="shift")
        ),
        repairs.Repaired(repairs.CutInside(), ExactLastLayer(1e-1, "standardised")),
    ),
)
