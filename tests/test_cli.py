"""`python -m sema_lite`: output, errors of one line, files that are whole or not there."""

import json
import os
import subprocess
import sys

import pytest

import sema_lite.__main__
import sema_lite.commands
import sema_lite.compare
import sema_lite.run
import sema_lite.training
from sema_lite.__main__ import EXAMPLES, main, parser
from sema_lite.training import Diverged


@pytest.fixture
def short(image_folder, monkeypatch):
    """Arguments of a run that takes a moment: 10 images and a network of one layer."""
    from torch import nn

    def build(classes):
        return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, classes))

    defaults = sema_lite.training.train_together.__wrapped__.__kwdefaults__
    monkeypatch.setitem(defaults, "build", build)
    settings = {"root": image_folder, "subset": 10, "batch-size": 5, "epochs": 1, "device": "cpu"}
    return ["compare", "--quiet", *(f"--{name}={value}" for name, value in settings.items())]


def without_bars(text):
    """What a terminal shows in the end: a progress bar that is gone has left nothing."""
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


def run(capsys, *arguments):
    """(exit code, stdout, stderr) of a command line, run in this process."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as leaving:
        code = leaving.code
    out, err = capsys.readouterr()
    return code, out, without_bars(err)


def error(capsys, *arguments):
    """The line that a wrong command line prints, and nothing else."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_compare_for_real(image_folder, tmp_path):
    """As a user starts it, in a process of its own, with the real network and the variable."""
    out = tmp_path / "mine"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sema_lite", "compare", "--subset=full", "--method=sgd,sema"),
            *("--seeds=2", "--epochs=2", "--batch-size=15", "--device=cpu", f"--out={out}"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SEMA_LITE_DATA": str(image_folder), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Data: CIFAR-10 image folder (PNG), only 30 of 50000")
    assert lines[0].endswith(f"30 training and 20 test images, from {image_folder}")
    assert lines[1].startswith("small_resnet, 2 x 2 steps, batch 15, sgd, learning rate 0.05")
    table = [line.split() for line in lines if line.split()[:1] in (["method"], ["sgd"], ["sema"])]
    assert [row[0] for row in table] == ["method", "sgd", "sema"]
    assert [row[1] for row in table[1:]] == ["2/2", "2/2"]
    assert table[0][-1] == "seconds"
    assert all(float(row[-1]) > 0 for row in table[1:])
    assert "4/4 sema, seed 1" in done.stderr  # the progress bars
    assert "loss" in done.stderr
    text = (out / "results.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["complete"] is True
    assert content["seeds"] == [0, 1]
    assert content["data"].startswith("CIFAR-10 image folder")
    assert set(content["versions"]) == {"python", "torch", "numpy", "sema-lite"}
    assert content["command"].startswith("python -m sema_lite compare --subset=full")
    assert [setting["run"]["method"] for setting in content["settings"]] == ["sgd", "sema"]
    assert content["settings"][1]["switches"] == 2
    assert content["settings"][1]["epochs"] == [1, 2]
    assert str(image_folder) not in text
    metrics = sorted(out.glob("runs/sema-seed1-*/metrics.jsonl"))
    assert [json.loads(line)["epoch"] for line in metrics[0].read_text().splitlines()] == [1, 2]


def test_train_is_one_method(capsys, short, tmp_path):
    code, out, err = run(capsys, "train", *short[1:], f"--out={tmp_path / 'mine'}")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].split()[:2] == ["sema", "1/1"]
    assert "single one" in error(capsys, "train", *short[1:], "--method=sgd,ema")


def test_points(capsys):
    arguments = ["--data=circles", "--method=ema,sema", "--epochs=2", "--batch-size=10", "--quiet"]
    code, out, err = run(capsys, "compare", *arguments, "--seeds=3", "--device=cpu")
    assert (code, err) == (0, "")
    assert out.startswith("Data: two circles: 400 training and 4,000 test examples\nmlp, 2 x 40")
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [["ema", "3/3"], ["sema", "3/3"]]


def test_real_mini_set_is_named(capsys, mini_root, monkeypatch):
    monkeypatch.setenv("SEMA_LITE_DATA", str(mini_root))
    code, out, _ = run(capsys, "data")
    assert code == 0
    expected = f"CIFAR-10 mini: 5,000 training and 1,000 test images, from {mini_root}"
    assert out == f"Data: {expected}\n"


def test_help(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    for command in ("train", "compare", "resume", "results", "data", "Examples"):
        assert command in out
    options = ("data", "subset", "model", "optimizer", "method", "decay", "switch-every", "seeds")
    for command in ("train", "compare"):
        code, out, _ = run(capsys, command, "--help")
        assert code == 0
        for option in (*options, "root", "epochs", "device", "out", "schedule", "batch-norm"):
            assert f"--{option}" in out
        assert "SEMA_LITE_DATA" in out


def test_the_help_knows_every_data_set():
    """It has a list of its own, so that it needs no torch."""
    assert sema_lite.__main__.DATA == sema_lite.run.DATA


def test_the_examples_of_the_help_are_accepted():
    lines = [line.partition("#")[0].split() for line in EXAMPLES.splitlines()]
    assert [parser().parse_args(line[3:]).command for line in lines] == [
        "train", "compare", "resume", "results", "compare"
    ]  # fmt: skip


def test_help_needs_no_torch():
    code = "import sys; from sema_lite.__main__ import main; main([])"
    code += "; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method=sgd,adam"], "method must be one of"),
        (["--method="], "method must be one of"),
        (["--method=sgd,ema,sgd"], "twice"),
        (["--seeds=0"], "--seeds must be"),
        (["--seeds=two"], "--seeds"),
        (["--seeds=1000000000"], "--seeds must be at most 10000"),
        (["--epochs=0"], "epochs must be"),
        (["--lr=-1"], "lr must be"),
        (["--lr=nan"], "lr must be"),
        (["--lr=1e300"], "lr must be a number in [0, 1e+30], got 1e+300"),
        (["--data=circles", "--weight-decay=1e7"], "weight_decay must be a number in [0, 1e+06]"),
        (["--decay=2"], "decay must be"),
        (["--switch-every=0"], "switch_every must be"),
        (["--switch-every=week"], "invalid N|epoch|2epochs value: 'week'"),
        (["--batch-size=11"], "batch_size must be at most 10"),
        (["--subset=0"], "subset must be"),
        (["--subset=some"], "invalid mini|full|N value: 'some'"),
        (["--subset=mini"], "original order"),
        (["--threads=0"], "--threads must be"),
        (["--device=abacus"], "device 'abacus' cannot be used"),
        (["--schedule=linear"], "--schedule"),
        (["--data=mnist"], "--data"),
        (["--root=no/such/folder"], "no/such/folder' is not a folder"),
        (["--out=README.md"], "is a file, and should be a folder"),
        (["--out=."], "holds other files"),
        (["--out=/proc/nothing/x"], "/proc/nothing"),
        (["--model=vgg"], "model must be one of"),
        (["--optimizer=lbfgs"], "optimizer must be one of"),
        (["--batch-norm=none"], "--batch-norm"),
        (["--data=circles", "--compile"], "--compile is for images"),
        (["--data=circles"], "--root is for images, not for circles"),
        (["--out="], "--out must name a folder"),
        (["--threads=1000000"], "--threads must be at most 1024"),
        (["--epoch=1"], "unrecognized arguments: --epoch=1"),
        (["--colour=red"], "unrecognized arguments: --colour=red"),
    ],
)
def test_errors_are_one_line(capsys, short, arguments, says):
    assert says in error(capsys, *short, *arguments)


def test_unknown_command(capsys):
    assert "invalid choice: 'fly'" in error(capsys, "fly")


def test_damaged_data(capsys, tmp_path):
    (tmp_path / "cifar10-mini.npz").write_bytes(b"PK\3\4")
    assert f"'{tmp_path / 'cifar10-mini.npz'}' is not" in error(capsys, "data", "--root", tmp_path)


def test_header_warns_of_freezing(capsys, short):
    _, out, _ = run(capsys, *short, "--method=sema", "--decay=0.99")
    assert "u = T(1-d) = 0.02" in out
    assert "nearly frozen" in out
    _, out, _ = run(capsys, *short, "--method=sema")
    assert "frozen" not in out
    _, out, _ = run(capsys, *short, "--method=sgd")
    assert "decay" not in out.lower()


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
def test_a_reader_that_has_seen_enough_is_no_error():
    """As in `... | head`: quiet, whether the pipe is closed at the first line or at the last."""
    for arguments in (["results", "circles"], ["results"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "sema_lite", *arguments],
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(write)
        assert done.stderr == b""
        assert done.returncode in (0, sema_lite.__main__.BROKEN_PIPE)


# -- stopped, and gone on with ---------------------------------------------------------------------


@pytest.fixture
def stopping(monkeypatch):
    """Let training number `at` fail at its first step."""
    real, calls = sema_lite.compare.train_together, []

    def stop(exception, at):
        calls.clear()

        def train_together(*args, **kwargs):
            calls.append(1)
            if len(calls) == at:
                raise exception
            return real(*args, **kwargs)

        monkeypatch.setattr(sema_lite.compare, "train_together", train_together)

    return stop


def test_interrupted_and_resumed(capsys, short, stopping, tmp_path):
    arguments = [*short, "--method=sgd,sema"]
    run(capsys, *arguments, f"--out={tmp_path / 'whole'}")
    folder = tmp_path / "cut"
    stopping(KeyboardInterrupt(), at=3)
    code, out, err = run(capsys, *arguments, f"--out={folder}")
    assert code == 130
    assert err == f"error: interrupted: python -m sema_lite resume {folder} goes on\n"
    assert not (folder / "results.json").exists()
    assert f"'{folder}' is not finished" in error(capsys, "results", folder)
    stopping(None, at=0)
    code, out, err = run(capsys, "resume", folder, "--quiet")
    assert (code, err) == (0, "")
    whole, cut = (json.loads((tmp_path / n / "results.json").read_text()) for n in ("whole", "cut"))
    assert cut["settings"] == whole["settings"]
    _, again, _ = run(capsys, "results", folder)
    assert again.splitlines()[-2:] == out.splitlines()[-2:]


@pytest.mark.parametrize("last", ["_claim", "_warm_up", "table"])
def test_interrupted_before_the_first_step_or_after_the_last(
    capsys, short, monkeypatch, tmp_path, last
):
    real = getattr(sema_lite.commands, last)

    def interrupted(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    out = tmp_path / "mine"
    with monkeypatch.context() as patch:
        patch.setattr(sema_lite.commands, last, interrupted)
        code, _, err = run(capsys, *short, "--method=sgd", f"--out={out}")
    assert (code, err) == (130, f"error: interrupted: python -m sema_lite resume {out} goes on\n")
    assert run(capsys, "resume", out, "--quiet")[0] == 0


def test_interrupted_while_nothing_is_kept_yet(capsys, short, monkeypatch, tmp_path):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sema_lite.commands, "_claim", interrupted)
    code, _, err = run(capsys, *short, f"--out={tmp_path / 'mine'}")
    assert (code, err) == (130, "error: interrupted: nothing is kept\n")


def test_a_relative_root_is_found_from_another_folder(
    capsys, short, stopping, image_folder, tmp_path, monkeypatch
):
    arguments = [*short, "--method=sgd", "--root=photos"]
    first, second, moved = (tmp_path / name for name in ("first", "second", "moved"))
    for folder in (first, second):
        folder.mkdir()
    (first / "photos").symlink_to(image_folder)
    monkeypatch.chdir(first)
    stopping(KeyboardInterrupt(), at=2)
    assert run(capsys, *arguments, "--out=mine")[0] == 130
    stopping(None, at=0)
    monkeypatch.chdir(second)
    assert run(capsys, "resume", first / "mine", "--quiet")[0] == 0
    (second / "photos").symlink_to(image_folder)  # other photographs, for all that is known
    assert "another run, with root" in error(capsys, *arguments, f"--out={first / 'mine'}")
    first.rename(moved)  # the run and its data, to another place
    monkeypatch.chdir(moved)
    assert run(capsys, "resume", "mine", "--quiet")[0] == 0
    command = json.loads((moved / "mine" / "results.json").read_text())["command"]
    assert command.endswith("--root=photos --out=mine")  # as typed: a path tells where it ran


def test_interrupted_without_a_folder(capsys, short, stopping):
    stopping(KeyboardInterrupt(), at=1)
    code, out, err = run(capsys, *short)
    assert code == 130
    assert "without --out nothing is kept" in err
    assert "method" not in out


def test_the_same_command_goes_on_and_another_one_does_not(capsys, short, tmp_path):
    out = f"--out={tmp_path / 'mine'}"
    _, first, _ = run(capsys, *short, "--method=sema", out)
    code, second, _ = run(capsys, *short, "--method=sema", out)
    assert (code, second) == (0, first)
    message = error(capsys, *short, "--method=sema", "--lr=0.1", out)
    assert "holds another run, with lr = None" in message
    assert f"resume {tmp_path / 'mine'}" in message


def test_resume_needs_a_run(capsys, tmp_path):
    assert "has no command.json" in error(capsys, "resume", tmp_path)
    (tmp_path / "command.json").write_text('{"arguments": ["data"]}')
    assert "names no command" in error(capsys, "resume", tmp_path)
    (tmp_path / "command.json").write_text('{"argum')
    assert "cut short or damaged" in error(capsys, "resume", tmp_path)


def test_a_folder_without_its_command(capsys, short, tmp_path):
    folder = tmp_path / "mine"
    out, command = f"--out={folder}", folder / "command.json"
    folder.mkdir()
    for content in ("{}", '{"arguments": 3}', '{"arguments": ["grade"]}'):
        command.write_text(content)
        assert f"'{command}' is damaged: it names no command" in error(capsys, *short, out)
    command.rename(folder / "command.json.partial-1")  # killed while it wrote that
    assert run(capsys, *short, "--method=sgd", out)[0] == 0
    assert sorted(os.listdir(folder)) == ["command.json", "results.json", "runs"]


def test_points_have_no_subset(capsys):
    arguments = ["train", "--data=digits", "--subset=100"]
    assert "--subset is for images, not for digits" in error(capsys, *arguments)


def test_a_diverged_run_does_not_stop_the_others(capsys, short, stopping, tmp_path):
    stopping(Diverged("sgd, seed 0: the loss is nan"), at=1)
    folder = tmp_path / "mine"
    code, out, err = run(capsys, *short, "--method=sgd,sema", f"--out={folder}")
    assert code == 1
    assert err == "error: sgd, seed 0: the loss is nan\n"
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [["sgd", "1/2"], ["sema", "2/2"]]
    _, out, _ = run(capsys, "results", folder)
    assert "Not complete" in out


def test_result_file_is_whole_or_not_there(capsys, short, monkeypatch, tmp_path):
    folder, real = tmp_path / "mine", os.replace

    def full(old, new):
        if str(new).endswith("results.json"):
            raise OSError("disk full")
        real(old, new)

    arguments = [*short, "--method=sgd", "--seeds=1", f"--out={folder}"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        code, _, err = run(capsys, *arguments)
    assert (code, err) == (2, "error: disk full\n")
    assert sorted(os.listdir(folder)) == ["command.json", "runs"]
    assert run(capsys, *arguments)[0] == 0
    assert json.loads((folder / "results.json").read_text())["complete"] is True


def test_points_that_diverge_are_told_and_are_not_complete(capsys, tmp_path):
    out = tmp_path / "out"
    wild = ["train", "--data=circles", "--lr=1e9", "--epochs=1", "--seeds=2", "--quiet"]
    assert main([*wild, f"--out={out}"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: sema: 2 of 2 seeds diverged, the first is 0. Try a smaller")
    assert "0/2" in told.out
    assert main(["results", str(out)]) == 0
    assert "Not complete" in capsys.readouterr().out


def test_drawn_images_come_from_no_file(capsys):
    assert main(["data", "--data=shapes10", "--subset=10"]) == 0
    assert "images, drawn from seed 0" in capsys.readouterr().out


def test_what_is_kept_of_points_says_when_an_accuracy_was_reached(capsys, tmp_path):
    out = tmp_path / "out"
    run = ["train", "--data=circles", "--lr=0.2", "--epochs=3", "--quiet", f"--out={out}"]
    assert main(run) == 0
    assert main(["results", str(out), "--reach=50"]) == 0
    told = capsys.readouterr().out
    assert "epochs to 50.0%" in told
    assert told.splitlines()[-1].split()[:3] == ["sema", "1.0", "1/1"]
