"""Arrays for the report's pictures: what predictions depend on, and what features look like."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rootbound.attacks.probes.exact_last_layer import best_head
from rootbound.data import Data, Task, Tasks
from rootbound.inspection.attributions import can_attribute, grad_cam, token_attributions
from rootbound.networks import Classifier
from rootbound.training import predict

Array = NDArray[np.generic]
LONGEST_WORD = 24
"""Most letters of a word in a figure."""
CLASSES_SHOWN = 16
"""Most classes of which a sample is shown."""
LEAST_SIDE = 4
"""Fewest pixels per side of a map that can show places."""
POINTS_IN_VIEW = 600
"""Most undesirable test samples in the two-dimensional view."""


def make_pictures(model: Classifier, tasks: Tasks) -> dict[str, Array]:
    """Return the arrays for the figures of one model; those of an unknown task are left out.

    Returns:
        `desirable`, `undesirable`: The first test image of each class, uint8 `(C, …)`.
        `cam_original_desirable`, `cam_original_undesirable`, `cam_retrained_undesirable`:
        Grad-CAM maps in [0, 1] as uint8 `(C, H, W)`, absent without a convolution.
        `view`, `view_labels`: The undesirable test features on their first two principal
        axes, float16 `(N, 2)`, and their classes, int32 `(N,)`.
        `filters`, `maps`: The first layer's filters, and outputs of the convolution of the maps.
        Texts have `words_desirable` and `words_undesirable` instead of images; `shares_…`, how
        much each word counts, for the same three cases as the maps, float16 `(C, L)`; and
        `labels_…`, the class of each text, int32 `(C,)`.
        Without Captum there are neither maps nor words.
    """
    arrays = _view_features(model, tasks.undesirable.test.subset(POINTS_IN_VIEW))
    sides = {"undesirable": tasks.undesirable}
    if tasks.desirable is not None:
        sides["desirable"] = tasks.desirable
    samples = {role: _select_first_of_each_class(task) for role, task in sides.items()}
    if samples["undesirable"].tokens:
        return arrays | (_weigh_words(model, sides, samples) if can_attribute() else {})
    arrays |= {role: data.inputs[:].cpu().numpy() for role, data in samples.items()}
    one = samples["undesirable"].select(torch.tensor([0]))
    name = find_convolution(model, one)
    if name is None:
        return arrays
    explained = _list_predictions(model, sides, samples) if can_attribute() else {}
    for called, (network, role, targets) in explained.items():
        layer = network.get_submodule(name)
        arrays[f"cam_{called}"] = grad_cam(network, layer, samples[role], targets)
    first = next(part for part in model.backbone.modules() if isinstance(part, nn.Conv2d))
    maps: list[Tensor] = []
    convolution = model.get_submodule(name)
    hook = convolution.register_forward_hook(lambda *arguments: maps.append(arguments[2].relu()))
    try:
        predict(model, one)
    finally:
        hook.remove()
    filters = first.weight.detach().mean(1)
    return arrays | {"filters": _to_float16(filters), "maps": _to_float16(maps[0][0])}


def find_convolution(model: Classifier, data: Data) -> str | None:
    """Return the name of the last convolution with a large map; None without convolutions.

    If every map is small, it is the last convolution.
    """
    last = {part: name for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}
    sides: dict[str, int] = {}

    def note(part: nn.Module, _: object, outputs: Tensor) -> None:
        assert isinstance(part, nn.Conv2d)
        sides[last[part]] = min(outputs.shape[-2:])

    hooks = [part.register_forward_hook(note) for part in last]
    try:
        predict(model, data)
    finally:
        for hook in hooks:
            hook.remove()
    large = [name for name in last.values() if sides.get(name, 0) >= LEAST_SIDE]
    return next(reversed(large or list(last.values())), None)


def with_best_head(model: Classifier, task: Task) -> Classifier:
    """Return the model with its last layer replaced by the exact best one for a task."""
    features = Data(_compute_finite_features(model, task.train), task.train.labels)
    return Classifier(copy.deepcopy(model).backbone, best_head(features, len(task.classes)))


def as_npz(arrays: Mapping[str, Array]) -> bytes:
    """Return the content of a file with these arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_npz(path: Path) -> dict[str, Array] | None:
    """Return the arrays of a file, None if there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception:  # any damage is acceptable: the pictures can be made again
        return None


def _list_predictions(
    model: Classifier, sides: Mapping[str, Task], samples: Mapping[str, Data]
) -> dict[str, tuple[Classifier, str, Tensor]]:
    """Return, by name: a network, the task whose samples it gets, and the classes to explain."""
    undesirable = samples["undesirable"]
    retrained = with_best_head(model, sides["undesirable"])
    predictions = {
        "original_undesirable": (model, "undesirable", predict(model, undesirable).argmax(-1)),
        "retrained_undesirable": (retrained, "undesirable", undesirable.labels),
    }
    if "desirable" in samples:
        predictions["original_desirable"] = (model, "desirable", samples["desirable"].labels)
    return predictions


def _weigh_words(
    model: Classifier, sides: Mapping[str, Task], samples: Mapping[str, Data]
) -> dict[str, Array]:
    """Return the words of texts and how much each counts; nothing without a vocabulary."""
    arrays: dict[str, Array] = {}
    for name, prediction in _list_predictions(model, sides, samples).items():
        network, role, targets = prediction
        shares = token_attributions(network, samples[role], targets)
        if shares is not None:
            arrays[f"shares_{name}"] = _to_float16(shares)
    if not arrays or not all(task.vocabulary for task in sides.values()):
        return {}
    for role, task in sides.items():
        rows = samples[role].inputs[:].tolist()
        words = [
            [_shorten(task.vocabulary[token]) if token else "" for token in row] for row in rows
        ]
        arrays[f"words_{role}"] = np.array(words, dtype=np.str_)
        arrays[f"labels_{role}"] = samples[role].labels.int().cpu().numpy()
    return arrays


def _shorten(word: str) -> str:
    """Return a word that a figure can show: cut, with dots for invisible characters."""
    letters = (letter if letter.isprintable() else "\N{MIDDLE DOT}" for letter in word)
    return "".join(islice(letters, LONGEST_WORD)) or "?"


def _select_first_of_each_class(task: Task) -> Data:
    """Return the first test sample of each class that has one; no sample is hand-picked."""
    labels = task.test.labels
    rows = [(labels == label).nonzero() for label in range(len(task.classes))]
    firsts = [row[0, 0] for row in rows if len(row)]
    return task.test.select(torch.stack(firsts[:CLASSES_SHOWN]))


def _compute_finite_features(model: Classifier, data: Data) -> Tensor:
    """Return features, with 0 for those that are not finite, so that a picture can be drawn."""
    return predict(model.backbone, data).clone().nan_to_num_(0.0, 0.0, 0.0)


def _view_features(model: Classifier, data: Data) -> dict[str, Array]:
    features = _compute_finite_features(model, data).double()
    centred = features - features.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    # The sign of a principal axis is arbitrary: fix it, so that figures can be compared.
    points *= torch.where(points.abs().amax(0) == points.amax(0), 1.0, -1.0)
    return {"view": _to_float16(points), "view_labels": data.labels.int().cpu().numpy()}


def _to_float16(values: Tensor) -> Array:
    """Return float16; values that are too large for it are scaled, which pictures do not show."""
    values = values.nan_to_num(0.0, 0.0, 0.0)
    largest = float(values.abs().max())
    scaled: Tensor = values * (1e3 / largest) if largest > 6e4 else values
    return scaled.cpu().numpy().astype(np.float16)
