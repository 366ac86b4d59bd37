"""Train a model with one method and save it as safetensors."""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch.nn import functional

from rootbound.cli import options as shared
from rootbound.cli.methods import with_importable_method as prepare
from rootbound.cli.methods import with_recipe
from rootbound.cli.networks import resolve_network
from rootbound.cli.scaling import as_trained
from rootbound.cli.tasks import resolve_tasks
from rootbound.core import distributed, progress
from rootbound.core.devices import find_device, on
from rootbound.core.errors import InputError
from rootbound.core.fields import SEEDS, require_whole
from rootbound.core.files import make_folder
from rootbound.data import Data, TaskPair
from rootbound.flags import ONE_BLOCK
from rootbound.methods import METHODS, Method
from rootbound.networks import Classifier
from rootbound.networks.one_block import count_layers_in_one_block
from rootbound.publishing import Origin, save_model
from rootbound.records import Configuration
from rootbound.report.balance import IMBALANCED
from rootbound.training import balanced_accuracy, predict
from rootbound.training.state import TrainingState

__all__ = ["EXAMPLES", "Options", "prepare", "run"]
EXAMPLES = (
    "rootbound train --method BestResponse --out defended.safetensors",
    "rootbound train --data photos --desirable cat,dog --undesirable car,truck",
    "rootbound train --from plain.safetensors --undesirable-data DATA --out defended.safetensors",
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Options of `rootbound train`."""

    tasks: shared.TaskOptions = shared.TaskOptions()
    network: shared.NetworkOptions = shared.NetworkOptions()
    scaling: shared.ScalingOptions = shared.ScalingOptions()
    method: Method | None = shared.option(
        f"How to train: {', '.join(METHODS)}, or file.py:Class; settings by --method.NAME, which "
        "--method.help CLASS lists (default: BestResponse).",
        brief="a name, or file.py:Class (default: BestResponse)",
    )
    from_: str | None = shared.option(
        "Model file, published folder or OWNER/NAME of the hub to go on from, in place of new "
        "weights. Its architecture, data and classes are taken too, where nothing else is said; "
        "with --model, weights of that network from any program.",
        brief="a model to go on from, in place of new weights",
        metavar="MODEL",
    )
    device: str = shared.option(shared.DEVICE, default="cpu", brief=shared.DEVICE_IN_BRIEF)
    recipe: shared.RecipeOptions = shared.RecipeOptions()
    seed: int = 0
    """Seed of weights and batches."""
    checkpoint_every: float = shared.option(
        "Minutes between saves of the training beside --out; if it is killed, the same command "
        "resumes there, and ends with the same weights.",
        default=10.0,
        metavar="MINUTES",
    )
    out: str = shared.option(
        "File for the trained model.", default="model.safetensors", brief="file for the model",
        metavar="FILE",
    )  # fmt: skip


@dataclass(frozen=True)
class Training:
    """The network, method and tasks of a training, with all options resolved.

    Args:
        method: Method, with the recipe from the options.
        model: Network to train.
        tasks: Tasks, with inputs scaled for the network.
        shape: Shape of the samples that the network was built for.
        origin: The origin for the model's file.
    """

    method: Method
    model: Classifier
    tasks: TaskPair
    shape: tuple[int, ...]
    origin: Origin


def run(options: Options) -> int:
    """Train and save the model, and print its accuracy; several processes under `torchrun`."""
    with distributed.join():
        path = Path(options.out)
        if path.is_dir():
            raise InputError("a file name in --out", f"the folder {path}", "add a name to it")
        given = Path(options.from_ or "")
        if given.is_file() and path.exists() and path.samefile(given):
            raise InputError("another file in --out than in --from", str(path), "name another")
        if not options.checkpoint_every >= 0:
            raise InputError("minutes of at least 0", str(options.checkpoint_every), "correct it")
        require_whole("seed", options.seed, SEEDS)
        with progress.step("reading model and data"):
            training = _resolve(options)
        if count_layers_in_one_block(training.model) is not None and distributed.is_main_process():
            log.warning("%s", ONE_BLOCK)
        make_folder(path.parent)
        state = TrainingState(Path(f"{path}.unfinished"), 60 * options.checkpoint_every)
        device = find_device(options.device)
        model, tasks = training.model.to(device), training.tasks.to(device)
        with on(device):
            model = training.method.fit(model, tasks, seed=options.seed, training_state=state).cpu()
        if distributed.is_main_process():
            save_model(model, path, training.shape, training.origin)
            state.clear()
            reached = _accuracy_in_words(model, training.tasks.desirable.test)
            sys.stdout.write(f"{reached}\nmodel: {path}\n")
    return 0


def _resolve(options: Options) -> Training:
    """Resolve the options; where they say nothing, the file of --from decides."""
    if options.method is None:
        raise InputError("a method", "none", f"name one of {', '.join(METHODS)}")
    (method,) = with_recipe([options.method], options.recipe, options.device)
    network = resolve_network(options.network, options.from_)
    origin, second = network.origin, options.tasks.undesirable_data
    if origin is not None:
        # Sharing of samples, and the classes of a second data set, are decided anew.
        origin = replace(origin, shared=False)
        if second is not None:
            origin = replace(origin, undesirable_data=second, undesirable="")
    source = resolve_tasks(options.tasks, origin, network.tokeniser, network.published)
    tasks, source = source.read_named(partial(network.fit, resize=True))
    tasks = as_trained(tasks, options.scaling, network.scaling, keep_second=source.has_second)
    samples, layout = tasks.desirable.train, source.layout
    origin = Origin(
        method=Configuration.of(method),
        arm="defended" if method.defends else "undefended",
        data=source.data,
        undesirable_data=source.undesirable_data,
        desirable=source.desirable.text,
        undesirable=source.undesirable.text,
        seed=options.seed,
        shared=source.shared,
        tokeniser=source.tokeniser if samples.tokens else "",
        length=layout.length if samples.tokens else 0,
        input_column=layout.inputs or "",
        label_column=layout.label or "",
        label_names=",".join(layout.label_names),
        train_split=layout.train_split or "",
        test_split=layout.test_split or "",
        holdout=layout.holdout or 0.0,
        layout=layout.axes or "",
        scaling=samples.stated_scaling,
        classes_by_name=True,
    )
    model = network.build(tasks, options.seed)
    return Training(method, model, tasks, network.shape or samples.shape, origin)


def _accuracy_in_words(model: Classifier, test: Data) -> str:
    """Describe a model's accuracy; for a language model also its loss."""
    logits = predict(model, test)
    right = logits.argmax(1) == test.labels
    correct = float(right.float().mean())
    accuracy = f"desirable test accuracy: {100 * correct:.2f} %"
    if test.stratified:
        counts = test.labels.bincount()
        if int(counts.max()) <= IMBALANCED * int(counts.min()):
            return accuracy
        (balanced,) = balanced_accuracy(right.unsqueeze(1), test.labels)
        frequent = 100 * int(counts.max()) / len(test)
        return (
            f"{accuracy} ({100 * balanced:.2f} % where every class counts the same; the most "
            f"frequent class is {frequent:.1f} % of the test samples)"
        )
    loss = float(functional.cross_entropy(logits, test.labels))
    in_words = f"{loss:.3f} nats a token (perplexity {math.exp(loss):.1f})"
    return f"{accuracy}\ndesirable test loss: {in_words}"
