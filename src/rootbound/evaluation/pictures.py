"""Arrays for the report's pictures: what a model looks at, and what its features look like."""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rootbound.attacks.probes.exact_last_layer import best_head
from rootbound.data import Data
from rootbound.evaluation.attributions import token_attributions
from rootbound.models import Classifier
from rootbound.tasks import Task, TaskPair
from rootbound.training import predict

Array = NDArray[np.generic]
LONGEST = 24
"""Letters of a word in a figure."""
SHOWN = 16
"""Classes of which a sample is shown."""
POINTS = 600
"""Undesirable test samples in the two-dimensional view."""


def pictures(model: Classifier, tasks: TaskPair) -> dict[str, Array]:
    """Return the arrays behind the figures of one model.

    Returns:
        `desirable`, `undesirable`: the first test image of each class, uint8 `(C, …)`.
        `cam_original_desirable`, `cam_original_undesirable`, `cam_retrained_undesirable`:
        Grad-CAM maps in [0, 1] as uint8 `(C, H, W)`, absent without a convolution.
        `view`, `view_labels`: the undesirable test features on their first two principal
        axes, float16 `(N, 2)`, and their classes.
        `filters`, `maps`: the first layer's filters and the last convolution's outputs.
        Of texts: `words_desirable`, `words_undesirable`, in place of images, and how much each
        word counts, `shares_…` for the same three as the maps, float16 `(C, L)`; `labels_…`,
        the class of each text, int16 `(C,)`.
    """
    desirable, undesirable = _first_of_each(tasks.desirable), _first_of_each(tasks.undesirable)
    found = _view(model, tasks.undesirable.test.subset(POINTS))
    if desirable.tokens:
        return found | _words(model, tasks, desirable, undesirable)
    found |= {"desirable": desirable.inputs.cpu().numpy()}
    found |= {"undesirable": undesirable.inputs.cpu().numpy()}
    layer = model.last_convolution()
    if layer is None:
        return found
    retrained = with_best_head(model, tasks.undesirable)
    predicted = predict(model, undesirable).argmax(-1)
    new_layer = retrained.last_convolution()
    assert new_layer is not None  # it is a copy of a model that has one
    found |= {
        "cam_original_desirable": grad_cam(model, layer, desirable, desirable.labels),
        "cam_original_undesirable": grad_cam(model, layer, undesirable, predicted),
        "cam_retrained_undesirable": grad_cam(
            retrained, new_layer, undesirable, undesirable.labels
        ),
        **_insides(model, layer, undesirable),
    }
    return found


def _words(
    model: Classifier, tasks: TaskPair, desirable: Data, undesirable: Data
) -> dict[str, Array]:
    """Return the words of texts and how much each counts; nothing without a vocabulary."""
    predicted = predict(model, undesirable).argmax(-1)
    retrained = with_best_head(model, tasks.undesirable)
    shares = {
        "original_desirable": token_attributions(model, desirable, desirable.labels),
        "original_undesirable": token_attributions(model, undesirable, predicted),
        "retrained_undesirable": token_attributions(retrained, undesirable, undesirable.labels),
    }
    found = {f"shares_{name}": _half(one) for name, one in shares.items() if one is not None}
    sides = (
        ("desirable", desirable, tasks.desirable),
        ("undesirable", undesirable, tasks.undesirable),
    )
    if not found or not all(task.vocabulary for _, _, task in sides):
        return {}
    for role, data, task in sides:
        words = [
            [_shown(task.vocabulary[one]) if one else "" for one in row]
            for row in data.inputs.tolist()
        ]
        found[f"words_{role}"] = np.array(words, dtype=np.str_)
        found[f"labels_{role}"] = data.labels.short().numpy()
    return found


def _shown(word: str) -> str:
    """Return a word as a figure can show it: cut, and without what is no visible letter."""
    visible = (letter if letter.isprintable() else "\N{MIDDLE DOT}" for letter in word[:LONGEST])
    return "".join(visible) or "?"


def grad_cam(model: Classifier, layer: nn.Module, data: Data, targets: Tensor) -> Array:
    """Return Grad-CAM maps as uint8 `(N, H, W)`, each scaled to its own maximum.

    Source: R. Selvaraju et al., "Grad-CAM", ICCV 2017, https://arxiv.org/abs/1610.02391.
    """
    from captum.attr import LayerAttribution, LayerGradCam  # noqa: PLC0415  # slow to import

    inputs, _ = data.batch(slice(None))
    with torch.enable_grad():
        maps = LayerGradCam(model, layer).attribute(
            inputs.requires_grad_(True), targets, relu_attributions=True
        )
    size = tuple(inputs.shape[2:])
    maps = LayerAttribution.interpolate(maps.detach(), size, "bilinear")[:, 0]
    maps = maps.nan_to_num(0.0, 0.0, 0.0)
    strongest = maps.flatten(1).amax(1).clamp_min(1e-12)
    scaled: Tensor = maps / strongest[:, None, None] * 255
    return scaled.round().byte().cpu().numpy()


def with_best_head(model: Classifier, task: Task) -> Classifier:
    """Return the model with the exact best last layer for a task in place of its own."""
    features = Data(_features(model, task.train), task.train.labels)
    return Classifier(copy.deepcopy(model.backbone), best_head(features, len(task.classes)))


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
    except Exception:  # whatever is wrong with it, the pictures can be made again
        return None


def _first_of_each(task: Task) -> Data:
    """Return the first test sample of every class that has one: no picking of pretty ones."""
    labels = task.test.labels
    found = [(labels == label).nonzero() for label in range(len(task.classes))]
    return task.test.select(torch.stack([one[0, 0] for one in found if len(one)][:SHOWN]))


def _features(model: Classifier, data: Data) -> Tensor:
    """Return features, those that are not finite as 0: a picture is drawn in any case."""
    return predict(model.backbone, data).clone().nan_to_num_(0.0, 0.0, 0.0)


def _view(model: Classifier, data: Data) -> dict[str, Array]:
    features = _features(model, data).double()
    centred = features - features.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    # The sign of a principal axis is arbitrary: fix it, so that figures can be compared.
    points *= torch.where(points.abs().amax(0) == points.amax(0), 1.0, -1.0)
    return {"view": _half(points), "view_labels": data.labels.byte().cpu().numpy()}


def _insides(model: Classifier, layer: nn.Module, data: Data) -> dict[str, Array]:
    first = next(part for part in model.backbone.modules() if isinstance(part, nn.Conv2d))
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda *arguments: seen.append(arguments[2].relu()))
    predict(model, data.select(torch.tensor([0])))
    hook.remove()
    return {
        "filters": _half(first.weight.detach().mean(1)),
        "maps": _half(seen[0][0]),
    }


def _half(values: Tensor) -> Array:
    """Return float16; where that is too narrow the values are scaled, which no picture shows."""
    values = values.nan_to_num(0.0, 0.0, 0.0)
    largest = float(values.abs().max())
    scaled: Tensor = values * (1e3 / largest) if largest > 6e4 else values
    return scaled.cpu().numpy().astype(np.float16)
