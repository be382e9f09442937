"""Training that one can watch, pause and stop, in a notebook whose other cells go on working."""

from __future__ import annotations

import atexit
import contextvars
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import ipywidgets
from matplotlib.ticker import MaxNLocator

from . import plots
from .controls import Choice, Decay, Slider, Whole, ladder
from .explorer import Explorer, Measured
from .theory import METHODS

if TYPE_CHECKING:
    from .data import ImageData
    from .training import Epoch, Result

DRAW_EVERY = 0.2  # seconds between two pictures, at least
TOP_LOSS = 4.0  # of the picture; guessing among ten classes costs 2.3


class Stopped(Exception):
    """Raised in the thread to end a training that was asked to stop."""


class LiveTraining(Explorer):
    """A network that is trained in a thread: Start, Pause, Stop, and curves that grow.

    One training at a time: to make another `LiveTraining`, or to start one, stops the one before.
    So no thread is left behind when a cell is run again. While it trains settings stay as they are.
    An error in the thread, such as a loss that is not finite, ends as the `message`.

    The thread prints nothing. As `training.train` does, it puts torch's random numbers back at its
    end to what they were at its start.

    Args:
        data: what it trains on; None loads the mini set of CIFAR-10, or draws shapes10 where there
            is none.

    Readout: `status`, `step`, `steps`, `loss` of the last step, `epoch`, and the test accuracy
    `live` and `averaged` after the last epoch. Curves: `losses`, `live`, `averaged`.
    """

    alt = (
        "Left: the loss of each step. Right: test accuracy after each epoch, of the live weights "
        "(grey) and of their average (in colour). Both are empty until Start is pressed."
    )
    height = 270
    shares = (1.0, 1.0)
    _latest: weakref.ref[LiveTraining] | None = None

    method = Choice("method", "sema", METHODS)
    lr = Slider("learning rate", 0.05, ladder(0.001, 1))
    decay = Decay(0.9)
    max_epochs = Whole("epochs", 3, 1, 100)
    seed = Whole("seed", 0, 0, 10**9)

    def __init__(self, data: ImageData | None = None, **settings: Any) -> None:
        self.data = data
        self.status = "ready"  # then "running", "paused", and at last "done", "stopped", "failed"
        self.losses: list[float] = []  # of each step
        self.epochs: list[Epoch] = []  # measured so far
        self.result: Result | None = None  # of a training that came to its end
        self._steps = 0
        self._thread: threading.Thread | None = None
        self._go, self._waits, self._halt = (threading.Event() for _ in range(3))
        self._lock = threading.RLock()  # figures and widgets are changed by one thread at a time
        self._drawn = 0.0
        self._only_one()
        super().__init__(**settings)

    def _only_one(self) -> None:
        """Stop the one before, and be the one."""
        before = LiveTraining.latest()
        if before is not None and before is not self:
            before.stop()
        LiveTraining._latest = weakref.ref(self)

    @staticmethod
    def latest() -> LiveTraining | None:
        """The one that was made or started last, if there still is one."""
        found = LiveTraining._latest
        return None if found is None else found()

    # -- to press, or to call ---------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a training is under way, paused or not."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin a training with the present settings, or go on with one that is paused."""
        if self.running:
            self.resume()
            return
        self._only_one()
        self.losses, self.epochs, self.result, self._steps = [], [], None, 0
        self._go.set()
        self._waits.clear()
        self._halt.clear()
        self._say("")
        self._become("running")
        # With this cell's context, in which the kernel knows whom to send pictures to.
        work = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=work, args=(self._work, _threads()), daemon=True, name="LiveTraining"
        )
        self._thread.start()

    def pause(self) -> None:
        """Wait before the next step. When this returns, it does, or the training is over."""
        if self.status != "running":
            return
        self._waits.clear()
        self._go.clear()
        while self.running and not self._waits.wait(0.01):
            pass
        if self.running:
            self._become("paused")

    def resume(self) -> None:
        """Go on with a training that is paused."""
        if self.status == "paused":
            self._become("running")
            self._go.set()

    def stop(self) -> None:
        """End the training after the step that it is in. What was measured stays to be read."""
        self._halt.set()
        self._go.set()
        self.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of the training, `timeout` seconds at most; whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    # -- in the thread ----------------------------------------------------------------------------

    def _work(self, threads: int) -> None:
        import torch

        from .training import train

        torch.set_num_threads(threads)  # a thread of its own may begin with another number
        try:
            data = self._data()
            run = self._run()
            self._steps = run.epochs * run.steps_per_epoch(data)
            self._refresh()
            self.result = train(
                run, data, progress=False, on_step=self._on_step, on_epoch=self._on_epoch
            )
            end, message = "done", ""
        except Stopped:
            end, message = "stopped", ""
        except Exception as error:  # there is nobody else to tell
            end, message = "failed", f"{type(error).__name__}: {error}"
        with self._lock:
            self._become(end)
            self._say(message)

    def _data(self) -> ImageData:
        if self.data is None:
            from .data import load_images

            self.data = load_images("cifar10", fallback="shapes10")
        return self.data

    def _run(self) -> Any:
        from .run import Run

        state = self.state
        decay = state["decay"] if state["method"] in ("ema", "sema") else None
        return Run(
            method=state["method"],
            lr=state["lr"],
            decay=decay,
            epochs=state["max_epochs"],
            seed=state["seed"],
        )

    def _on_step(self, step: int, loss: float) -> None:
        self.losses.append(loss)
        if step == 1 or time.monotonic() > self._drawn + DRAW_EVERY:
            self._refresh()
        if not self._go.is_set():
            self._refresh()
            self._waits.set()
            self._go.wait()
        if self._halt.is_set():
            raise Stopped

    def _on_epoch(self, measured: list[Epoch]) -> None:
        self.epochs.append(measured[0])
        self._refresh()

    # -- the picture ------------------------------------------------------------------------------

    def _become(self, status: str) -> None:
        with self._lock:
            self.status = status
            self._start.description = "Resume" if status == "paused" else "Start"
            self._start.disabled = status == "running"
            self._pause.disabled = status != "running"
            self._stop.disabled = status not in ("running", "paused")
            for control in self._controls.values():
                control.disabled = not self._stop.disabled
            self._refresh()

    def _refresh(self) -> None:
        """Measure and draw anew, in whichever thread."""
        with self._lock:
            self._drawn = time.monotonic()
            self._measured = self._measure(self._state)
            self._redraw()

    def _extra_controls(self) -> list[Any]:
        buttons = []
        for name, icon, do in (
            ("Start", "play", self.start),
            ("Pause", "pause", self.pause),
            ("Stop", "stop", self.stop),
        ):
            button = ipywidgets.Button(description=name, icon=icon)
            button.disabled = name != "Start"
            button.on_click(lambda _, do=do: do())
            buttons.append(button)
        self._start, self._pause, self._stop = buttons
        return [ipywidgets.HBox(buttons)]

    def set(self, **settings: Any) -> None:
        """Change several settings at once; not while it trains."""
        with self._lock:
            if self.status in ("running", "paused"):
                self._say("Stop the training first: settings are those of the next one.")
                self._show_state()
            else:
                super().set(**settings)

    def _measure(self, state: dict[str, Any]) -> Measured:  # noqa: ARG002  # is for the next one
        losses, epochs = list(self.losses), list(self.epochs)
        live = [epoch.live.accuracy for epoch in epochs]
        averaged = [epoch.averaged.accuracy for epoch in epochs if epoch.averaged is not None]
        readout = {
            "status": self.status,
            "step": len(losses),
            "steps": self._steps,
            "loss": losses[-1] if losses else None,
            "epoch": len(epochs),
            "live": live[-1] if live else None,
            "averaged": averaged[-1] if averaged else None,
        }
        return Measured(readout, {"losses": losses, "live": live, "averaged": averaged})

    def _paint(self) -> None:
        panels = self.canvas
        self._loss = panels.line(0, "live", linewidth=1)
        self._live = panels.line(1, "live", marker="o", markersize=4, label="live")
        self._average = panels.line(1, "sema", marker="o", markersize=4, linestyle="--")
        loss, accuracy = panels.axes
        self._name = panels.moving(
            accuracy.text(1, 1.02, "", ha="right", fontsize=9, transform=accuracy.transAxes)
        )
        panels.label(0, "loss of each step", xlabel="step", ylim=(0, TOP_LOSS))
        panels.label(1, "test acc., %", xlabel="epoch", ylim=(0, 100))
        for ax in (loss, accuracy):
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))

    def _draw(self) -> tuple[int, int]:
        key = (self._steps, self.max_epochs)
        self.canvas.axes[0].set_xlim(0, self._steps or 100)
        self.canvas.axes[1].set_xlim(0, self.max_epochs + 0.5)
        losses = [min(loss, TOP_LOSS) for loss in self.curves["losses"]]
        self._loss.set_data(range(1, len(losses) + 1), losses)
        for line, name in ((self._live, "live"), (self._average, "averaged")):
            points = self.curves[name]
            line.set_data(range(1, len(points) + 1), [100 * value for value in points])
        self._name.set_text("" if self.method == "sgd" else f"average ({self.method})")
        for artist in (self._average, self._name):
            artist.set_color(plots.COLOURS[self.method])
        return key

    def _tell(self) -> str:
        read = self.readout
        words = f"{self.method}, {read['status']}"
        if read["step"]:
            words += f": step {read['step']} of {read['steps']}, loss {read['loss']:.2f}"
        if read["epoch"]:
            words += f"; after epoch {read['epoch']}: live {read['live']:.1%}"
        if read["averaged"] is not None:
            words += f", averaged {read['averaged']:.1%}"
        return words + "."


def _threads() -> int:
    import torch

    return torch.get_num_threads()


@atexit.register
def _stop_the_last() -> None:
    """No thread is inside torch when Python ends."""
    last = LiveTraining.latest()
    if last is not None:
        last.stop()
