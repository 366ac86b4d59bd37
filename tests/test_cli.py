"""The command line from end to end: exit codes, files, results on stdout, silence on stderr."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from few import FEW
from rootbound.attacks import ATTACKS, Budget
from rootbound.cli import main
from rootbound.cli.main import COMMANDS, Terminated
from rootbound.cli.methods import with_recipe
from rootbound.cli.options import AttackOptions, FolderOptions, RecipeOptions, TaskOptions
from rootbound.cli.report import is_current
from rootbound.cli.settings import resolve_settings
from rootbound.cli.tasks import resolve_tasks
from rootbound.cli.words import OPTIONS
from rootbound.datasets import DATASETS
from rootbound.methods import METHODS, BestResponse, Plain, Terms, Unlearning
from rootbound.metrics import measures as metrics
from rootbound.networks import MODELS, shallow_cnn
from rootbound.publishing import Origin, load_model, save_model
from rootbound.records import Configuration, Evaluation
from rootbound.suites import SUITES, Suite
from rootbound.training import Recipe

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

SPLIT = ("--desirable", "0-2", "--undesirable", "3-5")
SHORT_AUDIT = (
    "--suite",
    "demo-1",
    "--labels",
    "5,all",
    "--steps",
    "3,3",
    "--seeds",
    "1",
    "--workers",
    "1",
)
OWN_METHOD = '''
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from rootbound import Classifier, LossMethod
from rootbound.data import Batch


@dataclass(frozen=True)
class Own(LossMethod):
    """Push undesirable features to zero."""

    strength: float = 0.5

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        task = functional.cross_entropy(model(desirable[0]), desirable[1])
        return task + self.strength * model.features(undesirable[0]).square().mean()
'''


def run(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """Run a command that must succeed; return what it wrote to stdout."""
    capsys.readouterr()
    code = main(arguments)
    written = capsys.readouterr()
    assert (code, written.err) == (0, "")
    return written.out


def train(data: Path, out: Path, *more: str) -> list[str]:
    return ["train", "--data", str(data), *SPLIT, "--epochs", "1", "--out", str(out), *more]


def used_method(path: Path) -> str:
    return str(load_model(path)[1].method)


@pytest.fixture
def trained(audited: Path) -> Path:
    """Give a model that the command line trained."""
    return audited / "model.safetensors"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, arguments)
    assert all(f"\n  {command}" in shown for command in COMMANDS)
    assert "exit codes" in shown


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, [command, "--help"])
    assert shown.startswith(f"usage: rootbound {command}")


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, ["--version"]).startswith("rootbound 0.")


def test_list_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, ["list"])
    for name in (*METHODS, *ATTACKS, *MODELS, *DATASETS, *SUITES):
        assert f"\n  {name} " in shown


def test_train_writes_one_model_and_its_accuracy(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "model.safetensors"
    shown = run(capsys, train(toy_folder, path, "--model", "shallow_cnn"))
    accuracy, written = shown.splitlines()
    assert accuracy.startswith("desirable test accuracy: ")
    assert 0 <= float(accuracy.split()[-2]) <= 100
    assert written == f"model: {path}"
    assert list(path.parent.iterdir()) == [path]
    model, origin = load_model(path)
    assert (model.architecture, model.classes) == ("shallow_cnn", 3)
    assert (origin.desirable, origin.undesirable, origin.seed) == ("0-2", "3-5", 0)
    assert (origin.data, origin.arm, origin.shared) == (str(toy_folder), "defended", False)
    assert str(origin.method) == str(Configuration.of(BestResponse().for_epochs(1)))


def test_the_same_command_gives_the_same_file(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, train(toy_folder, tmp_path / "once", "--model", "shallow_cnn"))
    torch.manual_seed(12)
    run(capsys, train(toy_folder, tmp_path / "again", "--model", "shallow_cnn"))
    run(capsys, train(toy_folder, tmp_path / "other", "--seed", "1"))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "once").read_bytes()
    head = load_model(tmp_path / "other")[0].head.weight
    assert not torch.equal(head, load_model(tmp_path / "once")[0].head.weight)


@pytest.mark.parametrize("name", ["Plain", "rootbound.methods.Plain"])
def test_named_method_has_its_own_settings(
    name: str, toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, train(toy_folder, tmp_path / "m", "--method", name))
    assert used_method(tmp_path / "m") == str(Configuration.of(Plain().for_epochs(1)))
    assert load_model(tmp_path / "m")[1].arm == "undefended"


def test_settings_of_the_default_method_can_be_changed(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--method.weight", "0.7", "--method.recipe.batch_size", "32"]
    run(capsys, train(toy_folder, tmp_path / "m", *options))
    recipe = Recipe(epochs=1, batch_size=32, learning_rate=BestResponse().recipe.learning_rate)
    assert used_method(tmp_path / "m") == str(Configuration.of(BestResponse(recipe, weight=0.7)))


def test_settings_of_a_named_method_can_be_changed(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--method", "Unlearning", "--method.noise_images", "4", "--method.retained", "20"]
    run(capsys, train(toy_folder, tmp_path / "m", *options))
    expected = Unlearning(noise_images=4, retained=20).for_epochs(1)
    assert used_method(tmp_path / "m") == str(Configuration.of(expected))


@pytest.mark.parametrize("more", [[], ["--method.strength", "0.1"]], ids=["default", "set"])
def test_uses_a_method_from_a_file(
    more: list[str], toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "own_method.py"
    file.write_text(OWN_METHOD)
    run(capsys, train(toy_folder, tmp_path / "m", "--method", f"{file}:Own", *more))
    used = used_method(tmp_path / "m")
    assert used.startswith("Own(recipe=Recipe(epochs=1, batch_size=128, learning_rate=0.002,")
    assert f"strength={more[1] if more else 0.5}" in used


@pytest.mark.parametrize(
    ("method", "strength"),
    [
        ("method: {file}:Own\n", 0.5),
        ("method:\n  class_path: {file}:Own\n  init_args:\n    strength: 0.2\n", 0.2),
    ],
    ids=["name", "settings"],
)
def test_config_file_may_name_a_method_from_a_file(
    method: str,
    strength: float,
    toy_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, config = tmp_path / "own_method.py", tmp_path / "config.yaml"
    file.write_text(OWN_METHOD)
    config.write_text(method.format(file=file))
    run(capsys, train(toy_folder, tmp_path / "m", "--config", str(config)))
    assert f"strength={strength}" in used_method(tmp_path / "m")


def test_config_file_gives_options_and_the_command_line_wins(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"data: {toy_folder}\ndesirable: 0-2\nundesirable: 3-5\nepochs: 2\nseed: 5\n"
        "model: deep_cnn\nmethod:\n  class_path: BestResponse\n  init_args:\n    weight: 0.3\n"
    )
    out = tmp_path / "m"
    run(capsys, ["train", "--config", str(config), "--epochs", "1", "--out", str(out)])
    model, origin = load_model(out)
    assert model.architecture == "deep_cnn"
    assert origin.seed == 5
    assert str(origin.method) == str(Configuration.of(BestResponse(weight=0.3).for_epochs(1)))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("seed: 1\n", BestResponse(weight=0.7)),
        ("method: BestResponse\n", BestResponse(weight=0.7)),
        ("method:\n  class_path: BestResponse\n  init_args:\n    terms:\n      ridge: 0.01\n",
         BestResponse(weight=0.7, terms=Terms(ridge=0.01))),
    ],
    ids=["no method", "method", "settings"],
)  # fmt: skip
def test_settings_add_to_a_config_file(
    config: str,
    expected: BestResponse,
    toy_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config)
    run(capsys, train(toy_folder, tmp_path / "m", "--config", str(file), "--method.weight", "0.7"))
    assert used_method(tmp_path / "m") == str(Configuration.of(expected.for_epochs(1)))


def test_config_file_may_name_another_method(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("method: Plain\n")
    run(capsys, train(toy_folder, tmp_path / "m", "--config", str(file)))
    assert used_method(tmp_path / "m") == str(Configuration.of(Plain().for_epochs(1)))


def test_model_file_states_its_training_precision(
    toy_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    run(capsys, train(toy_folder, tmp_path / "m", "--method", "Plain", "--precision", "bfloat16"))
    assert used_method(tmp_path / "m") == str(
        Configuration.of(Plain().for_epochs(1).in_precision("bfloat16"))
    )


@pytest.mark.parametrize(("capability", "times"), [("AVX2", 1), ("AVX512", 0)])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_warns_once_of_emulated_bfloat16(
    capability: str,
    times: int,
    device: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("rootbound.cli.methods.find_device", torch.device)
    asked = RecipeOptions(precision="bfloat16")
    found = with_recipe([Plain(), BestResponse()], asked, device)
    assert [one.recipe.precision for one in found] == ["bfloat16"] * 2
    assert caplog.text.count("emulates bfloat16") == (times if device == "cpu" else 0)


@pytest.mark.parametrize(
    ("suite", "of_one_model", "of_methods"),
    [
        (SUITES["demo-1"], 3, 3),
        (SUITES["demo-2"], 1, 3),
        (SUITES["standard-1"], 1, 1),
        (SUITES["standard-2"], 1, 3),
        (SUITES["standard-2"].within(1.0), 1, 3),
    ],
    ids=lambda part: part.name if isinstance(part, Suite) else "",
)
def test_suite_that_draws_labels_has_one_seed(
    suite: Suite, of_one_model: int, of_methods: int
) -> None:
    assert suite.usual_seeds(of_one_model=True) == of_one_model
    assert suite.usual_seeds(of_one_model=False) == of_methods


def test_other_label_counts_take_steps_of_the_next_smaller() -> None:
    chosen = resolve_settings(
        AttackOptions(labels="5,10,50,all"), FolderOptions(command=("audit",))
    ).suite
    assert chosen.budgets == (Budget(5, 60), Budget(10, 60), Budget(50, 60), Budget(None, 80))
    assert chosen.draws == (11, 11, 11, 6)
    assert SUITES["standard-2"].steps_for(100) == 250
    assert SUITES["standard-2"].steps_for(None) == 300


def test_printed_config_gives_the_same_model(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = train(toy_folder, tmp_path / "m", "--method.weight", "0.4", "--seed", "3")
    config = tmp_path / "config.yaml"
    config.write_text(run(capsys, [*arguments, "--print_config"]))
    assert not (tmp_path / "m").exists(), "it trained although it was only asked"
    run(capsys, arguments)
    first = (tmp_path / "m").read_bytes()
    (tmp_path / "m").unlink()
    run(capsys, ["train", "--config", str(config)])
    assert (tmp_path / "m").read_bytes() == first


@pytest.fixture
def read_weights(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each tensor of a file is read."""
    counts: Counter[str] = Counter()

    class Counted:
        def __init__(self, path: Path, framework: str) -> None:
            self.path, self.framework = path, framework

        def __enter__(self) -> Counted:
            self.file = safe_open(self.path, framework=self.framework).__enter__()
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def metadata(self) -> Any:
            return self.file.metadata()

        def keys(self) -> Any:
            return self.file.keys()

        def get_tensor(self, name: str) -> Any:
            counts[f"{Path(self.path).name}: {name}"] += 1
            return self.file.get_tensor(name)

    def load_counted(path: Path) -> dict[str, torch.Tensor]:
        weights = load_file(path)
        counts.update(f"{path.name}: {name}" for name in weights)
        return weights

    monkeypatch.setattr("rootbound.publishing.checkpoint.safe_open", Counted)
    monkeypatch.setattr("rootbound.publishing.tensor_files.load_file", load_counted)
    return counts


@pytest.mark.parametrize("named", [(), ("--model", "shallow_cnn")], ids=["alone", "named"])
@pytest.mark.parametrize(
    "command", ["train", "audit", pytest.param("export", marks=pytest.mark.slow)]
)
def test_weights_of_a_model_are_read_once(
    command: str,
    named: tuple[str, ...],
    request: pytest.FixtureRequest,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_weights: Counter[str],
) -> None:
    class Read(Exception):
        pass

    def stop(*_: object, **__: object) -> None:
        raise Read

    words = [command, str(trained)]
    if command == "train":
        words = ["train", "--from", str(trained)]
    if command == "export":
        words += [str(request.getfixturevalue("audited") / "run")]
        read_weights.clear()
    monkeypatch.setattr("rootbound.methods.BestResponse.train", stop)
    monkeypatch.setattr("rootbound.cli.audit.evaluate", stop)
    with pytest.raises(Read) if command != "export" else contextlib.nullcontext():
        main([*words, *named, "--out", str(tmp_path / "out")])
    expected = {f"{trained.name}: {name}" for name in load_file(trained)}
    assert read_weights == dict.fromkeys(expected, 1)


def run_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_audit_writes_records_and_report(audited: Path) -> None:
    folder = audited / "run"
    files = run_files(folder)
    assert {"records.json.gz", "pictures.npz", "report.html", "summary.md"} < files
    assert "figures/curves-steps.svg" in files
    others = {name for name in files if not name.startswith(("figures/", "records/"))}
    made = {"records.json.gz", "pictures.npz", "report.html", "summary.md", "verdict.json"}
    assert others == {"spec.json", *made}
    assert "records/run.json" in files
    evaluation = Evaluation.load(folder)
    assert evaluation.complete
    assert {(training.arm, training.seed) for training in evaluation.trainings} == {
        ("defended", 0),
        ("scratch", 0),
    }
    assert {record.labels for record in evaluation.records} == {5, None}
    assert {record.error for record in evaluation.records} == {None}
    assert not metrics.undefended(evaluation)


def test_report_command_repeats_the_same_report(
    audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = audited / "run"
    for name in ("records.json.gz", "pictures.npz"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    assert run(capsys, ["report", str(tmp_path)]) == f"report: {tmp_path / 'report.html'}\n"
    # All but what the run itself went on with.
    made = {one for one in run_files(whole) if not one.startswith(("records/", "spec.json"))}
    assert run_files(tmp_path) == made
    for name in made:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_audit_takes_an_undefended_model(
    toy_folder: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain.safetensors"
    run(capsys, train(toy_folder, plain, "--method", "Plain"))
    options = ["--labels", "5", "--steps", "2", "--seeds", "1", "--workers", "1", *FEW]
    folder = tmp_path / "run"
    shown = run(
        capsys, ["audit", str(trained), "--undefended", str(plain), *options, "--out", str(folder)]
    )
    assert f"report: {folder / 'report.html'}\n" in shown
    assert len(shown.splitlines()) > 2, "no headline was shown"
    assert shown.splitlines()[-1].startswith("With 5 labels per class an attacker reaches ")
    arms = [training.arm for training in Evaluation.load(folder).trainings]
    assert sorted(arms) == ["defended", "scratch", "undefended"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extent", "methods"),
    [
        (
            ["--seeds", "1", "--suite", "demo-1"],
            {"Plain", "BestResponse", "SelectiveDistillation", "Unlearning"},
        ),
        (["--quick", "--suite", "demo-1"], {"Plain", "BestResponse"}),
    ],
    ids=["whole", "quick"],
)
def test_demo_compares_methods(
    extent: list[str],
    methods: set[str],
    toy_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    options = ["--labels", "5", "--steps", "3", "--workers", "1", "--epochs", "1", *extent]
    shown = run(capsys, ["demo", "--data", str(toy_folder), *SPLIT, *options, "--out", str(folder)])
    assert shown.endswith(f"report: {folder / 'report.html'}\n")
    evaluation = Evaluation.load(folder)
    assert evaluation.complete
    assert {training.method for training in evaluation.trainings} == methods | {"scratch"}
    assert {training.seed for training in evaluation.trainings} == {0}
    assert {"records.json.gz", "pictures.npz", "report.html", "summary.md"} < run_files(folder)


SCRIPT = str(Path(sys.executable).parent / "rootbound")


@pytest.mark.parametrize(
    "program",
    [[sys.executable, "-m", "rootbound"], pytest.param([SCRIPT], marks=pytest.mark.slow)],
    ids=["-m", "script"],
)
def test_program_logs_to_stderr_and_returns_its_code(
    program: list[str], toy_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m"
    run = partial(subprocess.run, capture_output=True, text=True, check=False, timeout=200)
    good = run([*program, *train(toy_folder, path)])
    assert good.returncode == 0
    assert all(line.startswith("rootbound: train for ") for line in good.stderr.splitlines())
    assert good.stdout.endswith(f"model: {path}\n")
    bad = run([*program, "trian"])
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("rootbound: ")
    assert len(bad.stderr.splitlines()) == 1


def test_reader_may_close_the_pipe_early() -> None:
    words = [sys.executable, "-m", "rootbound", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait() == 141


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; what was finished is on disk"),
        (Terminated(), 143, "terminated; what was finished is on disk"),
        (RuntimeError("two\nlines"), 1, "RuntimeError: two lines"),
        (MemoryError(), 1, "MemoryError"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
    ],
)
def test_failure_during_a_run_is_one_line_and_a_code(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("rootbound.cli.list.run", fail)
    assert main(["list"]) == code
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("rootbound: ")
    assert message in written.err
    assert len(written.err.splitlines()) == 1


@pytest.mark.usefixtures("no_figures")
def test_compare_ranks_methods_and_resumes(
    toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "compare", "--methods", "BestResponse", "--data", str(toy_folder), *SPLIT,
        *FEW, "--labels", "5", "--steps", "4", "--seeds", "1", "--workers", "1",
        "--out", str(tmp_path),
    ]  # fmt: skip
    shown = run(capsys, command)
    assert "leaderboard: " in shown
    values = json.loads((tmp_path / "verdict.json").read_text())
    assert shown.splitlines()[0] == values["sentence"]
    assert [model["model"] for model in values["models"]] == ["BestResponse"]
    content = json.loads((tmp_path / "leaderboard.json").read_text())
    assert sorted(one["method"] for one in content["methods"]) == ["BestResponse", "Plain"]
    external = tmp_path / "external.json"
    external.write_text(
        '[{"method": "BestResponse", "advantage": 77, "attack": "mine", "link": "https://x.org"}]'
    )
    assert main([*command, "--external", str(external)]) == 0
    assert "nothing is done again" in capsys.readouterr().err
    assert "+77.00" in (tmp_path / "leaderboard.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_paths_may_hold_undecodable_bytes(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (tmp_path / odd).mkdir()
    (tmp_path / odd / "toy").symlink_to(toy_folder)
    monkeypatch.chdir(tmp_path)
    split = ["--desirable", "0-2", "--undesirable", "3-5", "--epochs", "1", "--method", "Plain"]
    assert main(["train", "--data", f"{odd}/toy", *split, "--out", "m.safetensors"]) == 0
    few = ["--suite", "demo-1", "--labels", "5", "--steps", "2", "--seeds", "1", "--workers", "1"]
    assert main(["audit", "m.safetensors", *few, "--out", f"{odd}/run"]) == 0
    for command in (["report", f"{odd}/run"], ["runs", "show", f"{odd}/run"]):
        assert main(command) == 0
    export = ["export", "m.safetensors", f"{odd}/run", "--out", f"{odd}/published"]
    assert main(export) == 0


def test_letters_missing_from_a_terminal_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "é").mkdir()
    (tmp_path / "é" / "spec.json").write_text("{}")
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["runs", "list", str(tmp_path)]) == 0
    stdout.flush()
    assert rb"\xe9" in stdout.buffer.getvalue()


class Asked(Exception):
    """Ends a command where the floors below would begin."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give what commands ask the floors below for, by name; nothing is trained or attacked."""
    given: dict[str, Any] = {}

    def record(*arguments: Any, **options: Any) -> None:
        given.update(options, arguments=arguments)
        raise Asked

    for name in ("audit.evaluate", "compare.compare", "demo.compare", "train.TrainingState"):
        monkeypatch.setattr(f"rootbound.cli.{name}", record)
    return given


@pytest.mark.parametrize(
    ("options", "methods", "seeds", "epochs"),
    [
        (("--quick",), ["Plain", "BestResponse"], 1, None),
        (("--quick", "--epochs", "3"), ["Plain", "BestResponse"], 1, 3),
        (("--seeds", "2"), ["Plain", "BestResponse", "SelectiveDistillation", "Unlearning"], 2,
         None),
        ((), ["Plain", "BestResponse", "SelectiveDistillation", "Unlearning"], None, None),
    ],
)  # fmt: skip
def test_demo_follows_its_options(
    options: tuple[str, ...],
    methods: list[str],
    seeds: int | None,
    epochs: int | None,
    asked: dict[str, Any],
    toy_folder: Path,
) -> None:
    with pytest.raises(Asked):
        main(["demo", "--data", str(toy_folder), *SPLIT, "--workers", "1", *options])
    found = asked["arguments"][0]
    assert [type(one).__name__ for one in found] == methods
    assert asked["seeds"] == seeds
    if epochs is not None:
        assert {one.recipe.epochs for one in found} == {epochs}


def test_comparison_follows_its_options(asked: dict[str, Any], toy_folder: Path) -> None:
    options = ["--seeds", "2", "--epochs", "7", "--suite", "demo-1", "--labels", "3"]
    split = ["--data", str(toy_folder), *SPLIT, "--workers", "1"]
    with pytest.raises(Asked):
        main(["compare", "--methods", "NTL", *split, *options])
    found = asked["arguments"][0]
    assert [(type(one).__name__, one.recipe.epochs) for one in found] == [("Plain", 7), ("NTL", 7)]
    assert asked["seeds"] == 2 and asked["public"] is None and not asked["pretrained"]
    assert asked["suite"].budgets == (Budget(3, 60),)


def test_audit_follows_its_options(asked: dict[str, Any], toy_folder: Path, tmp_path: Path) -> None:
    data, path = str(toy_folder), tmp_path / "model.safetensors"
    made = Configuration.of(BestResponse())
    origin = Origin(made, "defended", data, data, "0-2", "3-5", 0, shared=False)
    save_model(shallow_cnn(3, (1, 16, 16)), path, (1, 16, 16), origin)
    audit = ["audit", str(path), "--workers", "1"]
    more = ["--seeds", "2", "--minutes", "4", "--trial-limit", "2", "--undefended", str(path)]
    with pytest.raises(Asked):
        main([*audit, *more])
    assert (asked["seeds"], asked["suite"].minutes, asked["suite"].trial_limit) == (2, 4.0, 120.0)
    assert asked["undefended"] is not None
    # The file says that BestResponse made it, which an attack knows.
    assert asked["adaptive"] == BestResponse().adaptive_attacks() != ()
    with pytest.raises(Asked):
        main(audit)
    assert (asked["seeds"], asked["suite"].minutes, asked["suite"].trial_limit) == (
        None,
        None,
        3600,
    )
    assert asked["undefended"] is asked["public"] is None


@pytest.mark.parametrize(("cores", "workers"), [(3, 3), (64, 8), (None, 1)])
def test_default_is_one_worker_per_core_up_to_eight(
    cores: int | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("rootbound.cli.settings.make_engine", lambda count, _: found.append(count))
    for options in (AttackOptions(), AttackOptions(workers=5)):
        resolve_settings(options, FolderOptions(command=("audit",)))
    assert found == [workers, 5]


LAYOUT: dict[str, Any] = {
    "axes": "NHWC", "holdout": 0.3, "in_memory": 2.0, "inputs": "x", "label": "y",
    "label_names": "a,b", "length": 7, "skip_unreadable": True, "test_split": "t",
    "train_split": "u",
}  # fmt: skip
"""Settings of how data are read, by the names that errors of Python have for them."""


@pytest.mark.parametrize("name", LAYOUT)
def test_each_option_sets_its_field(name: str) -> None:
    # Parts of a data set are named together, or not at all.
    names = [one for one in LAYOUT if one == name or (one.endswith("_split") and "_split" in name)]
    given = {OPTIONS[one].removeprefix("--").replace("-", "_"): LAYOUT[one] for one in names}
    usual = vars(resolve_tasks(TaskOptions()).layout)
    found = vars(resolve_tasks(TaskOptions(**given)).layout)
    assert {one for one in found if found[one] != usual[one]} - {"optional"} == set(names)
    assert found[name] == (("a", "b") if name == "label_names" else LAYOUT[name])


def test_shares_samples_on_request() -> None:
    assert resolve_tasks(TaskOptions(share_undesirable=True)).shared
    assert not resolve_tasks(TaskOptions()).shared


def test_saves_training_state_as_often_as_asked(
    asked: dict[str, Any], toy_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(Asked):
        main(train(toy_folder, tmp_path / "m", "--checkpoint-every", "2"))
    assert asked["arguments"] == (tmp_path / "m.unfinished", 120.0)


def test_seed_determines_new_weights_and_sharing_is_recorded(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """No step is taken, so that what is written is what training would begin with."""
    seeds: list[int] = []

    def fit(_method: Plain, model: Any, _tasks: Any, *, seed: int, **_: Any) -> Any:
        seeds.append(seed)
        return model

    monkeypatch.setattr(Plain, "fit", fit)
    heads = []
    for more in (("--seed", "0"), ("--seed", "4", "--share-undesirable")):
        run(capsys, train(toy_folder, tmp_path / "m", "--method", "Plain", *more))
        model, origin = load_model(tmp_path / "m")
        heads.append(model.head.weight)
        assert (origin.seed, origin.shared) == (seeds[-1], "--share-undesirable" in more)
    assert seeds == [0, 4] and not torch.equal(*heads)


def test_page_is_current_only_if_newer_than_its_sources(tmp_path: Path) -> None:
    page, old, new = (tmp_path / name for name in ("page", "old", "new"))
    for path, seconds in ((old, 10), (page, 20), (new, 30)):
        path.touch()
        os.utime(path, (seconds, seconds))
    assert is_current(page, old)
    assert not is_current(page, new) and not is_current(page, old, new)
    assert not is_current(page, page) and not is_current(tmp_path / "none", old)
