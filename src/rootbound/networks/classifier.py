"""A classifier: a backbone that makes features and a linear head that reads them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.fresh import FreshNetwork, blocks_of, drawn_on_cpu, reset
from rootbound.networks.head import check_same, find_head, replaced
from rootbound.networks.outputs import outputs_of, tensor_of


class Classifier(nn.Module):
    """`head(backbone(x))`: features `(N, D)`, then one logit a class `(N, C)`.

    A backbone that is an `nn.Sequential` is seen as that many blocks, which attacks may
    retrain one by one from the end; any other backbone is one block.

    Args:
        backbone: maps inputs `(N, *shape)` to features `(N, D)`.
        head: the last layer.
        architecture: the name in `MODELS` that builds this network, if there is one.
        head_name: where the head belongs in a network that was wrapped, such as `fc`.
        fresh: the network that the last blocks get random weights from, in place of drawing
            their own.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear,
        architecture: str = "",
        head_name: str = "",
        fresh: FreshNetwork | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.architecture = architecture
        self.head_name = head_name
        self.fresh = fresh

    @classmethod
    def wrap(
        cls,
        module: nn.Module,
        head: str | None = None,
        example: Tensor | None = None,
        fresh: Callable[[], nn.Module] | None = None,
    ) -> Classifier:
        """Make a classifier of any network whose output comes straight from a linear layer.

        Args:
            module: the network; it is copied, with half-precision weights as float32.
            head: dotted name of its last linear layer, such as `fc` or `classifier.1`. When left
                out, the one whose output is the network's, by the example; without an example,
                the last layer of the network if that is linear.
            example: inputs to run the network with, once; what the classifier makes of them must
                be what the network does.
            fresh: makes the same network with random weights, out of torch's default generator;
                for the from-scratch arm of networks whose modules cannot all draw theirs anew.

        Raises:
            InputError: there is no such linear layer, something follows it, what comes out is no
                tensor, or `fresh` makes another network, or not random weights that the seed
                settles.
        """
        module = copy.deepcopy(module).float()
        expected = None if example is None else outputs_of(module, example)
        head_name = find_head(module, head, example)
        linear = cast(nn.Linear, module.get_submodule(head_name))
        made = cls(replaced(module, head_name, nn.Identity()), linear, head_name=head_name)
        if expected is not None and example is not None:
            check_same(expected, made, head_name, example)
        if fresh is not None:
            made.fresh = FreshNetwork(fresh, head_name)
            made.fresh.check(made.blocks)
        return made

    def unwrapped(self) -> nn.Module:
        """Return a copy of the network that was wrapped, with these weights under its own names.

        Its `state_dict()` is what the network itself loads, without `rootbound`.

        Raises:
            InputError: the classifier is none that was wrapped.
        """
        if not self.head_name:
            raise InputError("a classifier made by wrap", "another", "use its own state_dict()")
        whole = copy.deepcopy(self)  # at once, so that weights which are one stay one
        return replaced(whole.backbone, self.head_name, whole.head)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.head.out_features

    @property
    def blocks(self) -> list[nn.Module]:
        """The backbone's parts, in order."""
        return blocks_of(self.backbone)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the features `(N, D)` of inputs `(N, *shape)`."""
        return tensor_of(self.backbone(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits `(N, C)` of inputs `(N, *shape)`."""
        return cast(Tensor, self.head(self.features(inputs)))

    def split(self, trained: int) -> tuple[nn.Sequential, Classifier]:
        """Cut before the last `trained` blocks; return a frozen prefix and a copy of the rest.

        `prefix(x)` then `rest(...)` computes what the whole does.

        Raises:
            InputError: there are not so many blocks.
        """
        blocks = self.blocks
        if not 0 <= trained <= len(blocks):
            raise InputError(
                f"between 0 and {len(blocks)} blocks to train", str(trained), "ask for fewer"
            )
        cut = len(blocks) - trained
        prefix = copy.deepcopy(nn.Sequential(*blocks[:cut])).eval().requires_grad_(False)
        rest = nn.Sequential(*blocks[cut:])
        return prefix, Classifier(copy.deepcopy(rest), copy.deepcopy(self.head), fresh=self.fresh)

    def with_head(self, classes: int, seed: int) -> Classifier:
        """Return a copy with a fresh head for another number of classes."""
        with drawn_on_cpu(seed):
            head = nn.Linear(self.head.in_features, classes)
        head.to(self.head.weight.device)
        backbone = copy.deepcopy(self.backbone)
        return Classifier(backbone, head, self.architecture, self.head_name, self.fresh)

    def reinitialised(self, seed: int, last: int | None = None) -> Classifier:
        """Return a copy with fresh random weights in the head and the last blocks.

        Args:
            seed: of the new weights.
            last: how many blocks before the head; all of them when left out.

        Raises:
            InputError: there are not so many blocks, or a part holds weights of its own
                and cannot reset them, and no function draws them.
        """
        fresh = copy.deepcopy(self).cpu()
        blocks = fresh.blocks
        last = len(blocks) if last is None else last
        if not 0 <= last <= len(blocks):
            raise InputError(
                f"between 0 and {len(blocks)} blocks to re-initialise", str(last), "ask for fewer"
            )
        with drawn_on_cpu(seed):
            (reset if self.fresh is None else self.fresh.reset)(blocks[len(blocks) - last :])
            fresh._reset_head(all_blocks=last == len(blocks))
        return fresh.to(self.head.weight.device)

    def _reset_head(self, *, all_blocks: bool) -> None:
        """Draw the head anew; one that shares its weights has had them drawn by the backbone."""
        if not any(self.head.weight is weight for weight in self.backbone.parameters()):
            reset([self.head])
        elif not all_blocks:
            # Blocks that stay must stay as they are: the two part here.
            bias = self.head.bias is not None
            self.head = nn.Linear(self.head.in_features, self.head.out_features, bias)

    def last_convolution(self) -> nn.Conv2d | None:
        """Return the last convolution of the backbone, if it has one."""
        found = [part for part in self.backbone.modules() if isinstance(part, nn.Conv2d)]
        return found[-1] if found else None

    def check_inputs(self, shape: Sequence[int]) -> None:
        """Raise an `InputError` when the network cannot take samples of this shape."""
        # Not zeros: to a text model they would be padding, however many.
        outputs_of(self, torch.ones(1, *shape))
