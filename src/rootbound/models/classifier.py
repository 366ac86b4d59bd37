"""A classifier: a backbone that makes features and a linear head that reads them."""

from __future__ import annotations

import contextlib
import copy
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from rootbound.errors import InputError

RESETS = ("reset_parameters", "_reset_parameters", "init_weights")
"""Methods that draw weights anew, as torch, its attention, and timm call them."""


class Classifier(nn.Module):
    """`head(backbone(x))`: features `(N, D)`, then one logit a class `(N, C)`.

    A backbone that is an `nn.Sequential` is seen as that many blocks, which attacks may
    retrain one by one from the end; any other backbone is one block.

    Args:
        backbone: maps inputs `(N, *shape)` to features `(N, D)`.
        head: the last layer.
        architecture: the name in `MODELS` that builds this network, if there is one.
        place: where the head belongs in a network that was wrapped, such as `fc`.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Linear, architecture: str = "", place: str = ""
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.architecture = architecture
        self.place = place

    @classmethod
    def wrap(
        cls, module: nn.Module, head: str | None = None, example: Tensor | None = None
    ) -> Classifier:
        """Make a classifier of any network whose output comes straight from a linear layer.

        Args:
            module: the network; it is copied, with half-precision weights as float32.
            head: dotted name of its last linear layer, such as `fc` or `classifier.1`. When left
                out, the one whose output is the network's, by the example; without an example,
                the last layer of the network if that is linear.
            example: inputs to run the network with, once; what the classifier makes of them must
                be what the network does.

        Raises:
            InputError: there is no such linear layer, or something follows it.
        """
        module = copy.deepcopy(module).float()
        parts = dict(module.named_modules())
        if head is None:
            head = _last(parts) if example is None else _last_to_run(module, example)
        linear = parts.get(head)
        if not head or not isinstance(linear, nn.Linear):
            found = [name for name, part in parts.items() if isinstance(part, nn.Linear)]
            raise InputError(
                f"head to name a linear layer ({', '.join(found) or 'the network has none'})",
                repr(head),
                "pass the name of the one whose outputs are the logits, or an example",
            )
        expected = None if example is None else _outputs(module, example)
        made = cls(_replaced(module, head, nn.Identity()), linear, place=head)
        if example is not None:
            _check_same(expected, made, example)
        return made

    def unwrapped(self) -> nn.Module:
        """Return a copy of the network that was wrapped, with these weights under its own names.

        Its `state_dict()` is what the network itself loads, without `rootbound`.

        Raises:
            InputError: the classifier is none that was wrapped.
        """
        if not self.place:
            raise InputError("a classifier made by wrap", "another", "use its own state_dict()")
        whole = copy.deepcopy(self)  # at once, so that weights which are one stay one
        return _replaced(whole.backbone, self.place, whole.head)

    @classmethod
    def from_pretrained(cls, name: str) -> Classifier:
        """Load what `rootbound train` or `rootbound export` wrote; nothing is executed.

        Args:
            name: a model file, a folder with its card, or `OWNER/NAME` on the Hugging Face hub.

        Raises:
            InputError: there is none, it is damaged, or its card is of other weights.
        """
        # The floor above in this folder knows files; a class that is loaded must not.
        published = importlib.import_module("rootbound.models.published")
        return cast(Classifier, published.load_checkpoint(name)[0])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.head.out_features

    @property
    def blocks(self) -> list[nn.Module]:
        """The backbone's parts, in order."""
        if isinstance(self.backbone, nn.Sequential):
            return list(self.backbone)
        return [self.backbone]

    def features(self, inputs: Tensor) -> Tensor:
        """Return the features `(N, D)` of inputs `(N, *shape)`."""
        return cast(Tensor, self.backbone(inputs))

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
        return prefix, Classifier(copy.deepcopy(rest), copy.deepcopy(self.head))

    def with_head(self, classes: int, seed: int) -> Classifier:
        """Return a copy with a fresh head for another number of classes."""
        with _drawn_on_cpu(seed):
            head = nn.Linear(self.head.in_features, classes)
        head.to(self.head.weight.device)
        return Classifier(copy.deepcopy(self.backbone), head, self.architecture, self.place)

    def reinitialised(self, seed: int, last: int | None = None) -> Classifier:
        """Return a copy with fresh random weights in the head and the last blocks.

        Args:
            seed: of the new weights.
            last: how many blocks before the head; all of them when left out.

        Raises:
            InputError: there are not so many blocks, or a part holds weights of its own
                and cannot reset them.
        """
        fresh = copy.deepcopy(self).cpu()
        blocks = fresh.blocks
        last = len(blocks) if last is None else last
        if not 0 <= last <= len(blocks):
            raise InputError(
                f"between 0 and {len(blocks)} blocks to re-initialise", str(last), "ask for fewer"
            )
        with _drawn_on_cpu(seed):
            _reset(blocks[len(blocks) - last :])
            fresh._reset_head(all_blocks=last == len(blocks))
        return fresh.to(self.head.weight.device)

    def _reset_head(self, *, all_blocks: bool) -> None:
        """Draw the head anew; one that shares its weights has had them drawn by the backbone."""
        if not any(self.head.weight is weight for weight in self.backbone.parameters()):
            _reset([self.head])
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
        try:
            with torch.no_grad():
                # Not zeros: to a text model they would be padding, however many.
                copy.deepcopy(self).eval()(torch.ones(1, *shape))
        except (RuntimeError, ValueError, IndexError) as error:
            raise unfit(shape, error) from None


@contextlib.contextmanager
def _drawn_on_cpu(seed: int) -> Iterator[None]:
    """Draw from a stream with this seed: the same weights, whatever device they are for."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def _last(parts: Mapping[str, nn.Module]) -> str:
    """Return the name of the last layer if that is linear, else nothing: who knows what follows."""
    leaves = [(name, part) for name, part in parts.items() if not list(part.children())]
    name, part = leaves[-1]
    return name if isinstance(part, nn.Linear) else ""


def _replaced(module: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """Return the network with another part of that name."""
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, part)
    return module


def _outputs(module: nn.Module, example: Tensor) -> object:
    with torch.no_grad():
        return copy.deepcopy(module).eval()(example)


def _check_same(expected: object, made: Classifier, example: Tensor) -> None:
    """Raise an `InputError` where a network's outputs are not what its head makes."""
    found: object = None
    with contextlib.suppress(RuntimeError):  # features may not even fit
        found = _outputs(made, example)
    if not (
        isinstance(expected, Tensor)
        and isinstance(found, Tensor)
        and expected.shape == found.shape
        and torch.allclose(expected, found, rtol=1e-4, atol=1e-5)
    ):
        raise InputError(
            "a network whose outputs come straight from its head",
            f"one that does more after {made.place}",
            "name another head, or leave what follows to the loss",
        )


def _last_to_run(module: nn.Module, example: Tensor | None) -> str:
    """Return the name of the linear layer whose output is the network's, empty if there is none."""
    if example is None:
        return ""
    seen: dict[str, Tensor] = {}
    module = copy.deepcopy(module).eval()
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(lambda *call, name=name: seen.update({name: call[-1]}))
    with torch.no_grad():
        outputs = module(example)
    return next((name for name, value in seen.items() if value is outputs), "")


def unfit(shape: Sequence[int], error: Exception) -> InputError:
    """Return the error for samples of a shape that a network cannot take."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return InputError(
        "samples that the model can take",
        f"shape {tuple(shape)} ({reason})",
        "choose another model or resize the data",
    )


def _reset(modules: Sequence[nn.Module]) -> None:
    """Let every module draw its weights anew; one that `resets_children` is asked for all below."""
    for part in modules:
        holds_weights = next(part.parameters(recurse=False), None) is not None
        names = RESETS if holds_weights else RESETS[:1]
        reset = next((one for one in (getattr(part, name, None) for name in names) if one), None)
        if callable(reset):
            reset()
        elif holds_weights:
            raise InputError(
                "modules with reset_parameters(), to draw random weights",
                f"{type(part).__name__}, which holds weights and has none",
                "give it a reset_parameters() method",
            )
        if not getattr(part, "resets_children", False):
            _reset(list(part.children()))
