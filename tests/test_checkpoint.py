"""A run that is stopped at any moment goes on and ends the same, bit for bit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed import EPOCHS, KILLS, go, images, net

from sema_lite import checkpoint
from sema_lite.data import ImageData
from sema_lite.run import Run
from sema_lite.training import train, train_together

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data():
    return ImageData("ten colours", *images(48), *images(20))


def run(data, folder, method="sema", epochs=3, **options):
    settings = Run(method=method, epochs=epochs, batch_size=16, decay=0.8)
    return train(settings, data, build=net, folder=folder, progress=False, device="cpu", **options)


def weights(path):
    """All tensors of a checkpoint, in one list of (where, tensor)."""

    def walk(value, where):
        if isinstance(value, torch.Tensor):
            yield where, value
        elif isinstance(value, dict):
            for key, each in value.items():
                yield from walk(each, f"{where}.{key}")
        elif isinstance(value, list):
            for number, each in enumerate(value):
                yield from walk(each, f"{where}.{number}")

    return list(walk(torch.load(path)["state"], ""))


def assert_equal(one, other):
    first, second = (weights(folder / checkpoint.CHECKPOINT) for folder in (one, other))
    assert [where for where, _ in first] == [where for where, _ in second]
    assert len(first) > 10
    for (where, a), (_, b) in zip(first, second, strict=True):
        assert torch.equal(a, b), where
    lines = [(folder / checkpoint.METRICS).read_bytes() for folder in (one, other)]
    assert lines[0] == lines[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_ten_times(tmp_path):
    """Twice in the worst moments: in the middle of a checkpoint, and between the two files."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "killed.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    epochs = json.loads(done.stdout)
    assert len(epochs) == KILLS
    assert epochs == sorted(epochs)  # nothing that was done is lost
    assert len(set(epochs)) > 3  # they were killed in different epochs
    assert epochs[0] < EPOCHS
    assert_equal(tmp_path / "whole", tmp_path / "cut")
    assert sorted(os.listdir(tmp_path / "cut")) == ["checkpoint.pt", "metrics.jsonl"]
    lines = (tmp_path / "cut" / checkpoint.METRICS).read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))


class StopError(Exception):
    pass


@pytest.mark.parametrize("method", ["sgd", "ema", "swa", "lookahead"])
@pytest.mark.parametrize("step", [4, 6])  # 3 steps an epoch: in the second epoch, and at its end
def test_every_method_goes_on(data, tmp_path, method, step):
    def stop(number, loss):  # noqa: ARG001
        if number == step:
            raise StopError

    whole = run(data, tmp_path / "whole", method)
    with pytest.raises(StopError):
        run(data, tmp_path / "cut", method, on_step=stop)
    again = run(data, tmp_path / "cut", method)
    assert again.epochs == whole.epochs
    assert (again.steps, again.switches) == (whole.steps, whole.switches)
    assert (again.start, again.batches) == (whole.start, whole.batches)
    assert_equal(tmp_path / "whole", tmp_path / "cut")


def test_a_finished_run_is_not_trained_again(data, tmp_path):
    first = run(data, tmp_path)
    steps = []
    again = run(data, tmp_path, on_step=lambda step, _: steps.append(step))
    assert steps == []
    assert again.epochs == first.epochs
    for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for name, average in first.average.average.items():
        assert torch.equal(average, again.average.average[name])


def test_a_folder_changes_no_number(data, tmp_path):
    assert run(data, tmp_path / "not" / "there yet").epochs == run(data, None).epochs


def test_two_runs_watch_one_training_and_both_go_on(data, tmp_path):
    runs = [Run(method="ema", decay=d, epochs=2, batch_size=16) for d in (0.5, 0.9)]
    options = {"build": net, "progress": False, "device": "cpu"}

    def stop(step, _):
        if step == 5:
            raise StopError

    with pytest.raises(StopError):
        train_together(runs, data, folder=tmp_path, on_step=stop, **options)
    together = train_together(runs, data, folder=tmp_path, **options)
    for each, result in zip(runs, together, strict=True):
        assert result.epochs == train(each, data, **options).epochs
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["decay"], line["epoch"]) for line in lines] == [
        (0.5, 1),
        (0.9, 1),
        (0.5, 2),
        (0.9, 2),
    ]


# -- what may be in the folder, and what may happen to it ------------------------------------------


def test_every_damaged_checkpoint_is_named(data, tmp_path):
    run(data, tmp_path, epochs=1)
    path = tmp_path / checkpoint.CHECKPOINT
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"checkpoint\.pt' is damaged .* delete it"):
            run(data, tmp_path, epochs=1)
        assert path.read_bytes() == whole[:length]
    torch.save({"something": "else"}, path)
    with pytest.raises(ValueError, match="is damaged"):
        run(data, tmp_path, epochs=1)


def test_a_checkpoint_of_another_run(data, tmp_path):
    run(data, tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"another run .*epochs, 1 there and 2 here"):
        run(data, tmp_path, epochs=2)
    with pytest.raises(ValueError, match="method, 'sema' there and 'ema' here"):
        run(data, tmp_path, "ema", epochs=1)
    other = ImageData("other colours", *images(48), *images(20))
    with pytest.raises(ValueError, match="data, 'ten colours' there and 'other colours' here"):
        run(other, tmp_path, epochs=1)


def test_half_a_line_of_metrics_is_written_again(data, tmp_path):
    run(data, tmp_path, epochs=2)
    path = tmp_path / checkpoint.METRICS
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    (tmp_path / "metrics.jsonl.partial-1").write_bytes(b"half")
    run(data, tmp_path, epochs=2)
    assert path.read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["checkpoint.pt", "metrics.jsonl"]


# A run that ends where there is no space left, and is started again when there is.
FULL_DISK = """
mount -t tmpfs -o size=250k tmpfs "$1" || exit 77
"$2" -c 'import killed, pathlib, torch; torch.set_num_threads(1); killed.go(pathlib.Path("$1"))'
echo "rc $?"; ls "$1"
mount -o remount,size=4m "$1"
"$2" -c 'import killed, pathlib, torch; torch.set_num_threads(1); killed.go(pathlib.Path("$1"))'
cp "$1"/* "$3"
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare: no small disk of our own")
def test_a_full_disk_loses_nothing(tmp_path):
    for name in ("disk", "whole", "copy"):
        (tmp_path / name).mkdir()
    script = FULL_DISK.replace('"$1"))', f'"{tmp_path}/disk"))')
    done = subprocess.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            script,
            "sh",
            tmp_path / "disk",
            sys.executable,
            tmp_path / "copy",
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "unshare" in done.stderr or done.returncode == 77:
        pytest.skip(f"this system allows no small disk of our own: {done.stderr}")
    assert "No space left on device" in done.stderr
    assert done.stdout.split() == ["rc", "1", "checkpoint.pt", "metrics.jsonl"]
    go(tmp_path / "whole")
    assert_equal(tmp_path / "whole", tmp_path / "copy")


def test_killed_run_is_the_one_of_its_program(tmp_path):
    """`killed.py` trains what it says, and to the end."""
    go(tmp_path)
    assert len((tmp_path / checkpoint.METRICS).read_text().splitlines()) == EPOCHS
