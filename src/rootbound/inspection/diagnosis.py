"""Diagnosis: numbers about one network that tell a trick from resistance.

The numbers alone are not evidence of resistance. Flags compare them with the undefended arm's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Data, Tasks
from rootbound.inspection.behaviour import measure_behaviour, try_to_measure
from rootbound.inspection.copies import measure_copies
from rootbound.networks import Classifier
from rootbound.networks.layers import ACTIVATIONS
from rootbound.training import predict, seeded

MEASURES = {
    "dead_units_desirable": "largest share, over layers, of units constant over desirable inputs",
    "dead_units_undesirable": "the same for undesirable inputs",
    "blank_inputs_desirable": "largest share, over layers, of desirable inputs with all units 0",
    "blank_inputs_undesirable": "the same for undesirable inputs",
    "effective_rank_undesirable": "exp of the entropy of the spectrum of the covariance of the "
    "last features of undesirable inputs; 0 where they are constant",
    "feature_condition_undesirable": "largest over smallest standard deviation of those features "
    "along any direction",
    "feature_scale": "root mean square of the last features of desirable inputs",
    "running_variance_smallest": "smallest running variance of any batch normalisation",
    "running_variance_largest": "largest running variance of any batch normalisation",
    "spectral_norm_largest": "largest singular value of any layer's weights, outputs by inputs",
    "spectral_norm_ratio": "largest spectral norm of a layer over the smallest",
    "weight_condition": "largest over smallest singular value of one layer, in the worst layer",
    "gradient_smallest": "norm of the gradient over norm of the weights, in the layer where this "
    "ratio is smallest, for undesirable samples, a fresh head and train mode",
    "gradient_ratio": "gradient_smallest over the same ratio in the layer where it is largest",
    "train_mode_difference": "desirable accuracy in evaluation mode minus that in train mode",
    "changing_outputs": "largest share, over tasks, of inputs with different outputs when called "
    "again",
    "not_finite_desirable": "share of desirable inputs with NaN or infinite outputs",
    "not_finite_undesirable": "share of undesirable inputs with NaN or infinite outputs",
    "largest_logit": "largest absolute logit of any class for any desirable input",
    "own_accuracy_undesirable": "share of undesirable inputs that the given head classifies "
    "correctly, if it has as many classes",
    "renamed_accuracy_undesirable": "the same once its outputs are renamed in the best way",
    "gradient_error_features": "relative error of gradients against finite differences, with "
    "respect to a block's inputs, in the worst of three blocks: 1 for no gradient, 2 for one with "
    "the wrong sign",
    "gradient_error_weights": "the same with respect to the weights of a block",
    "other_with_gradients": "largest share, over tasks, of inputs with different outputs in "
    "evaluation mode when gradients are on",
    "other_when_watched": "the same in evaluation mode while the results of calls of torch are "
    "recorded",
    "other_in_training": "the same for train mode, with norms and dropout in evaluation mode, if "
    "the network is not random",
    "other_in_company": "the same for inputs alone, in another order, in a batch of both tasks, or "
    "in batches of other sizes",
    "other_in_copies": "the same for copies of the network; all inputs, if a copy shares weights",
    "idle_weights": "share of the backbone's weights that have no influence on any output",
    "untrained_numbers": "share of the numbers that the backbone computes with that are neither "
    "weights, nor statistics of a norm, nor a pattern such as a mask",
    "out_of_sight": "share of the numbers that the backbone computes with that no call of torch on "
    "a whole batch uses, or that come from outside torch",
    "shut_out": "share of undesirable inputs whose features differ from each other only while an "
    "inner tensor is held at its desirable mean, or replaced by an earlier one, which does not "
    "change desirable outputs",
    "sent_elsewhere": "share of the variance of undesirable labels that the last features explain "
    "only while an inner tensor is held at its desirable mean, or replaced by an earlier one",
    "one_task_weights": "share of the backbone's weights that get a gradient from the inputs of "
    "one task only",
    "jump_between_tasks": "share of the change of the last features, on the way from a desirable "
    "to an undesirable input, that happens within its steepest 256th",
    "likeness_to_given": "of scratch: share of the variance of the given last features, unit by "
    "unit, that newly drawn weights share",
}
"""What each number means. A number is left out if it does not exist for a network, if the network
fails when it is measured, or if it needs desirable samples and there are none."""

SAMPLES = 512
"""Most training samples of each task that are used."""
BATCH_SIZE = 128
ROUNDING_ERROR = 1e-7
"""Singular values below this share of the largest are rounding errors of float32."""
WIDEST_LAYER = 1024
"""Layers with more rows and more columns are left out, because their spectra take too long."""
LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def diagnose(given: Classifier, tasks: Tasks) -> dict[str, float]:
    """Return the numbers of `MEASURES` that exist for a network; all are finite.

    The same network and samples give the same numbers. Shares and accuracies are in [0, 1].

    Args:
        given: The network; it is not changed.
        tasks: The tasks; some of their training samples are used.
    """
    model = copy.deepcopy(given).eval().requires_grad_(True)
    undesirable = tasks.undesirable.train.subset(SAMPLES)
    desirable = None if tasks.desirable is None else tasks.desirable.train.subset(SAMPLES)
    classes = len(tasks.undesirable.classes)
    values = try_to_measure(measure_copies, given, undesirable if desirable is None else desirable)

    def add(measure: Callable[..., dict[str, float]], *arguments: object) -> None:
        # If both tasks give a number of the same name, the larger one counts.
        for name, value in try_to_measure(measure, model, *arguments).items():
            values[name] = max(value, values.get(name, value))

    with seeded(0):
        add(_measure_units, undesirable, "undesirable")
        add(_measure_features, undesirable)
        add(_measure_running_variances)
        add(_measure_spectra)
        add(_measure_gradients, _shuffle(undesirable), classes)
        add(_measure_outputs, undesirable, "undesirable")
        if desirable is not None:
            add(_measure_units, desirable, "desirable")
            add(_measure_outputs, desirable, "desirable")
            add(_measure_sizes, desirable)
            add(_measure_train_mode, _shuffle(desirable))
        if model.classes == classes:
            add(_measure_own_head, undesirable)
        add(measure_behaviour, undesirable, desirable)
    return {name: values[name] for name in MEASURES if math.isfinite(values.get(name, math.nan))}


def _shuffle(data: Data) -> Data:
    """Return the same samples in random order.

    Many data sets are sorted by class. A batch of one class has other batch statistics than an
    attacker's batches, and a gradient of one class alone.
    """
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return data.select(order.to(data.labels.device))


class _OutputRange:
    """A hook that keeps each unit's range, and counts the inputs for which all units are 0."""

    def __init__(self) -> None:
        # The key is the number of units: a network may apply one layer at several places.
        self.ranges: dict[int, tuple[Tensor, Tensor]] = {}
        self.blank = 0

    def __call__(self, _: nn.Module, __: object, outputs: Tensor) -> None:
        # The units are the channels of an image, and the last axis of a text.
        values = outputs.detach().movedim(1 if outputs.dim() != 3 else 2, 0).flatten(1)
        low, high = values.amin(1), values.amax(1)
        known_low, known_high = self.ranges.get(len(low), (low, high))
        self.ranges[len(low)] = torch.minimum(known_low, low), torch.maximum(known_high, high)
        self.blank += int((outputs == 0).flatten(1).all(1).sum())

    def dead_share(self) -> float:
        dead = [low == high for low, high in self.ranges.values()]
        return float(torch.cat(dead).float().mean()) if dead else math.nan


def _measure_units(model: Classifier, data: Data, name: str) -> dict[str, float]:
    # The backbone has a hook too, because activations may be functions, not modules.
    layers = [layer for layer in model.backbone.modules() if isinstance(layer, ACTIVATIONS)]
    hooks = [(layer, _OutputRange()) for layer in (*layers, model.backbone)]
    handles = [layer.register_forward_hook(outputs) for layer, outputs in hooks]
    try:
        predict(model, data, BATCH_SIZE)
    finally:
        for handle in handles:
            handle.remove()
    return {
        f"dead_units_{name}": max(outputs.dead_share() for _, outputs in hooks),
        f"blank_inputs_{name}": max(outputs.blank for _, outputs in hooks) / len(data),
    }


def _measure_features(model: Classifier, undesirable: Data) -> dict[str, float]:
    features = predict(model.backbone, undesirable, BATCH_SIZE).double()
    if not bool(features.isfinite().all()):
        return {}
    deviations = _find_singular_values(features - features.mean(0))
    if not len(deviations):
        return {"effective_rank_undesirable": 0.0}
    variances = deviations.square()
    shares = variances / variances.sum()
    return {
        "effective_rank_undesirable": float((-(shares * shares.log()).sum()).exp()),
        "feature_condition_undesirable": float(deviations[0] / deviations[-1]),
    }


def _find_singular_values(matrix: Tensor) -> Tensor:
    """Return the singular values above rounding errors, the largest first."""
    values: Tensor = torch.linalg.svdvals(matrix.double())
    return values[(values > ROUNDING_ERROR * values[0]) & (values > 0)]


def _measure_running_variances(model: Classifier) -> dict[str, float]:
    norms = (layer for layer in model.modules() if isinstance(layer, NORMS))
    variances = [norm.running_var for norm in norms if norm.running_var is not None]
    if not variances:
        return {}
    together = torch.cat(variances)
    return {
        "running_variance_smallest": float(together.min()),
        "running_variance_largest": float(together.max()),
    }


def _measure_spectra(model: Classifier) -> dict[str, float]:
    layers = [layer for layer in model.modules() if isinstance(layer, LAYERS)]
    matrices = [layer.weight.detach().flatten(1) for layer in layers]
    spectra = [
        values
        for matrix in matrices
        if bool(matrix.isfinite().all()) and min(matrix.shape) <= WIDEST_LAYER
        if len(values := _find_singular_values(matrix))
    ]
    if not spectra:
        return {}
    norms = [float(values[0]) for values in spectra]
    return {
        "spectral_norm_largest": max(norms),
        "spectral_norm_ratio": max(norms) / min(norms),
        "weight_condition": max(float(values[0] / values[-1]) for values in spectra),
    }


def _measure_gradients(model: Classifier, data: Data, classes: int) -> dict[str, float]:
    # As an attacker would: with a new head, in train mode.
    attacked = model.with_head(classes, seed=0).train()
    inputs, labels = data.batch(slice(0, BATCH_SIZE))
    functional.cross_entropy(attacked(inputs), labels).backward()
    relative = {
        name: (0.0 if weight.grad is None else float(weight.grad.double().norm())) / norm
        for name, weight in attacked.named_parameters()
        if weight.dim() > 1 and (norm := float(weight.detach().double().norm())) > 0
    }
    below = [value for name, value in relative.items() if name.startswith("backbone")]
    largest = max(relative.values(), default=0.0)
    if not below or largest == 0.0 or not all(map(math.isfinite, relative.values())):
        return {}
    return {"gradient_smallest": min(below), "gradient_ratio": min(below) / largest}


def _measure_outputs(model: Classifier, data: Data, name: str) -> dict[str, float]:
    logits, again = (predict(model, data, BATCH_SIZE) for _ in range(2))
    same = torch.isclose(logits, again, rtol=1e-4, atol=1e-6, equal_nan=True).all(1)
    return {
        "changing_outputs": float((~same).float().mean()),
        f"not_finite_{name}": float((~logits.isfinite().all(1)).float().mean()),
    }


def _measure_sizes(model: Classifier, desirable: Data) -> dict[str, float]:
    logits = predict(model, desirable, BATCH_SIZE)
    scale = predict(model.backbone, desirable, BATCH_SIZE).double().square().mean().sqrt()
    return {
        "feature_scale": float(scale),
        "largest_logit": float(logits.nan_to_num(0.0).abs().max()),
    }


def _measure_train_mode(model: Classifier, desirable: Data) -> dict[str, float]:
    accuracy = _measure_accuracy(predict(model, desirable, BATCH_SIZE), desirable)
    return {"train_mode_difference": accuracy - _measure_train_mode_accuracy(model, desirable)}


def _measure_accuracy(logits: Tensor, data: Data) -> float:
    return float((logits.argmax(1) == data.labels).double().mean())


@torch.no_grad()
def _measure_train_mode_accuracy(model: Classifier, data: Data) -> float:
    # Use a copy, because running statistics change in train mode.
    training = copy.deepcopy(model).train()
    return _measure_accuracy(
        torch.cat([training(inputs) for inputs, _ in data.in_order(BATCH_SIZE)]), data
    )


def _measure_own_head(model: Classifier, data: Data) -> dict[str, float]:
    logits = predict(model, data, BATCH_SIZE)
    # Use only the classes that occur: if classes are a vocabulary, most do not.
    true, rows = data.labels.unique(return_inverse=True)
    predicted, columns = logits.argmax(1).unique(return_inverse=True)
    table = logits.new_zeros(len(true), len(predicted))
    table.index_put_((rows, columns), logits.new_ones(len(data)), accumulate=True)
    counts = table.cpu().numpy()
    best = linear_sum_assignment(counts, maximize=True)
    return {
        "own_accuracy_undesirable": _measure_accuracy(logits, data),
        "renamed_accuracy_undesirable": float(counts[best].sum()) / len(data),
    }
