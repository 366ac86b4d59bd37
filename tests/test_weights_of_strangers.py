"""Files of weights as training code writes them: read, or refused in a line that says what to do.

One row is one kind of file. What was done to make the weights fit is told each time.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks import shallow_cnn
from rootbound.publishing import load_weights
from rootbound.publishing.foreign import count_classes
from rootbound.publishing.tensor_files import read_content

INDEX = "w.safetensors.index.json"
Write = Callable[[Path], Path]


class Network(nn.Module):
    """A small network with a part, a norm that counts, and two layers that may be one."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        first = nn.Linear(4, 4)
        self.body = nn.Sequential(first, nn.BatchNorm1d(4))
        self.mixing = nn.Linear(4, 4)
        if tied:
            self.mixing.weight = first.weight
        self.fc = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.fc(self.mixing(self.body(inputs)))
        return outputs


def network(seed: int = 7, *, tied: bool = False) -> Network:
    """Return a network with the same random weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network(tied=tied)


W = network().state_dict()
OTHERS = network(8).state_dict()
TIED = network(tied=True).state_dict()


def named(prefix: str, weights: Mapping[str, Tensor] = W) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in weights.items()}


def inside(wrapper: str) -> dict[str, Tensor]:
    """Return weights of a network one part of which is wrapped."""
    return {name.replace("body.", f"body.{wrapper}."): value for name, value in W.items()}


def averaged() -> dict[str, Any]:
    return torch.optim.swa_utils.AveragedModel(network()).state_dict()


def optimiser() -> dict[str, Any]:
    module = network()
    made = torch.optim.Adam(module.parameters())
    module(torch.zeros(2, 4)).sum().backward()
    made.step()
    return made.state_dict()


def saved(content: object, name: str = "w.pt", **options: Any) -> Write:
    def write(folder: Path) -> Path:
        torch.save(content, folder / name, **options)
        return folder / name

    return write


def safe(weights: Mapping[str, Tensor], name: str = "w.safetensors") -> Write:
    def write(folder: Path) -> Path:
        save_file({key: value.contiguous() for key, value in weights.items()}, folder / name)
        return folder / name

    return write


def raw(content: bytes, name: str = "w.pt") -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def tied_model(folder: Path) -> Path:
    save_model(network(tied=True), str(folder / "w.safetensors"))
    return folder / "w.safetensors"


def shards(ending: str, *, without: str = "", named_by: str = INDEX, lost: str = "") -> Write:
    """Return what writes weights into two files and an index.

    Args:
        ending: Ending of the files.
        without: Number of a file that is not written.
        named_by: File that is given.
        lost: Name of a tensor that the index names, and no file holds.
    """

    def write(folder: Path) -> Path:
        places: dict[str, str] = {}
        for number, part in enumerate((list(W)[:4], list(W)[4:]), 1):
            name = f"w-{number:05}-of-00002.{ending}"
            kind = safe if ending == "safetensors" else saved
            if str(number) != without:
                kind({key: W[key] for key in part}, name)(folder)
            places |= dict.fromkeys(part, name)
        if lost:
            places[lost] = "w-00001-of-00002.safetensors"
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
        return folder / named_by

    return write


def outside(folder: Path) -> Path:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"fc.weight": "../w.safetensors"}}))
    return folder / INDEX


def archive(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in members.items():
            file.writestr(name.replace("__", "/"), text)
    return content.getvalue()


def torchscript(folder: Path) -> Path:
    # As `torch.jit.save` lays it out, which torch no longer recommends to call.
    return raw(archive(w__constants="", **{"w/constants.pkl": "", "w/data.pkl": ""}))(folder)


def bytes_of(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def half(kind: torch.dtype) -> dict[str, Tensor]:
    return {
        name: value.to(kind) if value.is_floating_point() else value for name, value in W.items()
    }


LIGHTNING = {
    "epoch": 3, "global_step": 40, "pytorch-lightning_version": "2.4.0",
    "state_dict": named("model.") | {"criterion.weight": torch.ones(3)},
    "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.5)}},
    "optimizer_states": [optimiser()], "lr_schedulers": [], "hyper_parameters": {"rate": 0.1},
}  # fmt: skip
HALVES = [{name: W[name] for name in part} for part in (list(W)[:5], list(W)[5:])]
PARTS = {
    part: {
        name.removeprefix(f"{part}."): value for name, value in W.items() if name.startswith(part)
    }
    for part in ("body", "mixing", "fc")
}
UNCOUNTED = {name: value for name, value in W.items() if "num_batches" not in name}
COPY = {name: value.clone() for name, value in W.items()}
LOG = defaultdict(list, {"loss": [0.5, 0.25]})
TWO = {"model_state_dict": W, "ema_state_dict": OTHERS}

# (kind, what writes it, key, words that are told)
READ: tuple[tuple[str, Write, str | None, str], ...] = (
    ("as they are", saved(W), None, ""),
    ("safetensors", safe(W), None, ""),
    ("safetensors named .pt", safe(W, "w.pt"), None, ""),
    ("PyTorch named .safetensors", saved(W, "w.safetensors"), None, ""),
    (".pth.tar", saved(W, "w.pth.tar"), None, ""),
    ("before zip", saved(W, _use_new_zipfile_serialization=False), None, ""),
    ("before the counter of norms", saved(UNCOUNTED), None, ""),
    ("DataParallel", saved(named("module.")), None, "'module.' was removed"),
    ("torch.compile", saved(named("_orig_mod.")), None, "'_orig_mod.' was removed"),
    ("model.", saved(named("model.")), None, "'model.' was removed"),
    ("network.", saved(named("network.")), None, "'network.' was removed"),
    ("any prefix", safe(named("teacher.net.")), None, "'teacher.net.' was removed"),
    ("parallel and compiled", saved(named("module._orig_mod.")), None, "'module._orig_mod.'"),
    ("compiled and parallel", saved(named("_orig_mod.module.")), None, "'_orig_mod.module.'"),
    ("a part in parallel", saved(inside("module")), None, "module was left out within names"),
    ("a part compiled", saved(inside("_orig_mod")), None, "_orig_mod was left out within names"),
    ("FSDP", saved(inside("_fsdp_wrapped_module")), None, "_fsdp_wrapped_module was left out"),
    ("prefix and a part", saved(named("model.", inside("module"))), None, "'model.' was removed"),
    ("averaged", saved(averaged()), None, "left out (n_averaged)"),
    ("state_dict", saved({"state_dict": W, "epoch": 1}), None, "under the key 'state_dict'"),
    ("model_state_dict", saved({"model_state_dict": W}), None, "under the key 'model_state_dict'"),
    ("model", saved({"model": W}), None, "under the key 'model'"),
    ("net", saved({"net": W, "acc": 0.5, "epoch": 1}), None, "under the key 'net'"),
    ("ema alone", saved({"ema": W, "model": None}), None, "under the key 'ema'"),
    ("params", saved({"params": W}), None, "under the key 'params'"),
    ("DeepSpeed", saved({"module": W, "global_steps": 1}), None, "under the key 'module'"),
    ("any key", saved({"student weights": W}), None, "under the key 'student weights'"),
    ("keys in keys", saved({"run": {"state_dict": named("module.")}}), None, "'run.state_dict'"),
    ("beside a tensor", saved({"model": W, "best": torch.tensor(0.5)}), None, "the key 'model'"),
    ("beside an optimiser", saved({"model": W, "optimizer": optimiser()}), None, "'model'"),
    ("Lightning", saved(LIGHTNING, "w.ckpt"), None, "1 beside them were left out (criterion.w"),
    ("two that fit, by key", saved(TWO), "model_state_dict", "under the key 'model_state_dict'"),
    ("two prefixes, by key", saved({"state_dict": named("student.") | named("teacher.", OTHERS)}),
     "student", "'student.' was removed"),
    ("two prefixes, by the whole key",
     saved({"state_dict": named("model.") | named("ema.", OTHERS)}), "state_dict.model",
     "'model.' was removed"),
    ("two keys, one prefix", saved({"ema": named("module."), "net": OTHERS}), "ema", "'module.'"),
    ("two keys of which one fits", saved({"generator": {"x": torch.ones(2)}, "critic": W}), None,
     "under the key 'critic'"),
    ("one of other shapes", saved({"a": W | {"fc.bias": torch.ones(9)}, "b": W}), None, "'b'"),
    ("shards", shards("safetensors"), None, "2 shards were put together"),
    ("shards of PyTorch", shards("bin"), None, "2 shards were put together"),
    ("parts by their names", saved({"backbone": HALVES[0], "head": HALVES[1], "epoch": 1}), None,
     "2 dictionaries of the file were put together"),
    ("parts by their keys", saved({"run": {"fc": PARTS["fc"], "mixing": PARTS["mixing"],
                                           "body": PARTS["body"]}}), None,
     "3 dictionaries of the file were put together; the prefix 'run.' was removed"),
    ("the outermost, by key", saved({**W, "ema": OTHERS}), "", ""),
    ("a copy beside", saved({"model": W, "ema": COPY}), None, "under the key 'model'"),
    ("a copy in half of them", saved({"model": named("a.") | named("b.")}), None, "'a.' was"),
    ("a defaultdict beside", saved({"model": W, "log": LOG}), None, "'model'"),
    ("a defaultdict of weights", saved(defaultdict(dict, {"model": W})), None, "'model'"),
    ("a set beside", saved({"model": W, "seen": {1, 2}}), None, "'model'"),
    ("NumPy's state beside", saved({"model": W, "rng": np.random.get_state()}), None, "'model'"),
    ("NumPy's numbers beside", saved({"model": W, "acc": np.float64(0.5)}), None, "'model'"),
    ("options beside", saved({"model": W, "args": Namespace(lr=0.1)}), None, "'model'"),
    ("a path beside", saved({"model": W, "args": {"data": Path("x")}}), None, "'model'"),
    ("parameters", saved(dict(network().state_dict(keep_vars=True))), None, ""),
    ("float64", saved(half(torch.float64)), None, "tensors of float64 are read as float32"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("write", "key", "told"), [row[1:] for row in READ], ids=[r[0] for r in READ]
)
def test_finds_weights(write: Write, key: str | None, told: str, tmp_path: Path) -> None:
    module = network(9)
    done = load_weights(module, write(tmp_path), key)
    expected = UNCOUNTED if told == "" else W
    state = module.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert told in done and bool(told) == bool(done)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("write", [saved, safe])
def test_widens_half_precision_and_says_so(
    kind: torch.dtype, write: Callable[[Any], Write], tmp_path: Path
) -> None:
    module = network(9)
    done = load_weights(module, write(half(kind))(tmp_path))
    assert str(kind).removeprefix("torch.") in done and "float32" in done
    assert all(
        torch.equal(value, half(kind)[name].to(value.dtype))
        for name, value in module.state_dict().items()
    )


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(tied_model, id="save_model"),
        pytest.param(saved(TIED), id="both names"),
        pytest.param(
            saved({k: v for k, v in TIED.items() if k != "mixing.weight"}), id="the first name"
        ),
        pytest.param(
            saved(named("module.", {k: v for k, v in TIED.items() if k != "body.0.weight"})),
            id="the second name and a prefix",
        ),
    ],
)
def test_accepts_tied_weights_once_or_twice(write: Write, tmp_path: Path) -> None:
    module = Network(tied=True)
    load_weights(module, write(tmp_path))
    assert module.mixing.weight is module.get_parameter("body.0.weight")
    assert all(torch.equal(value, TIED[name]) for name, value in module.state_dict().items())


def test_reads_names_of_a_wrapped_network(tmp_path: Path) -> None:
    for module in (nn.ModuleDict({"network": network(9)}), nn.DataParallel(network(9))):
        done = load_weights(module, saved({"state_dict": named("model.")})(tmp_path))
        assert all(
            torch.equal(a, b) for a, b in zip(module.state_dict().values(), W.values(), strict=True)
        )
        assert "'model.' was removed" in done


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
NAMES = {f"layer{number}.weight": torch.ones(2) for number in range(5)}
RUN = "module = torch.load('w.pt', weights_only=False)"
SAVE = "torch.save(module.state_dict(), 'weights.pt')"

# (kind, what writes it, key, words of the error)
REFUSED: tuple[tuple[str, Write, str | None, tuple[str, ...]], ...] = (
    ("two that fit", saved(TWO), None,
     ("2 that fit", "'model_state_dict', 'ema_state_dict'", "`key`")),
    ("two prefixes", saved(named("student.") | named("teacher.", OTHERS)), None,
     ("'student', 'teacher'", "`key`")),
    ("no such key", saved(TWO), "ema", ("ema_state_dict, model_state_dict", "`key`")),
    ("a key of none", saved(W), "ema", ("under no key", "leave out `key`")),
    ("a key that does not fit", saved({"a": NAMES, "b": W}), "a", ("unexpected", "layer0.weight")),
    ("the outermost and another", saved({**W, "ema": OTHERS}), None,
     ("'' (the outermost), 'ema'", "`key`")),
    ("a whole module", saved(Whole()), None, ("whole module", "Whole", RUN + ";", SAVE)),
    ("a module of torch", saved(nn.Sequential(nn.Linear(2, 2))), None, ("whole module", RUN, SAVE)),
    ("a module before zip", saved(Whole(), _use_new_zipfile_serialization=False), None,
     ("whole module", RUN, SAVE)),
    ("a module under a key", saved({"model": Whole(), "epoch": 1}), None,
     ("whole module", RUN + "['model'] (or another key);", SAVE)),
    ("TorchScript", torchscript, None, ("TorchScript", "torch.jit.load('w.pt')", SAVE)),
    ("an object", saved({"model": W, "x": io.StringIO("x")}), None, ("would run code", "StringIO")),
    ("a pickle of something else", raw(pickle.dumps({"a": [1, 2]})), None, ("torch.save",)),
    ("a web page", raw(PAGE), None, ("a web page", "not the page")),
    ("a web page named .safetensors", raw(b"\n\n" + PAGE, "w.safetensors"), None, ("a web page",)),
    ("Git LFS", raw(POINTER), None, ("Git LFS", "git lfs pull")),
    ("Git LFS of safetensors", raw(POINTER, "w.safetensors"), None, ("git lfs pull",)),
    ("an answer in JSON", raw(b'{"error": "Not found"}'), None, ("Not found",)),
    ("an empty file", raw(b""), None, ("an empty file",)),
    ("nothing but zeros", raw(bytes(900)), None, ("something else",)),
    ("cut zip", raw(bytes_of(W)[:-900]), None, ("its end is missing", "download")),
    ("cut safetensors", lambda folder: raw(safe(W)(folder).read_bytes()[:-20])(folder), None,
     ("not whole",)),
    ("the start of safetensors", lambda folder: raw(safe(W)(folder).read_bytes()[:60])(folder),
     None, ("the beginning of a safetensors file",)),
    ("another zip", raw(archive(README="text", w__x="1")), None, ("README", "another zip archive")),
    ("torch.export", raw(archive(w__archive_format="pt2")), None, ("torch.export",)),
    ("HDF5", raw(b"\x89HDF\r\n\x1a\n" + bytes(40)), None, ("HDF5",)),
    ("gzip", raw(b"\x1f\x8b" + bytes(40)), None, ("gzip", "unpack")),
    ("GGUF", raw(b"GGUF" + bytes(40)), None, ("GGUF",)),
    ("an optimiser alone", saved(optimiser()), None, ("without any tensor", "state")),
    ("NumPy's arrays", saved({"a": np.ones(3)}), None, ("without any tensor", "a")),
    ("a tensor", saved(torch.ones(3)), None, ("Tensor", "state_dict() alone")),
    ("other names", saved(NAMES), None,
     ("10 missing: body.0.weight, body.0.bias, body.1.weight and 7 more",
      "5 unexpected: layer0.weight, layer1.weight, layer2.weight and 2 more")),
    ("too few", saved(named("module.", dict(list(W.items())[2:]))), None,
     ("2 missing: body.0.weight, body.0.bias",)),
    ("too many", saved(W | {"extra.weight": torch.ones(2)}), None, ("1 unexpected: extra.weight",)),
    ("other shapes", saved({"model": W | {"fc.weight": torch.ones(9, 4)}}), None,
     ("1 of another shape: fc.weight 9x4 in place of 3x4", "'model'")),
    ("a name that breaks lines", saved({"a\nb\x1b[1m": torch.ones(2)}), None, ("a\\nb\\x1b[1m",)),
    ("an adapter", safe({"base_model.model.fc.lora_A.weight": torch.ones(2, 4)}), None, ("merge",)),
    ("quantised", saved(W | {"fc.weight": torch.ones(3, 4, dtype=torch.int8)}), None,
     ("int8", "quantised")),
    ("sparse", saved(W | {"fc.weight": torch.ones(3, 4).to_sparse()}), None, ("sparse",)),
    ("NaN", saved(W | {"fc.bias": torch.full((3,), torch.nan)}), None,
     ("these weights hold NaN, in fc.bias", "take others")),
    ("a shard", shards("safetensors", named_by="w-00002-of-00002.safetensors"), None,
     ("all 2 shards", INDEX)),
    ("a shard that is missing", shards("safetensors", without="2"), None,
     ("1 of them, without w-00002-of-00002.safetensors",)),
    ("a tensor that no shard has", shards("safetensors", lost="more.weight"), None,
     ("1 missing", "more.weight")),
    ("shards elsewhere", outside, None, ("lie beside it",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("write", "key", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_explains_what_it_refuses(
    write: Write, key: str | None, told: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        load_weights(network(9), write(tmp_path), key)
    message = str(caught.value)
    assert all(words in message for words in told), message
    assert len(message.splitlines()) == 1 and "train it again" not in message


def test_refuses_tied_weights_that_differ(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"body\.0\.weight and mixing\.weight that differ"):
        load_weights(Network(tied=True), saved(W)(tmp_path))


def test_reads_the_only_file_of_a_folder(tmp_path: Path) -> None:
    shards("safetensors")(tmp_path)
    assert "2 shards" in load_weights(network(9), tmp_path)
    (tmp_path / INDEX).unlink()
    with pytest.raises(InputError, match="one file of weights"):
        load_weights(network(9), tmp_path)


def test_newer_code_reads_weights_under_old_names(tmp_path: Path) -> None:
    module, other = (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))) for _ in range(2)
    )
    names = {
        "0.parametrizations.weight.original0": "0.weight_g",
        "0.parametrizations.weight.original1": "0.weight_v",
    }
    older = {names.get(name, name): value for name, value in other.state_dict().items()}
    load_weights(module, saved(older)(tmp_path))
    assert torch.equal(module(torch.ones(1, 2)), other(torch.ones(1, 2)))


def test_model_keeps_what_was_done(tmp_path: Path) -> None:
    model = shallow_cnn(3, (1, 16, 16))
    path = saved(named("module.", model.state_dict()))(tmp_path)
    assert load_weights(model, path) == model.conversion != ""


HEAD = {"head.weight": torch.ones(4, 2)}


@pytest.mark.parametrize("content", [named("module.", HEAD), {"a": HEAD, "b": HEAD}])
def test_counts_classes_under_any_prefix(content: Any, tmp_path: Path) -> None:
    assert count_classes(read_content(saved(content)(tmp_path))) == 4


def test_refuses_ambiguous_numbers_of_classes(tmp_path: Path) -> None:
    parts = {name: {"head.weight": torch.ones(size, 2)} for name, size in (("a", 3), ("b", 4))}
    content = read_content(saved(parts)(tmp_path))
    assert count_classes(content, "b") == 4
    with pytest.raises(InputError, match="several, for 3, 4 classes"):
        count_classes(content)


def test_refuses_tensors_that_the_index_does_not_list(tmp_path: Path) -> None:
    shards("safetensors")(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    name, place = next(iter(index["weight_map"].items()))
    del index["weight_map"][name]
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match=rf"0 missing, 1 others \({name}\)"):
        load_weights(network(9), tmp_path)
    assert (tmp_path / place).is_file()


def test_distinguishes_copies_from_weights_that_differ_in_one_tensor(tmp_path: Path) -> None:
    last = list(W)[-1]
    moved = {**W, last: W[last] + 1}
    load_weights(network(9), saved({"model": W, "ema": dict(W)})(tmp_path))
    with pytest.raises(InputError, match="2 that fit the network"):
        load_weights(network(9), saved({"model": W, "ema": moved})(tmp_path))
