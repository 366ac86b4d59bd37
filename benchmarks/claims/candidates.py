"""Candidate settings of each method: the same number for every method."""

from __future__ import annotations

from itertools import product

from rootbound.methods import (
    CUTI,
    HNTL,
    IMMA,
    MLAC,
    NTL,
    SOPHON,
    TAR,
    AdversarialHead,
    BestResponse,
    ConditionNumber,
    GradientAscent,
    Method,
    RepNoise,
    ReverseMAML,
    SelectiveDistillation,
    SpectralDeformation,
    Terms,
    Unlearning,
)
from rootbound.training import Recipe

FAST = Recipe(learning_rate=1e-2)

CANDIDATES: dict[str, list[Method]] = {
    "BestResponse": [
        BestResponse(weight=weight, terms=Terms(before_activation=before, depth_weight=depth))
        for weight, before, depth in product((0.1, 0.2), (0.3, 0.5), (0.3, 0.6))
    ],
    "SelectiveDistillation": [
        SelectiveDistillation(Recipe(learning_rate=rate), target=target)
        for target, rate in product((-100.0, -10.0, -5.0, -3.0), (1e-2, 2e-2))
    ],
    "Unlearning": [
        Unlearning(impair_rate=impair, repair_rate=repair, noise_penalty=penalty)
        for impair, repair, penalty in (
            (0.02, 0.01, 0.1),
            (0.01, 0.005, 0.1),
            (0.005, 0.005, 0.1),
            (0.002, 0.002, 0.1),
            (0.01, 0.005, 0.01),
            (0.005, 0.005, 0.01),
            (0.005, 0.002, 0.1),
            (0.002, 0.005, 0.1),
        )
    ],
    "GradientAscent": [
        GradientAscent(along=along, weight=weight, learning_rate=rate)
        for along, weight, rate in product((0, 1), (0.1, 1.0), (2e-3, 1e-2))
    ],
    "AdversarialHead": [
        AdversarialHead(recipe, hidden=hidden, weight=weight)
        for recipe, hidden, weight in product((Recipe(), FAST), (0, 128), (0.3, 1.0))
    ],
    "NTL": [
        NTL(recipe, alpha=alpha, distance_alpha=distance)
        for recipe, alpha, distance in product((Recipe(), FAST), (0.1, 1.0), (0.1, 1.0))
    ],
    "CUTI": [
        CUTI(recipe, alpha=alpha, style=style)
        for recipe, alpha in product((Recipe(), FAST), (0.1, 0.5))
        for style in ("learned", "random")
    ],
    "HNTL": [
        HNTL(recipe, latent=latent, reconstruction=weight)
        for recipe, latent, weight in product((Recipe(), FAST), (16, 64), (0.1, 1.0))
    ],
    "SOPHON": [
        SOPHON(suppression=suppression, suppression_rate=rate, attack_rate=attack)
        for suppression in ("inverse", "uniform")
        for rate, attack in product((1e-3, 3e-3), (0.03, 0.1))
    ],
    "MLAC": [
        MLAC(attack_steps=steps, attack_rate=attack, learning_rate=rate)
        for steps, attack, rate in product((4, 16), (1e-3, 5e-3), (3e-3, 1e-2))
    ],
    "TAR": [
        TAR(tamper_weight=weight, learning_rate=rate, growth=growth)
        for weight, rate, growth in product((1.0, 4.0), (3e-3, 1e-2), (0.0, 0.0625))
    ],
    "RepNoise": [
        RepNoise(alpha=alpha, beta=beta, noise=noise)
        for alpha, beta in product((0.1, 1.0), (0.1, 1.0))
        for noise in ("normal", "rectified")
    ],
    "ConditionNumber": [
        ConditionNumber(
            well_weight=well, ill_weight=ill, immunisation=Recipe(3, learning_rate=rate)
        )
        for well, ill, rate in product((0.0, 1e-2), (1.0, 1e2), (1e-3, 5e-3))
    ],
    "IMMA": [
        IMMA(weight=weight, learning_rate=rate, fresh_head=fresh)
        for weight, rate, fresh in product((0.1, 1.0), (1e-3, 5e-3), (False, True))
    ],
    "ReverseMAML": [
        ReverseMAML(inner_steps=steps, inner_rate=rate, weight=weight)
        for steps, rate, weight in product((1, 3), (0.03, 0.1), (0.1, 0.5))
    ],
    "SpectralDeformation": [
        SpectralDeformation(alpha=alpha, directions=directions)
        for alpha, directions in product((1e2, 1e3, 1e4, 1e5), (8, 25))
    ],
}
