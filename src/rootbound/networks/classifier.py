"""A classifier: a backbone that makes features and a linear head that reads them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.core.files import as_path
from rootbound.networks.blocks.finding import find_blocks
from rootbound.networks.blocks.head import restore_head
from rootbound.networks.blocks.repeated import find_repeated
from rootbound.networks.blocks.sequence import Block, BlockSequence
from rootbound.networks.computed import detach_tensors, make_picklable
from rootbound.networks.copying import copy_parts
from rootbound.networks.fresh import FreshNetwork, draw_on_cpu, reset, reset_blocks
from rootbound.networks.freshness import check_drawn
from rootbound.networks.origin import Origin
from rootbound.networks.weights import unfrozen
from rootbound.networks.wrapping import (
    check_head,
    compute_outputs,
    find_head,
    find_sizes,
    list_blocks,
    replace_module,
    require_network,
    require_tensor,
    separate_shared_weights,
)


class Classifier(nn.Module):
    """`head(backbone(x))`: features `(N, D)`, then one logit for each class, `(N, C)`.

    A backbone that is an `nn.Sequential` has its modules as blocks, which attacks may retrain one
    by one from the end; any other backbone is one block. `wrap` finds the blocks of any network.

    Args:
        backbone: Network that maps inputs `(N, *shape)` to features `(N, D)`.
        head: The last layer.
        architecture: Name in `MODELS` that builds this network, if there is one.
        head_name: Dotted name of the head in a network that was wrapped, such as `fc`.
        fresh: Source of random weights for the last blocks, if they cannot draw their own.
    """

    new_head = False
    """Whether the head is random, because the weights had none for this task."""
    conversion = ""
    """A description of how the weights of a file were converted."""
    shape: tuple[int, ...] = ()
    """Shape of the samples that it was trained on; empty where that is not known."""
    origin: Origin | None = None
    """How it was trained, if that is known."""
    saver: ClassVar[Callable[[Classifier, Path], None] | None] = None
    """The function that writes a model. `publishing`, which knows the layout of files, sets it."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear,
        architecture: str = "",
        head_name: str = "",
        fresh: FreshNetwork | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.training = backbone.training
        self.architecture = architecture
        self.head_name = head_name
        self.fresh = fresh
        make_picklable(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and for other processes."""
        detach_tensors(self)
        state: dict[str, Any] = super().__getstate__()
        return state

    def __deepcopy__(self, memory: dict[int, Any]) -> Self:
        """Return a copy that shares nothing."""
        state = self.__getstate__()
        copy_parts(self, memory)
        copied = type(self).__new__(type(self))
        memory[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(state, memory))
        return copied

    @classmethod
    def wrap(
        cls,
        module: nn.Module,
        head: str | None = None,
        example: Tensor | None = None,
        fresh: Callable[[], nn.Module] | None = None,
        blocks: Sequence[str] | None = None,
    ) -> Classifier:
        """Make a classifier of any network whose output comes straight from a linear layer.

        The network is run with the example to record its calls, and is cut into blocks at the
        points through which everything flows. If its calls depend on the values of its inputs, it
        is cut between its repeated layers; if it has none, it is one block.

        Args:
            module: The network; it is copied, with half-precision weights as float32.
            head: Dotted name of its last linear layer, such as `fc` or `classifier.1`. If left
                out, it is the layer whose output is the network's output for the example; without
                an example, the last layer of the network if that is linear.
            example: Inputs that the network takes. If left out, inputs of some common shapes are
                tried.
            fresh: Function that makes the same network with random weights from torch's default
                generator. The scratch arm needs it if some module cannot draw its weights anew.
            blocks: Dotted names of the modules after which to cut, instead of the points found.

        Raises:
            InputError: There is no such linear layer, something follows it, the output is not a
                tensor, the network cannot be cut where `blocks` says, or `fresh` makes another
                network, or one whose weights are not random or depend on more than the seed.
        """
        detach_tensors(require_network(module))
        if not isinstance(example, Tensor | None):
            raise InputError(
                "an example as a tensor", type(example).__name__, "pass samples that it takes"
            )
        module = copy.deepcopy(getattr(module, "_orig_mod", module)).float()
        outputs = None if example is None else compute_outputs(module, example)
        if example is not None:
            find_sizes(module, example)
        with unfrozen(module):
            found = find_blocks(module, example, head, blocks)
            if found is None:
                wrapped = cls._wrap_by_layers(module, head, example, outputs)
            else:
                wrapped = cls(found.backbone, found.head, head_name=found.head_name)
        if fresh is not None:
            wrapped.draw_from(fresh)
        return wrapped.train(module.training)

    @classmethod
    def _wrap_by_layers(
        cls, module: nn.Module, head: str | None, example: Tensor | None, outputs: Tensor | None
    ) -> Classifier:
        """Return a classifier whose blocks are repeated layers, or one block without any."""
        head_name = find_head(module, head, example)
        linear = cast(nn.Linear, module.get_submodule(head_name))
        backbone = replace_module(module, head_name, nn.Identity())
        wrapped = cls(backbone, linear, head_name=head_name)
        if outputs is not None and example is not None:
            check_head(wrapped, head_name, outputs, example)
            repeated = find_repeated(backbone, example)
            if repeated is not None:
                wrapped.backbone = BlockSequence(repeated, backbone)
        return wrapped

    def draw_from(self, function: Callable[[], nn.Module]) -> None:
        """Take random weights from a function that makes the same network.

        Args:
            function: Makes the wrapped network, with weights from torch's default generator.

        Raises:
            InputError: It makes another network, or one whose weights are not random or depend on
                more than the seed; then they are drawn as before.
        """
        fresh = FreshNetwork(function, self.head_name)
        fresh.check(self.blocks)
        self.fresh = fresh

    def unwrapped(self) -> nn.Module:
        """Return a copy of the network that was wrapped, with these weights under its own names.

        Its `state_dict()` is what the network itself loads, without `rootbound`.

        Raises:
            InputError: The classifier was not made by `wrap`.
        """
        if not self.head_name:
            raise InputError("a classifier made by wrap", "another", "use its own state_dict()")
        copied = copy.deepcopy(self)  # in one step, so that shared weights stay shared
        whole = copied.backbone
        if isinstance(whole, BlockSequence):
            whole = whole.give_back()
        return replace_module(
            whole, self.head_name, restore_head(whole, self.head_name, copied.head)
        )

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the weights and their description into a folder, which `rootbound.load` reads.

        The weights of your own network can also be read by its `load_state_dict`; to load it here,
        pass the network: `rb.load(folder, network)`.

        Raises:
            InputError: The model was not trained here, so the shape of its samples is not known; or
                the folder cannot be written.
        """
        save = type(self).saver
        if save is None:
            raise InputError("a way to write models", "none yet", "import rootbound.publishing")
        save(self, as_path(folder, "folder"))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.head.out_features

    @property
    def blocks(self) -> list[nn.Module]:
        """The backbone's parts, in order."""
        return list_blocks(self.backbone)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the features `(N, D)` of inputs `(N, *shape)`."""
        return require_tensor(self.backbone(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits `(N, C)` of inputs `(N, *shape)`."""
        return cast(Tensor, self.head(self.features(inputs)))

    def split(self, trained: int) -> tuple[nn.Sequential, Classifier]:
        """Cut before the last `trained` blocks; return a frozen prefix and a copy of the rest.

        `rest(prefix(x))` computes the same as the whole classifier.

        Raises:
            InputError: There are not so many blocks.
        """
        blocks = self.blocks
        if not 0 <= trained <= len(blocks):
            raise InputError(
                f"between 0 and {len(blocks)} blocks to train", str(trained), "ask for fewer"
            )
        detach_tensors(self)
        cut = len(blocks) - trained
        prefix = copy.deepcopy(nn.Sequential(*blocks[:cut])).eval().requires_grad_(False)
        rest = nn.Sequential(*blocks[cut:])
        rest.training = self.training  # `train` would change the modes of its parts
        return prefix, Classifier(copy.deepcopy(rest), copy.deepcopy(self.head), fresh=self.fresh)

    def with_head(self, classes: int, seed: int) -> Classifier:
        """Return a copy with a fresh head for another number of classes."""
        with draw_on_cpu(seed):
            head = nn.Linear(self.head.in_features, classes)
        head.to(self.head.weight.device).train(self.training)
        backbone = copy.deepcopy(self).backbone
        return Classifier(backbone, head, self.architecture, self.head_name, self.fresh)

    def reinitialised(self, seed: int, last: int | None = None) -> Classifier:
        """Return a copy with fresh random weights in the head and the last blocks.

        Args:
            seed: Seed of the new weights.
            last: Number of blocks before the head to draw anew, as far as their modules can. If
                left out, the result is a network from scratch, with nothing left of this one.

        Raises:
            InputError: There are not so many blocks, a module with weights of its own cannot draw
                them anew and there is no `fresh`, or something of this network is left.
        """
        if last is None:
            drawn = self._redraw(seed, len(self.blocks))
            check_drawn(self, drawn, lambda other: self._redraw(other, len(self.blocks)))
            return drawn
        return self._redraw(seed, last)

    def _redraw(self, seed: int, last: int) -> Classifier:
        copied = copy.deepcopy(self).cpu()
        blocks = copied.blocks
        if not 0 <= last <= len(blocks):
            raise InputError(
                f"between 0 and {len(blocks)} blocks to re-initialise", str(last), "ask for fewer"
            )
        blocks = separate_shared_weights(copied.backbone, blocks, len(blocks) - last)
        with draw_on_cpu(seed):
            chosen = blocks[len(blocks) - last :]
            if self.fresh is not None:
                self.fresh.reset(chosen)
            elif isinstance(copied.backbone, BlockSequence):
                reset_blocks(copied.backbone, cast(list[Block], chosen))
            else:
                reset(chosen)
            if not any(copied.head.weight is weight for weight in copied.backbone.parameters()):
                reset([copied.head])
            elif last < len(blocks):
                # The head shares its weights with a block that stays as it is: separate them.
                # (Where every block is drawn anew, the backbone has drawn the head's weights.)
                bias = self.head.bias is not None
                copied.head = nn.Linear(self.head.in_features, self.head.out_features, bias)
        return copied.to(self.head.weight.device)

    def check_inputs(self, shape: Sequence[int]) -> None:
        """Raise an `InputError` when the network cannot take samples of this shape."""
        # Use ones, because a text model would take zeros as padding.
        compute_outputs(self, torch.ones(1, *shape))
