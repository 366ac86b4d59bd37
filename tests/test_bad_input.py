"""Bad input: exit code 2, one line that says what to do, and nothing written. One row per case."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from folders import contents
from rootbound.cli import main
from rootbound.data import Data
from rootbound.datasets import Dataset
from rootbound.networks import shallow_cnn
from rootbound.publishing import Origin, save_model
from rootbound.records import Configuration, Evaluation
from toy import write_idx_folder

TRAIN = "train --data data --desirable 0-2 --undesirable 3-5 --epochs 1 --out new/model.safetensors"
DEMO = (
    "demo --data data --desirable 0-2 --undesirable 3-5 --epochs 1 --quick --workers 1 "
    "--labels 5 --steps 2 --out new/run"
)
AUDIT = "audit model.safetensors --seeds 1 --workers 1 --labels 5 --steps 2 --out new/run"
OWN_AUDIT = (
    "audit net.pt --model net.py:network --undesirable-data data --undesirable 3-5 --seeds 1 "
    "--workers 1 --labels 5 --steps 2 --out new/run"
)
IMAGES = "data/train-images-idx3-ubyte.gz"
OWN_NETWORK = """
import torch
from torch import nn
from torch.nn import functional

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 3))

def raises():
    raise FileNotFoundError("no such file: weights.bin")

def ends():
    raise SystemExit(3)

def sized(size):
    return network()

def number(classes):
    return classes

class Kept(nn.Module):
    def __init__(self, value, kind):
        super().__init__()
        if kind == "buffer":
            self.register_buffer("value", value)
        elif kind == "parameter":
            self.value = nn.Parameter(value)
        else:
            self.value = value

    def forward(self, inputs):
        return functional.linear(inputs.flatten(1), self.value).relu()

def bringing(kind):
    value = torch.randn(16, 256, generator=torch.Generator().manual_seed(0)) / 16
    return nn.Sequential(Kept(value, kind), nn.Linear(16, 3))

def buffer():
    return bringing("buffer")

def parameter():
    return bringing("parameter")

def attribute():
    return bringing("attribute")

class Noisy(nn.Sequential):
    def forward(self, inputs):
        return super().forward(functional.dropout(inputs))

def noisy():
    return Noisy(*network())

class Counting(nn.Sequential):
    calls = 0

    def forward(self, inputs):
        self.calls += 1
        return super().forward(inputs + self.calls)

def counting():
    return Counting(*network())

class Failing(nn.Sequential):
    def forward(self, inputs):
        return super().forward(inputs)[self.nothing]

def failing():
    return Failing(*network())
"""
OWN_METHOD = """
from dataclasses import dataclass

import rootbound as rb


class NoMethod:
    pass


class Bare(rb.Method):
    pass


@dataclass(frozen=True, kw_only=True)
class Open(rb.methods.Plain):
    strength: float


value = 3
"""


@pytest.fixture(scope="module")
def prepared(toy: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with everything a right command needs."""
    root = tmp_path_factory.mktemp("prepared")
    write_idx_folder(root / "data", toy)

    def cut(data: Data) -> Data:
        return Data(data.inputs[..., :4, :4], data.labels)

    write_idx_folder(root / "small", Dataset("small", toy.classes, cut(toy.train), cut(toy.test)))
    origin = Origin(
        Configuration("Plain", {}), "undefended", "data", "data", "0-2", "3-5", seed=0, shared=False
    )
    save_model(shallow_cnn(3, (1, 16, 16)), root / "model.safetensors", (1, 16, 16), origin)
    Evaluation({}, (), ()).save(root / "run")
    (root / "own.py").write_text(OWN_METHOD)
    (root / "net.py").write_text(OWN_NETWORK)
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    torch.save(network.state_dict(), root / "net.pt")
    state = network.state_dict()
    torch.save({**state, "1.bias": torch.full((3,), torch.nan)}, root / "nan.pt")
    torch.save({**state, "1.weight": torch.full((3, 256), torch.inf)}, root / "infinite.pt")
    kept = {
        "0.value": torch.randn(16, 256),
        "1.weight": torch.randn(3, 16),
        "1.bias": torch.ones(3),
    }
    torch.save(kept, root / "kept.pt")
    torch.save({name: kept[name] for name in ("1.weight", "1.bias")}, root / "head.pt")
    (root / "broken.py").write_text("class Own(:\n")
    (root / "raises.py").write_text("raise KeyError('of its own')\n")
    (root / "list.yaml").write_text("- 1\n- 2\n")
    (root / "binary.yaml").write_bytes(b"\xff\xfe")
    (root / "broken.yaml").write_text("data: [unclosed\nseed: {\n")
    (root / "unknown.yaml").write_text("modle: shallow_cnn\n")
    (root / "type.yaml").write_text("seed: first\n")
    (root / "listed.yaml").write_text("desirable: ['0', '1']\n")
    (root / "no_file.yaml").write_text("method:\n  class_path: nothing.py:Own\n")
    (root / "no_method.yaml").write_text("method: Plane\n")
    (root / "null_method.yaml").write_text("method: null\n")
    (root / "empty").mkdir()
    (root / "tables").mkdir()
    (root / "tables" / "train.csv").write_text("words,kind\nchess,a\n")
    state = shallow_cnn(3, (1, 16, 16)).state_dict()
    weights = {name: value.contiguous() for name, value in state.items()}
    torch.save(weights, root / "weights.pt")
    save_file(weights, root / "weights.safetensors")
    return root


@pytest.fixture
def workspace(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy that a test may damage, and go there."""
    root = tmp_path / "workspace"
    shutil.copytree(prepared, root)
    monkeypatch.chdir(root)
    return root


def refused(
    arguments: list[str], expected: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(root)
    capsys.readouterr()
    code = main(arguments)
    written = capsys.readouterr()
    assert code == 2, written.err
    assert written.out == ""
    assert len(written.err.splitlines()) == 1, written.err
    assert written.err.startswith("rootbound: ")
    assert re.search(expected, written.err), written.err
    assert "Traceback" not in written.err
    after = contents(root)
    assert after == before, f"written: {sorted(after.keys() - before.keys())}"


@dataclass(frozen=True)
class Row:
    """One wrong command.

    Args:
        command: options that come later replace earlier ones; `''` is an empty argument.
        says: a regular expression that the message must match: what is wrong or what to do.
    """

    command: str
    says: str

    @property
    def arguments(self) -> list[str]:
        return ["" if word == "''" else word for word in self.command.split()]


ROWS = [
    # The command itself.
    Row("trian", "did you mean 'train'"),
    Row(
        "zzz", "a command out of audit, compare, demo, export, list, report, runs, train.*pick one"
    ),
    Row("--verbose", "a command out of"),
    Row("audit", "required: checkpoint"),
    Row("report", "required: folder"),
    Row("list everything", "unrecognized.*everything"),
    Row(f"{TRAIN} --modle deep_cnn", "did you mean '--model'"),
    Row(f"{TRAIN} --desireable 0-1", "did you mean '--desirable'"),
    Row(f"{TRAIN} --xyzzy 1", "--xyzzy"),
    Row(f"{DEMO} --stesp 3", "did you mean '--steps'"),
    Row(f"{TRAIN} --epochs", "epochs.*expected one argument"),
    Row("compare --methods Plian", "did you mean 'Plain'"),
    Row("compare --methods Plain,BestResponse,Plain", "every method once"),
    Row("compare --methods ''", "a method out of"),
    Row("compare --methods Plain,Plain(recipe.epochs=5)", "every method once"),
    *(
        Row(f"compare --methods {written}", said)
        for written, said in {
            "BestResponse(weight=x)": "settings of BestResponse; got .*a <class 'float'>.*x",
            "BestResponse(wieght=1)": "setting of BestResponse.*'wieght'; did you mean 'weight'",
            "BestResponse(1)": "a setting as in weight=0.3; got '1'",
            "BestResponse(weight=1,)": "a setting as in weight=0.3; got ''",
            "BestResponse(weight=1": "settings in brackets, and nothing behind them",
            "BestResponse(weight=1)2": "settings in brackets, and nothing behind them",
            "BestRespons(weight=1)": "did you mean 'BestResponse'",
        }.items()
    ),
    Row("compare --methods own.py:Missing", "Missing in own.py.*check the name"),
    Row("compare --methods own.py:value", "derived from rootbound.Method; got 'own.py:value'"),
    Row("compare --methods own.py:NoMethod", "derived from rootbound.Method"),
    Row("compare --methods own.py:Bare", "own.py:Bare.. to make a method; got .*abstract.*train"),
    Row("compare --methods own.py:Open", "own.py:Open.. to make a method; got .*'strength'"),
    Row("compare --methods nowhere.py:Own", "a Python file at .*nowhere.py"),
    Row("compare --model own.py:value", "file.py:function that returns a torch.nn.Module"),
    Row("compare --external nowhere.json", "challenges at nowhere.json; got no such file"),
    # Classes.
    Row(f"{TRAIN} --undesirable 2-5", "got 2 in both; remove the overlap"),
    Row(f"{TRAIN} --undesirable 0-2", "got 0-2 in both; remove the overlap"),
    Row(f"{TRAIN} --desirable ''", "classes in --desirable; got nothing; name some"),
    Row(f"{TRAIN} --undesirable ''", "classes in --undesirable; got nothing; name some"),
    Row(f"{TRAIN} --desirable 4-0", "correct the class list|widen --desirable"),
    Row(f"{TRAIN} --desirable 0", "at least two desirable classes; got 1; widen --desirable"),
    Row(f"{TRAIN} --undesirable 5", "at least two undesirable classes; got 1; widen --undesirable"),
    Row(f"{TRAIN} --desirable a-b", "got 'a-b'; correct the class list"),
    Row(f"{TRAIN} --desirable=-1,2", "got '-1'; correct the class list"),
    Row(f"{TRAIN} --desirable 1-", "got '1-'; correct the class list"),
    Row(f"{TRAIN} --desirable 0-2,7", "out of 0-5; got '7'; correct the class list"),
    Row(f"{TRAIN} --undesirable 3-9", "out of 0-5; got '6'; correct the class list"),
    Row(f"{TRAIN} --desirable 0,0,1", "got 0 more than once; remove the repeated class"),
    Row(f"{TRAIN} --desirable 0-99999999", "got '6'; correct the class list"),
    Row(f"{DEMO} --undesirable 2-5", "remove the overlap"),
    Row(f"{AUDIT} --undesirable 2-5", "remove the overlap"),
    # Names.
    Row(f"{TRAIN} --data mnsit", "did you mean 'mnist'"),
    Row(
        f"{TRAIN} --data {'a' * 300}",
        "can be read at a{200}; got File name too long; check the path",
    ),
    Row(f"{TRAIN} --data nowhere/at/all", "nowhere/at/all; got no such folder; check the path"),
    Row(f"{TRAIN} --data ''", r"data set \(or a folder"),
    Row(f"{TRAIN} --data own.py", "an .npz file at own.py; got another file; give its folder"),
    Row(f"{TRAIN} --data tables/train.csv", "name them by --input-column and --label-column"),
    Row(f"{TRAIN} --from model.safetensors --model hf:tiny", "got both; leave one out"),
    Row(f"{TRAIN} --from model.safetensors --model resnet_20", "that fit the network"),
    Row(f"{TRAIN} --from model.safetensors --model shalow_cnn", "shallow_cnn.*correct --model"),
    Row(f"{TRAIN} --from net.pt", "pass its network as --model"),
    Row(f"{TRAIN} --from net.pt --model shallow_cnn", "that fit the network"),
    Row(f"{TRAIN} --from net.pt --model net.py:value", "value in net.py"),
    Row(f"{TRAIN} --from nowhere.pt --model shallow_cnn", "at nowhere.pt; got no such file"),
    Row(f"{TRAIN} --from nowhere", "a model file or folder at 'nowhere'"),
    Row(f"{TRAIN} --model shalow_cnn", "did you mean 'shallow_cnn'"),
    Row(
        f"{TRAIN} --model ''",
        "a model out of batch_norm_cnn, deep_cnn, hf:FOLDER, hf:NAME, resnet_18, resnet_20, "
        "shallow_cnn, small_text, small_vit",
    ),
    Row(f"{DEMO} --model deepcnn", "did you mean 'deep_cnn'"),
    Row(f"{DEMO} --suite demo1", "did you mean 'demo-1'"),
    Row(f"{TRAIN} --method Plane", "did you mean 'Plain'"),
    Row(f"{TRAIN} --method bestresponse", "did you mean 'BestResponse'"),
    Row(f"{TRAIN} --method rootbound.methods.Plane", "rootbound.methods.Plane"),
    Row(f"{TRAIN} --method LossMethod", "LossMethod"),
    Row(f"{TRAIN} --method nothing.py:Own", "nothing.py; got no such file; check the path"),
    Row(f"{TRAIN} --method own.py:Missing", "Missing in own.py.*check the name"),
    Row(f"{TRAIN} --method own.py:NoMethod", "NoMethod"),
    Row(f"{TRAIN} --method own.py:value", "value"),
    Row(f"{TRAIN} --method broken.py:Own", "broken.py.*SyntaxError"),
    Row(f"{TRAIN} --method raises.py:Own", "raises.py.*KeyError"),
    # Numbers.
    *(
        Row(f"{command} --epochs {value}", "epoch")
        for command in (TRAIN, DEMO)
        for value in ("0", "-1", "x", "1.5")
    ),
    Row(f"{TRAIN} --seed x", "seed"),
    Row(f"{TRAIN} --seed 99999999999999999999999", "seed"),
    *(Row(f"{AUDIT} --seeds {value}", "seed") for value in ("0", "-1", "x")),
    *(Row(f"{AUDIT} --workers {value}", "worker") for value in ("0", "-1", "x")),
    Row("runs", "arguments are required: action$"),
    Row(f"{DEMO.replace('--quick', '')} --seeds 0", "seeds of at least 1"),
    *(Row(f"{AUDIT} --minutes {value}", "minutes") for value in ("0", "-1", "x", "nan", "inf")),
    Row(f"{AUDIT} --trial-limit=-1", "--trial-limit above 0; got -1.0; raise it"),
    Row(f"{DEMO} --workers 0", "workers of at least 1.*raise"),
    *(
        Row(
            f"{command} --labels {value}",
            "labels of at least 1.*raise it",
        )
        for command in (DEMO, AUDIT)
        for value in ("0", "-5")
    ),
    *(
        Row(f"{command} --labels 1", "fixed settings for one label.*at least 2 labels")
        for command in (DEMO, AUDIT)
    ),
    *(
        Row(
            f"{DEMO} --labels {value}",
            "fewer labels per class than the attacker's 30.*ask for fewer",
        )
        for value in ("30", "1000", "99999999999999999999")
    ),
    Row(f"{AUDIT} --labels 31", "fewer labels per class than the attacker's 30"),
    *(
        Row(f"{DEMO} --labels {value}", "whole number or 'all'")
        for value in ("five", "2.5", "ALL!")
    ),
    *(Row(f"{DEMO} --steps {value}", "steps of at least 1.*raise") for value in ("0", "-3")),
    *(Row(f"{DEMO} --steps {value}", "whole number") for value in ("x", "1.5", "all")),
    Row(
        f"{DEMO} --labels 5,all,5 --steps 2,3,4",
        "budgets with different numbers of labels; got 5, all, 5; leave one of them out",
    ),
    Row(f"{DEMO} --labels 5,all", "as many --steps as --labels.*got 1 and 2; correct one"),
    Row(f"{DEMO} --steps 2,3,4", "as many --steps as --labels.*got 3 and 1; correct one"),
    Row(DEMO.replace("--labels 5", ""), "as many --steps as --labels"),
    Row(f"{DEMO} --labels '' --steps ''", "budgets"),
    Row(
        f"{AUDIT} --suite standard-1 --attackers 9 --minutes 1",
        "either --minutes or --attackers; got both; leave one out",
    ),
    Row(
        f"{DEMO} --suite demo-1 --attackers 5",
        "a suite that confirms.*demo-1.*more seeds.*standard-2",
    ),
    *(
        Row(
            f"{AUDIT} --suite {suite} --attackers {value}",
            "attackers.*raise it|a whole number in --attackers; got x; correct it",
        )
        for suite in ("standard-1", "quick-2")
        for value in ("0", "-1", "x")
    ),
    Row(f"{AUDIT} --suite own.py:Missing", "Missing in own.py.*check the name"),
    Row(f"{AUDIT} --suite own.py:value", "a rootbound.Suite from own.py:value; got int"),
    Row(f"{AUDIT} --suite own.py:NoMethod", "a rootbound.Suite.*got NoMethod"),
    Row(f"{AUDIT} --extends nowhere", "the spec of a run at nowhere.*no such file"),
    # Settings of methods.
    Row(f"{TRAIN} --method.weight=-1", "weight of at least 0; got -1.0; raise it"),
    Row(f"{TRAIN} --method.terms.ridge 0", "ridge above 0; got 0.0; raise it"),
    Row(f"{TRAIN} --method.schedule.warm_in 2", "warm_in from 0 to 1; got 2.0; lower it"),
    Row(f"{TRAIN} --method.terms.first_weight=-1", "first_weight of at least 0"),
    Row(f"{TRAIN} --method.terms.spared=-1", "spared of at least 0"),
    Row(f"{TRAIN} --method.weight heavy", "weight"),
    Row(f"{TRAIN} --method.weigth 1", "weigth"),
    Row(f"{TRAIN} --method.undesirable_batch_size 0", "undesirable_batch_size"),
    Row(f"{TRAIN} --method.recipe.learning_rate=-1", "learning_rate above 0; got -1.0; raise it"),
    *(
        Row(f"{TRAIN} --method.{name} {value}", "learning.rate|weight")
        for name in ("recipe.learning_rate", "weight", "terms.depth_weight")
        for value in ("nan", ".nan", ".inf")
    ),
    Row(f"{TRAIN} --method.recipe.batch_size 0", "batch_size of at least 1; got 0; raise it"),
    Row(
        f"{TRAIN} --method Unlearning --method.retained 0",
        "retained of at least 1",
    ),
    Row(
        f"{TRAIN} --method SelectiveDistillation --method.target 1",
        "target below 0",
    ),
    Row(f"{TRAIN} --method SelectiveDistillation --method.target .nan", "target below 0"),
    Row(f"{TRAIN} --method Unlearning --method.impair_rate .nan", "impair_rate above 0"),
    Row(
        f"{TRAIN} --method Unlearning --method.repair_rate .inf",
        "repair_rate above 0",
    ),
    # Files with options.
    Row(f"{TRAIN} --config nothing.yaml", "nothing.yaml"),
    Row(f"{TRAIN} --config broken.yaml", "config"),
    Row(f"{TRAIN} --config list.yaml", "config"),
    Row(f"{TRAIN} --config binary.yaml", "UTF-8 in --config; got .*0xff.*; convert the file"),
    Row(f"{TRAIN} --config unknown.yaml", "modle"),
    Row(f"{TRAIN} --config type.yaml", "a whole number in --seed; got first; correct it"),
    Row(f"{TRAIN} --config listed.yaml", r"one text in --desirable; got \['0', '1'\]; put it in"),
    Row(f"{AUDIT} --fail-if-advantage-over x", "a number in --fail-if-advantage-over; got x"),
    Row(f"{TRAIN} --config no_file.yaml", "nothing.py; got no such file; check the path"),
    Row(f"{TRAIN} --config no_method.yaml", "a method out of .*got 'Plane'"),
    Row(f"{TRAIN} --config null_method.yaml", "expected a method; got none; name one of"),
    # Where to write.
    *(
        Row(f"{command} --out /dev/null/x", "able to write /dev/null.*pass another --out")
        for command in (TRAIN, DEMO, AUDIT)
    ),
    *(
        Row(f"{command} --out own.py/x", "able to write own.py.*pass another --out")
        for command in (TRAIN, DEMO, AUDIT)
    ),
    Row(f"{DEMO} --out own.py", "able to write own.py.*pass another --out"),
    Row(f"{AUDIT} --out own.py", "able to write own.py.*pass another --out"),
    Row(f"{TRAIN} --out empty", "a file name in --out.*add a name"),
    Row(
        f"{TRAIN} --from model.safetensors --out model.safetensors",
        "another file in --out than in --from; got model.safetensors; name another",
    ),
    Row(f"{TRAIN} --out ''", "a file name in --out.*add a name"),
    Row(f"{DEMO} --out ''", "a folder in --out; got nothing; name one, or leave it out"),
    Row(f"{AUDIT} --out ''", "a folder in --out; got nothing; name one, or leave it out"),
    Row("export model.safetensors run --out ''", "a folder in --out; got nothing; name one"),
    # Options that another option, or a file, leaves without a use.
    Row(f"{DEMO} --seeds 3", "--quick, which is of one seed, or --seeds; got both; leave one out"),
    Row(f"{TRAIN} --head fc", "--head with --model file.py:function; got it alone; leave it out"),
    Row(f"{AUDIT} --head fc", "--head with --model file.py:function; got it alone; leave it out"),
    Row("audit hf:net --model resnet_20", "no --model with hf:net, which says it itself"),
    Row("export hf:net run --head fc", "no --head with hf:net, which says it itself; got fc"),
    Row(f"{TRAIN} --out /proc/x/y", "able to write /proc/x.*pass another --out"),
    # Images that the model cannot take.
    Row(f"{TRAIN} --data small", "choose another model or resize the data"),
    Row(f"{TRAIN} --data small --model deep_cnn", "choose another model or resize the data"),
    Row(f"{DEMO} --data small", "choose another model or resize the data"),
    Row(f"{AUDIT} --data small", "choose another model or resize the data"),
    Row(f"{TRAIN} --data small --model net.py:network", "choose another model or resize the data"),
    # Functions that make networks, and networks that are none.
    *(
        Row(f"{command} --model net.py:{function}", said)
        for command in (TRAIN, OWN_AUDIT)
        for function, said in {
            "raises": "to be able to call net.py:raises; got FileNotFoundError: no such file: weig",
            "ends": "to be able to call net.py:ends; got SystemExit: 3",
            "sized": "got TypeError: sized.. missing 1 required positional argument: 'size'",
            "failing": "has no attribute 'nothing'",
        }.items()
    ),
    *(
        Row(f"{TRAIN} --model net.py:{function}", "outputs change from call to call")
        for function in ("noisy", "counting")
    ),
    Row(f"{OWN_AUDIT} --model net.py:noisy", "outputs change from call to call"),
    Row(f"{TRAIN} --model net.py:number", "net.py:number, which returns int; correct it"),
    *(
        Row(OWN_AUDIT.replace("net.pt", file), f"in {file}; got others: these weights hold {held}")
        for file, held in {
            "nan.pt": "NaN, in 1.bias; take others",
            "infinite.pt": "infinite numbers, in 1.weight",
        }.items()
    ),
    *(
        Row(
            OWN_AUDIT.replace("net.pt", file).replace("network", kind),
            f"random weights .*got {said}",
        )
        for kind, file, said in (
            ("buffer", "kept.pt", "0.value as the given network has it"),
            ("attribute", "head.pt", "0.value as the given network has it"),
        )
    ),
    Row(
        OWN_AUDIT.replace("net.pt", "kept.pt").replace("network", "parameter"),
        "modules with reset_parameters.., to draw random weights; got Kept",
    ),
    *(
        Row(command, r"shape \(1, 4, 4\) .*choose another model or resize the data")
        for command in (
            f"{OWN_AUDIT} --undesirable-data small",
            OWN_AUDIT.replace("--undesirable-data data", "--data small --desirable 0-2"),
        )
    ),
    # Models and runs.
    Row("audit nothing.safetensors", "no such file; train one"),
    Row("audit data", "no such file; train one"),
    Row("audit own.py", "a safetensors file at own.py"),
    *(
        Row(f"audit {name}", f"written by rootbound at {name}.*pass its network as --model")
        for name in ("weights.pt", "weights.safetensors")
    ),
    Row(f"{AUDIT} --undefended nothing", "no such file; train one"),
    Row(f"{AUDIT} --undefended own.py", "a safetensors file at own.py"),
    Row(f"{AUDIT} --desirable 0-1", "a head for 2 desirable classes; got one for 3"),
    *(
        Row(f"{command} --out {out}", f"outside the data; got {out}, a place inside them; pass")
        for command in (DEMO.replace(" --out new/run", ""), AUDIT.replace(" --out new/run", ""))
        for out in ("data", "data/run")
    ),
    Row("report nowhere", "nowhere/records.json.gz; got no such file; check the folder"),
    Row("report own.py", "no such file; check the folder"),
    Row("report empty", "no such file; check the folder"),
    Row("report run", "run/records.json.gz"),
]


def short(command: str) -> str:
    for name, base in (("TRAIN", TRAIN), ("DEMO", DEMO), ("OWN", OWN_AUDIT), ("AUDIT", AUDIT)):
        command = command.replace(base, name)
    return command


@pytest.mark.parametrize("row", ROWS, ids=lambda row: short(row.command))
def test_refuses_a_wrong_command(
    row: Row, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(row.arguments, row.says, workspace, capsys)


@pytest.mark.parametrize("command", [TRAIN, DEMO, AUDIT, OWN_AUDIT, "report run"], ids=short)
def test_commands_without_the_mistake_work(
    command: str,
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Else every row could be refused for a reason that all of them share. What follows the
    # checks is replaced: it takes seconds, and other tests run it.
    class Accepted(Exception):
        pass

    def accept(*_: object, **__: object) -> None:
        raise Accepted

    monkeypatch.setattr("rootbound.execution.Crew.finished", accept)
    monkeypatch.setattr("rootbound.methods.BestResponse.train", accept)
    monkeypatch.setattr("rootbound.cli.report.write", accept)
    with pytest.raises(Accepted):
        main(command.split())
    assert capsys.readouterr().err == ""
    assert workspace.is_dir()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    drawn = torch.randint(256, (3000,), generator=torch.Generator().manual_seed(1))
    path.write_bytes(bytes(drawn.tolist()))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def unpack(path: Path) -> None:
    path.write_bytes(gzip.decompress(path.read_bytes()))


def remove(path: Path) -> None:
    path.unlink()


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [truncate, empty, noise, flip, unpack, remove, replace_by_folder]
)
@pytest.mark.parametrize("prefix", ["train-images-idx3", "t10k-labels-idx1"])
def test_refuses_damaged_data(
    damage: Callable[[Path], None],
    prefix: str,
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(workspace / "data" / f"{prefix}-ubyte.gz")
    refused(TRAIN.split(), f"{prefix}-ubyte", workspace, capsys)


def put(path: Path, *shape: int, values: bytes = b"") -> None:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    path.write_bytes(gzip.compress(header + values))


@pytest.mark.parametrize("command", [TRAIN, DEMO, AUDIT], ids=short)
def test_refuses_data_that_claims_4_gib(
    command: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(workspace / IMAGES, 2**32 - 1, 1, 1)
    refused(command.split(), "fetch it again", workspace, capsys)


def test_refuses_data_without_samples(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(workspace / IMAGES, 0, 16, 16)
    put(workspace / "data/train-labels-idx1-ubyte.gz", 0)
    refused(TRAIN.split(), "at least one sample", workspace, capsys)


def test_refuses_fewer_labels_than_images(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(workspace / "data/train-labels-idx1-ubyte.gz", 6, values=bytes(range(6)))
    refused(TRAIN.split(), "as many labels as samples", workspace, capsys)


def test_refuses_a_test_set_without_a_class(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(workspace / "data/t10k-labels-idx1-ubyte.gz", 120, values=bytes(120))
    refused(TRAIN.split(), "test samples of every class", workspace, capsys)


@pytest.mark.parametrize("damage", [truncate, empty, noise, remove, replace_by_folder])
def test_refuses_a_damaged_model(
    damage: Callable[[Path], None], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(workspace / "model.safetensors")
    refused(AUDIT.split(), "model.safetensors", workspace, capsys)


def test_names_the_missing_data_of_a_model(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(workspace / "data")
    refused(AUDIT.split(), r"data set \(or a folder", workspace, capsys)


RECORDS = {
    "empty": "",
    "truncated": '{"format": 1, "complete": true, "cont',
    "binary": "\0\1\2",
    "a list": "[]",
    "null": "null",
    "another format": '{"format": 99}',
    "without a part": '{"format": 1, "complete": true, "context": {}}',
    "context of another kind": json.dumps(
        {"format": 1, "complete": True, "context": [], "trainings": [], "records": []}
    ),
    "records of another kind": json.dumps(
        {"format": 1, "complete": True, "context": {}, "trainings": [3], "records": [{}]}
    ),
    "unknown field": json.dumps(
        {"format": 1, "complete": True, "context": {}, "trainings": [{"x": 1}], "records": []}
    ),
}


@pytest.mark.parametrize("content", RECORDS.values(), ids=list(RECORDS))
def test_refuses_damaged_records(
    content: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "run" / "records.json.gz").write_text(content)
    refused(["report", "run"], "run/records.json.gz", workspace, capsys)


def test_refuses_records_that_are_not_text(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "run" / "records.json.gz").write_bytes(bytes(range(128, 256)))
    refused(["report", "run"], "run/records.json.gz", workspace, capsys)
