"""Live training: it is `train`, it pauses, it stops, and it leaves nothing behind."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("matplotlib")

from sema_lite import live_training, training
from sema_lite.data import DataError
from sema_lite.live_training import LiveTraining
from sema_lite.run import Run
from sema_lite.shapes import shapes10

pytestmark = pytest.mark.usefixtures("one_thread")
LONG = 60  # seconds; nothing here takes as many


@pytest.fixture(scope="module")
def few():
    return shapes10(train=128, test=20)  # two steps of 64 in an epoch


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    last = LiveTraining.latest()
    if last is not None:
        last.stop()
    more = set(threading.enumerate()) - before
    assert all(thread.name == "tqdm_monitor" for thread in more)  # any bar of tqdm starts one


def until(condition):
    """Wait for what another thread will do."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("method", live_training.METHODS)
def test_it_is_train(few, method, capfd):
    live = LiveTraining(few, method=method, max_epochs=2, decay=0.7, lr=0.02, seed=3)
    assert (live.status, live.running) == ("ready", False)
    live.start()
    assert live.wait(LONG)
    decay = 0.7 if method in ("ema", "sema") else None
    run = Run(method=method, epochs=2, decay=decay, lr=0.02, seed=3)
    wanted = training.train(run, few, progress=False)
    assert live.result is not None
    assert live.result.run == run
    assert tuple(live.epochs) == live.result.epochs == wanted.epochs
    pairs = zip(live.result.model.parameters(), wanted.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (live.status, live.running, live.message) == ("done", False, "")
    assert len(live.losses) == live.readout["step"] == live.readout["steps"] == 4
    assert sum(live.losses[2:]) / 2 == pytest.approx(wanted.epochs[1].loss)
    last = wanted.epochs[1]
    assert live.readout["live"] == last.live.accuracy
    assert live.readout["averaged"] == (last.averaged and last.averaged.accuracy)
    assert capfd.readouterr() == ("", "")  # the thread prints nothing


def test_pause_pauses_and_resume_goes_on(few):
    live = LiveTraining(few, max_epochs=50)
    live.start()
    until(lambda: len(live.losses) > 2)
    live.pause()
    assert (live.status, live.running) == ("paused", True)
    stands, picture = len(live.losses), live.png
    assert not live.wait(0.5)  # some ten steps would fit into this
    assert len(live.losses) == stands == live.readout["step"]
    assert live.png == picture
    live.resume()
    assert live.status == "running"
    until(lambda: len(live.losses) > stands + 1)
    live.pause()
    live.start()  # the button says Resume then
    assert live.status == "running"
    assert len(live.losses) >= stands + 1
    live.stop()


def test_a_pause_changes_no_number(few):
    live = LiveTraining(few, max_epochs=2, seed=1)
    live.start()
    live.pause()
    live.resume()
    assert live.wait(LONG)
    run = Run(method="sema", decay=0.9, epochs=2, seed=1)
    assert tuple(live.epochs) == training.train(run, few, progress=False).epochs


@pytest.mark.parametrize("paused", [False, True])
def test_stop_stops_within_a_step(few, paused):
    live = LiveTraining(few, max_epochs=50)
    live.start()
    until(lambda: len(live.losses) > 2)
    if paused:
        live.pause()
    stands = len(live.losses)
    live.stop()
    assert not live.running
    assert len(live.losses) <= stands + (0 if paused else 1)
    assert (live.status, live.message, live.result) == ("stopped", "", None)
    assert live.epochs  # what was measured stays
    assert live.epochs[0].epoch == 1


def test_start_twice_is_one_training(few):
    live = LiveTraining(few, max_epochs=50)
    live.start()
    first = live._thread
    live.start()
    assert live._thread is first
    live.stop()
    live.start()  # and again, from the beginning
    assert live._thread is not first
    until(lambda: live.epochs)
    live.stop()
    assert live.epochs[0].epoch == 1


def test_the_next_one_stops_the_one_before(few):
    one = LiveTraining(few, max_epochs=50)
    one.start()
    other = LiveTraining(few, max_epochs=50)  # as when the cell is run again
    assert (one.running, one.status) == (False, "stopped")
    other.start()
    one.start()
    assert (one.running, other.running) == (True, False)
    one.stop()


def test_nothing_to_pause_or_stop(few):
    live = LiveTraining(few)
    live.pause()
    live.resume()
    live.stop()
    assert live.wait(0)
    assert (live.status, live.message, live.losses) == ("ready", "", [])


def test_a_loss_that_is_not_finite_is_a_message(few, capfd):
    live = LiveTraining(few, max_epochs=50)
    live._run = lambda: Run(method="sgd", lr=1e30, epochs=3)  # the slider ends at 1
    live.start()
    assert live.wait(LONG)
    assert live.status == "failed"
    assert live.message.startswith("Diverged: sgd, seed 0: the loss is ")
    assert "Try a smaller one" in live.message
    assert 'role="alert"' in live._warning.value
    assert capfd.readouterr() == ("", "")
    del live._run
    live.start()
    assert live.message == ""
    live.stop()


def test_missing_data_is_a_message(monkeypatch):
    def missing(*_, **__):
        raise DataError("no CIFAR-10 here")

    monkeypatch.setattr("sema_lite.data.load_images", missing)
    live = LiveTraining()
    live.start()
    assert live.wait(LONG)
    assert (live.status, live.message) == ("failed", "DataError: no CIFAR-10 here")


def test_without_data_it_loads_the_mini_set_or_its_stand_in(few, monkeypatch):
    asked = []
    monkeypatch.setattr("sema_lite.data.load_images", lambda *a, **k: asked.append((a, k)) or few)
    live = LiveTraining(max_epochs=1)
    live.start()
    assert live.wait(LONG)
    assert (live.status, asked) == ("done", [(("cifar10",), {"fallback": "shapes10"})])


def test_settings_wait_for_the_end(few):
    live = LiveTraining(few, max_epochs=50)
    live.start()
    live.lr = 0.5
    assert live.lr == 0.05
    assert "Stop the training first" in live.message
    live._controls["seed"].value = 7  # as a reader would
    assert live.seed == live._controls["seed"].value == 0
    assert live._controls["seed"].disabled
    live.stop()
    live.lr = 0.5
    assert (live.lr, live.message) == (0.5, "")
    assert not live._controls["seed"].disabled


def test_buttons(few):
    live = LiveTraining(few, max_epochs=50)

    def enabled():
        return [not button.disabled for button in (live._start, live._pause, live._stop)]

    assert enabled() == [True, False, False]
    live._start.click()
    assert enabled() == [False, True, True]
    until(lambda: live.losses)
    live._pause.click()
    assert (enabled(), live._start.description) == ([True, False, True], "Resume")
    live._start.click()
    assert (enabled(), live._start.description) == ([False, True, True], "Start")
    live._stop.click()
    assert enabled() == [True, False, False]


def test_the_picture_grows_and_is_what_a_notebook_stores(few):
    live = LiveTraining(few, max_epochs=1)
    empty = live.png
    live.start()
    assert live.wait(LONG)
    assert live.png != empty
    data, metadata = live._repr_mimebundle_()
    assert data["text/plain"] == "LiveTraining"
    assert base64.b64decode(data["image/png"]) == live.png == bytes(live._image.value)
    assert metadata["alt"] == LiveTraining.alt
    assert "sema, done: step 2 of 2, loss " in live.readout_text
    assert live.readout_text in live._words.value


def test_it_uses_the_callers_number_of_threads(few, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "train", lambda *_, **__: seen.append(torch.get_num_threads()))
    live = LiveTraining(few)
    live.start()
    assert live.wait(LONG)
    assert seen == [1]


def test_python_ends_while_it_trains():
    code = (
        "from sema_lite.live_training import LiveTraining;"
        "from sema_lite.shapes import shapes10;"
        "live = LiveTraining(shapes10(train=128, test=20), max_epochs=100);"
        "live.start()"
    )
    # It imports torch anew, which on a busy machine alone takes most of a minute.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=5 * LONG)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
