"""Selective knowledge distillation: copy the teacher on desirable inputs, go dead on others."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.core.fields import PositiveInt, Range
from rootbound.data import Batch, Data, TaskPair
from rootbound.methods.base import Method, learn
from rootbound.methods.shared.batches import draw_union
from rootbound.networks import Classifier
from rootbound.training import Recipe, minimise, predict


@dataclass(frozen=True)
class SelectiveDistillation(Method):
    """Regress undesirable inputs below zero before the last ReLU, so that features become zero.

    Stage 1: a teacher learns the desirable task. Stage 2: a student `s`, the same network
    cut before its last ReLU, descends `MSE(s(x), teacher features)` on desirable inputs and
    `MSE(s(x), target)` on undesirable ones. Stage 3: the ReLU is put back and a new head is
    trained on the desirable task, all else frozen.

    Paper: R. Yang, E. Seeyave, "Transfer-resistant model training", MIT 6.s898
    deep-learning blog, 2023 (no equation numbers).
    Differs from the paper: Adam under a one-cycle rate in every stage (the post names no
    optimiser). As in the post, the student starts from fresh weights. The post's target is -100,
    which costs a small network much desirable accuracy.

    Args:
        recipe: How long and how fast to train the teacher, and then the student.
        target: Target for undesirable inputs before the last ReLU, below 0.
        head_epochs: Epochs of the new head.

    Raises:
        InputError: `target` is not negative, or the backbone does not end in a ReLU.
    """

    recipe: Recipe = Recipe(learning_rate=2e-2)
    target: Annotated[float, Range(below=0)] = -3.0
    head_epochs: PositiveInt = 1

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        """Train the teacher, distil it into the model, and give the model a new head."""
        relu = _find_last_relu(model, tasks.desirable.train)
        teacher = copy.deepcopy(model)
        learn(teacher, tasks.desirable.train, self.recipe, generator, title="teacher")
        fresh = model.reinitialised(seed=int(torch.randint(2**31, (), generator=generator)))
        frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
        drawn = {name: value for name, value in fresh.state_dict().items() if name not in frozen}
        model.load_state_dict(drawn, strict=False)
        self._distil(model, relu, teacher.requires_grad_(False), tasks, generator)
        self._train_head(model, tasks, generator)

    def _distil(
        self,
        model: Classifier,
        relu: nn.ReLU,
        teacher: Classifier,
        tasks: TaskPair,
        generator: torch.Generator,
    ) -> None:
        desirable = tasks.desirable.train
        wanted = predict(teacher.backbone, desirable).clone()
        numbered = replace(desirable, labels=torch.arange(len(desirable)))
        seen: list[Tensor] = []

        def remember(_: nn.Module, arguments: tuple[Tensor]) -> None:
            # Only the last call counts. Copy its input, because the ReLU may work in place.
            seen[:] = [arguments[0].clone()]

        hook = relu.register_forward_pre_hook(remember)

        def loss(pair: tuple[Batch, Batch], _: float) -> Tensor:
            (inputs, positions), (others, _labels) = pair
            model.features(torch.cat([inputs, others]))
            outputs = seen[0].flatten(1)
            targets = torch.full_like(outputs, self.target)
            targets[: len(inputs)] = wanted[positions]
            return functional.mse_loss(outputs, targets)

        steps = self.recipe.steps(len(desirable))
        minimise(
            model.backbone,
            loss,
            draw_union(numbered, tasks.known_undesirable, self.recipe.batch_size, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="SelectiveDistillation",
            changes=(),
        )
        hook.remove()

    def _train_head(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        data = tasks.desirable.train
        steps = self.head_epochs * max(1, len(data) // self.recipe.batch_size)

        def loss(batch: Batch, _: float) -> Tensor:
            with torch.no_grad():
                features = model.features(batch[0])
            return functional.cross_entropy(model.head(features), batch[1])

        minimise(
            model.head,
            loss,
            data.batches(self.recipe.batch_size, steps, generator),
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            title="new head",
            changes=(),
        )


def _find_last_relu(model: Classifier, data: Data) -> nn.ReLU:
    """Return the ReLU whose outputs are the features, apart from their shape."""
    calls: list[tuple[nn.ReLU, Tensor]] = []
    hooks = [
        part.register_forward_hook(
            lambda *call: calls.append((call[0], call[-1].flatten(1).clone()))
        )
        for part in model.backbone.modules()
        if isinstance(part, nn.ReLU)
    ]
    features = predict(model.backbone, data.select(torch.arange(1)))
    for hook in hooks:
        hook.remove()
    if not calls or not torch.equal(calls[-1][1], features):
        raise InputError(
            "a backbone that ends in a ReLU",
            "one that does more after its last ReLU" if calls else "one without any",
            "choose another model or another method",
        )
    return calls[-1][0]
