"""Arrays for the report's pictures: what a model looks at, and what its features look like."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rootbound.attacks.probes.exact_last_layer import best_head
from rootbound.core.errors import InputError
from rootbound.data import Data, Task, Tasks
from rootbound.inspection.attributions import captum, token_attributions
from rootbound.networks import Classifier
from rootbound.training import predict

log = logging.getLogger(__name__)

Array = NDArray[np.generic]
LONGEST = 24
"""Letters of a word in a figure."""
SHOWN = 16
"""Classes of which a sample is shown."""
POINTS = 600
"""Undesirable test samples in the two-dimensional view."""


def pictures(model: Classifier, tasks: Tasks) -> dict[str, Array]:
    """Return the arrays behind the figures of one model; without those of a task nobody named.

    Returns:
        `desirable`, `undesirable`: the first test image of each class, uint8 `(C, …)`.
        `cam_original_desirable`, `cam_original_undesirable`, `cam_retrained_undesirable`:
        Grad-CAM maps in [0, 1] as uint8 `(C, H, W)`, absent without a convolution.
        `view`, `view_labels`: the undesirable test features on their first two principal
        axes, float16 `(N, 2)`, and their classes.
        `filters`, `maps`: the first layer's filters and the last convolution's outputs.
        Of texts: `words_desirable`, `words_undesirable`, in place of images, and how much each
        word counts, `shares_…` for the same three as the maps, float16 `(C, L)`; `labels_…`,
        the class of each text, int32 `(C,)`.
        Without Captum neither maps nor words; the log says so.
    """
    found = _view(model, tasks.undesirable.test.subset(POINTS))
    sides = {"undesirable": tasks.undesirable}
    if tasks.desirable is not None:
        sides["desirable"] = tasks.desirable
    samples = {role: _first_of_each(task) for role, task in sides.items()}
    if samples["undesirable"].tokens:
        return found | (_words(model, sides, samples) if _can_explain() else {})
    found |= {role: data.inputs[:].cpu().numpy() for role, data in samples.items()}
    layer = model.last_convolution()
    if layer is None:
        return found
    asked = _questions(model, sides, samples) if _can_explain() else {}
    for name, (shown, role, targets) in asked.items():
        last = shown.last_convolution()
        assert last is not None  # it is the model, or a copy of it
        found[f"cam_{name}"] = grad_cam(shown, last, samples[role], targets)
    return found | _insides(model, layer, samples["undesirable"])


def _can_explain() -> bool:
    """Return whether Captum is installed; where it is not, log what the report will lack."""
    try:
        captum()
    except InputError as error:
        log.warning("The report will not show what models look at: %s", error)
        return False
    return True


def _questions(
    model: Classifier, sides: Mapping[str, Task], samples: Mapping[str, Data]
) -> dict[str, tuple[Classifier, str, Tensor]]:
    """Return what is asked by name: which model, about samples of which task, for which classes."""
    unwanted = samples["undesirable"]
    retrained = with_best_head(model, sides["undesirable"])
    asked = {
        "original_undesirable": (model, "undesirable", predict(model, unwanted).argmax(-1)),
        "retrained_undesirable": (retrained, "undesirable", unwanted.labels),
    }
    if "desirable" in samples:
        asked["original_desirable"] = (model, "desirable", samples["desirable"].labels)
    return asked


def _words(
    model: Classifier, sides: Mapping[str, Task], samples: Mapping[str, Data]
) -> dict[str, Array]:
    """Return the words of texts and how much each counts; nothing without a vocabulary."""
    found: dict[str, Array] = {}
    for name, (shown, role, targets) in _questions(model, sides, samples).items():
        shares = token_attributions(shown, samples[role], targets)
        if shares is not None:
            found[f"shares_{name}"] = _half(shares)
    if not found or not all(task.vocabulary for task in sides.values()):
        return {}
    for role, task in sides.items():
        data = samples[role]
        words = [
            [_shown(task.vocabulary[one]) if one else "" for one in row]
            for row in data.inputs[:].tolist()
        ]
        found[f"words_{role}"] = np.array(words, dtype=np.str_)
        found[f"labels_{role}"] = data.labels.int().cpu().numpy()
    return found


def _shown(word: str) -> str:
    """Return a word as a figure can show it: cut, and without what is no visible letter."""
    visible = (letter if letter.isprintable() else "\N{MIDDLE DOT}" for letter in word[:LONGEST])
    return "".join(visible) or "?"


def grad_cam(model: Classifier, layer: nn.Module, data: Data, targets: Tensor) -> Array:
    """Return Grad-CAM maps as uint8 `(N, H, W)`, each scaled to its own maximum.

    Source: R. Selvaraju et al., "Grad-CAM", ICCV 2017, https://arxiv.org/abs/1610.02391.

    Raises:
        InputError: Captum is not installed.
    """
    library = captum()
    inputs, _ = data.batch(slice(None))
    with torch.enable_grad():
        maps = library.LayerGradCam(model, layer).attribute(
            inputs.requires_grad_(True), targets, relu_attributions=True
        )
    size = tuple(inputs.shape[2:])
    maps = library.LayerAttribution.interpolate(maps.detach(), size, "bilinear")[:, 0]
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
