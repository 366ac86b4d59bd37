"""Finding the blocks of a network from its calls on an example."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from rootbound.core.devices import set_seed
from rootbound.core.errors import InputError
from rootbound.networks.blocks.code import NotOfTheInputsError
from rootbound.networks.blocks.head import find_traced_head, make_linear
from rootbound.networks.blocks.recording import Ref
from rootbound.networks.blocks.sequence import BlockSequence
from rootbound.networks.blocks.trace import Trace, trace
from rootbound.networks.blocks.traced import cut_network
from rootbound.networks.wrapping import guess_example, replace_module

CHECKS = 3
"""Random batches on which blocks are compared with the network."""
MANY, MOST_NUMBERS = 256, 2**22
"""Most samples of a large batch, and most numbers in it."""


@dataclass(frozen=True)
class Found:
    """The blocks of a network.

    Args:
        backbone: The blocks, which contain all of the network but its head.
        head_name: Dotted name of the head.
        head: The head as a linear layer.
    """

    backbone: BlockSequence
    head_name: str
    head: nn.Linear


def find_blocks(
    network: nn.Module,
    example: Tensor | None,
    head: str | None,
    points: Sequence[str] | None = None,
) -> Found | None:
    """Return the blocks of a network, which share its modules.

    Args:
        network: The network.
        example: Samples that it takes; if left out, samples of some common shapes are tried.
        head: Dotted name of the head, if the user names it.
        points: Dotted names of the modules after which to cut, if the user names them.

    Returns:
        None where its calls depend on the values of its inputs, or it takes no common shape.

    Raises:
        InputError: It has no head, or cannot be cut where the user says.
    """
    samples = guess_example(network) if example is None else example
    if samples is None and points is not None:
        raise InputError(
            "an example, to cut the network where blocks says",
            "none, and no sample of a common shape fits",
            "pass example=, samples that the network takes",
        )
    if samples is None:
        return None
    for batches, strict in list_batches(network, samples):
        training = network.training
        traces = trace(network, batches, strict=strict)
        network.train(training)
        if traces is None:
            continue
        traced = find_traced_head(traces, network, head)
        ends = None if points is None else [find_point(traces, name) for name in points]
        try:
            parts = cut_network(network, traces, traced.features, ends)
        except NotOfTheInputsError:
            continue
        found = Found(BlockSequence(parts, network), traced.name, make_linear(network, traced.name))
        if _agree(network, found, traced.last, batches):
            if example is None:
                parts[0].shape = None  # the shape was guessed, so others must not be refused
            if network.get_submodule(found.head_name) is found.head:
                replace_module(network, found.head_name, nn.Identity())
            return found
    if points is not None:
        raise InputError(
            "blocks to name modules, in order, after which everything flows through one tensor",
            ", ".join(points),
            "name others, or leave blocks out: they are found",
        )
    return None


def list_batches(
    network: nn.Module, example: Tensor
) -> Iterator[tuple[tuple[Tensor, Tensor], bool]]:
    """Yield pairs of batches to record calls with, and whether the calls must be the same.

    The batches differ in values and in size. In the first pair, images also differ in their sides
    and texts in their lengths, if the network takes that; then its blocks take it too.
    """
    first = example[torch.arange(2) % len(example)]
    second = draw_samples_like(example[torch.arange(3) % len(example)], 0)
    resized = _resize(second)
    if resized is not None and _takes(network, resized):
        yield (first, resized), True
    yield (first, second), False


def _resize(samples: Tensor) -> Tensor | None:
    """Return larger images, or shorter texts; None for other samples."""
    if samples.dim() == 4 and samples.is_floating_point():
        return samples.repeat(1, 1, 2, 2)[
            :, :, : samples.shape[2] * 3 // 2, : samples.shape[3] * 3 // 2
        ]
    if samples.dim() == 2 and not samples.is_floating_point() and samples.shape[1] > 2:
        return samples[:, :-1]
    return None


def _takes(network: nn.Module, samples: Tensor) -> bool:
    try:
        with torch.no_grad():
            copy.deepcopy(network).eval()(samples)
    except Exception:  # it may fail in any way
        return False
    return True


def draw_samples_like(example: Tensor, seed: int) -> Tensor:
    """Return samples with other values, of the same range."""
    generator = torch.Generator().manual_seed(seed)
    if example.is_floating_point():
        noise = torch.randn(example.shape, generator=generator).to(example)
        return example.mean() + noise * example.std().clamp_min(0.1)
    highest = max(2, int(example.max()) + 1)
    return torch.randint(1, highest, example.shape, generator=generator).to(example)


def find_point(traces: dict[bool, Trace], name: str) -> dict[bool, Ref]:
    """Return the tensor that a module returns.

    Raises:
        InputError: There is no such module, or it returns no tensor.
    """
    refs = {mode: found.returned.get(name) for mode, found in traces.items()}
    if not all(isinstance(ref, Ref) for ref in refs.values()):
        known = ", ".join(name for name in traces[False].returned if name)
        raise InputError(
            f"blocks to name modules that return a tensor ({known[:200]})", repr(name), "correct it"
        )
    return {mode: ref for mode, ref in refs.items() if isinstance(ref, Ref)}


def _agree(network: nn.Module, found: Found, last: bool, batches: tuple[Tensor, Tensor]) -> bool:
    """Return whether blocks and head compute the same as the network, on random samples.

    Outputs and gradients must be equal to the last bit, unless something follows the head. Larger
    batches than the recorded ones, and calls without gradients, are compared too. Recorded calls
    never change, so a network that changes itself has no blocks.
    """
    own = copy.deepcopy(network)
    whole = nn.Sequential(*copy.deepcopy((found.backbone, found.head)))
    for seed in range(CHECKS):
        samples = draw_samples_like(batches[seed % 2], seed + 1)
        for training in (True, False) if last else (False,):
            outputs, gradients = _run(own.train(training), samples, seed)
            other_outputs, other_gradients = _run(whole.train(training), samples, seed)
            if not _are_same(outputs, other_outputs, exactly=last):
                return False
            if last and gradients != other_gradients:
                return False
    one = batches[0][:1]
    many = max(1, min(MANY, MOST_NUMBERS // one.numel()))
    for count, without_gradients in ((1, torch.no_grad()), (many, torch.inference_mode())):
        samples = draw_samples_like(one[torch.zeros(count, dtype=torch.long)], CHECKS + 1)
        with without_gradients:
            pair = (_take_first(part.eval()(samples)) for part in (own, whole))
            if not _are_same(*pair, exactly=last):
                return False
    return not _changes_itself(own, one)


def _are_same(outputs: Tensor, others: Tensor, *, exactly: bool) -> bool:
    if exactly:
        return torch.equal(outputs, others)
    return torch.allclose(outputs.flatten(1), others, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def _changes_itself(network: nn.Module, samples: Tensor) -> bool:
    """Return whether a network changes with each call, for example because it counts its calls."""
    states = []
    for _ in range(2):
        network(samples)
        held = (
            value
            for part in network.modules()
            for value in (*vars(part).values(), *part.buffers(recurse=False))
        )
        states.append(repr([_summarise(value) for value in held]))
    return states[0] != states[1]


def _summarise(value: object) -> float | None:
    """Return a number, or the sum of a plain tensor; None for anything else."""
    if not isinstance(value, Tensor):
        return value if isinstance(value, bool | int | float) else None
    is_odd = value.is_complex() or value.is_quantized or value.is_meta
    return None if is_odd or value.layout != torch.strided else float(value.double().sum())


def _take_first(outputs: object) -> Tensor:
    return cast(Tensor, outputs[0] if isinstance(outputs, tuple | list) else outputs)


def _run(network: nn.Module, samples: Tensor, seed: int) -> tuple[Tensor, set[float]]:
    """Run a network; return its outputs and the size of each gradient."""
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        outputs = _take_first(network(samples))
        weighted = (outputs * torch.randn(outputs.shape).to(outputs)).sum()
    parameters = [value for value in network.parameters() if value.requires_grad]
    if not parameters:  # all are frozen
        return outputs.detach(), set()
    gradients = torch.autograd.grad(weighted, parameters, allow_unused=True)
    sizes = {float(value.double().abs().sum()) for value in gradients if value is not None}
    return outputs.detach(), sizes
