"""What every explorer is made of: settings, one picture, a line of text, a line for messages."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import ipywidgets
import matplotlib
import traitlets

from .canvas import Canvas
from .controls import Setting
from .plots import STYLE

# One white pixel. An image widget is created with it and gets its picture afterwards.
BLANK = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTjkaQAAAABJRU5ErkJggg=="
)


class Picture(ipywidgets.Image):  # type: ignore[misc, unused-ignore]
    """An image with a text for screen readers. The only one that ipywidgets has for it is the
    tooltip, from version 8 on, and its view asks for a description first, which images lack."""

    description = traitlets.Unicode("").tag(sync=True)


class Measured(NamedTuple):
    """What an explorer finds out about a state."""

    readout: dict[str, Any]
    curves: dict[str, Any]  # what the picture shows, by name
    note: str = ""  # something to tell about an accepted state, such as a walk that diverged


class Explorer(ipywidgets.VBox):  # type: ignore[misc, unused-ignore]
    """Controls, a picture and a readout. Initial settings are given by name: `Mine(decay=0.9)`.

    Each setting is a property. A value that is not accepted raises nothing: the state stays as it
    was, and `message` says what is accepted.

    A class of its own declares its settings, and four methods: `_paint` makes the artists once,
    `_measure` computes, `_draw` moves the artists, `_tell` puts the readout into words.
    """

    canvas: Canvas
    alt: ClassVar[str]  # what one sees, for those who cannot
    width: ClassVar[int] = 590  # fits into a notebook of 700 pixels
    height: ClassVar[int] = 290
    shares: ClassVar[tuple[float, ...]] = (1.0,)  # relative widths of the axes
    settings: ClassVar[dict[str, Setting]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: each for name, each in vars(cls).items() if isinstance(each, Setting)}
        cls.settings = {**cls.settings, **own}

    def __init__(self, **settings: Any) -> None:
        controls = {name: setting.control() for name, setting in self.settings.items()}
        size = ipywidgets.Layout(width=f"{self.width}px", height=f"{self.height}px", margin="0")
        image = Picture(value=BLANK, format="png", layout=size)
        if image.has_trait("tooltip"):
            image.tooltip = self.alt
        words, warning = ipywidgets.HTML(), ipywidgets.HTML()
        super().__init__(
            [_rows([*controls.values(), *self._extra_controls()]), image, words, warning],
            layout=ipywidgets.Layout(width=f"{self.width + 2}px", max_width="100%"),
        )
        self._controls, self._image, self._words, self._warning = controls, image, words, warning
        self._state = {name: setting.initial for name, setting in self.settings.items()}
        self._quiet = False
        self.message = ""
        self._measured = self._measure(self._state)
        self.canvas = Canvas(self.width, self.height, self.shares)
        with matplotlib.rc_context(STYLE):
            self._paint()
        for name, control in controls.items():
            control.observe(self._listener(name), "value")
        self._commit(self._state, self._measured)
        if settings:
            self.set(**settings)

    # -- for each class to write ------------------------------------------------------------------

    def _extra_controls(self) -> list[Any]:
        return []

    def _paint(self) -> None:
        """Make the artists, once."""
        raise NotImplementedError

    def _measure(self, state: dict[str, Any]) -> Measured:
        """Compute what `state` leads to. A ValueError or a TypeError refuses it."""
        raise NotImplementedError

    def _draw(self) -> Any:
        """Move the artists to the present state; returns the name of the ground, if it has any."""
        raise NotImplementedError

    def _tell(self) -> str:
        """The readout in one or two lines."""
        raise NotImplementedError

    # -- to read and to set -----------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """All settings, by name."""
        return dict(self._state)

    @property
    def readout(self) -> dict[str, Any]:
        """The numbers that it shows, by name, with all their digits."""
        return dict(self._measured.readout)

    @property
    def curves(self) -> dict[str, Any]:
        """What the picture shows, by name."""
        return dict(self._measured.curves)

    @property
    def readout_text(self) -> str:
        """What stands under the picture."""
        return self._tell()

    @property
    def png(self) -> bytes:
        """The present picture."""
        return self._png

    def set(self, **settings: Any) -> None:
        """Change several settings at once, and redraw once. All of them are accepted, or none."""
        try:
            state = {**self._state, **self._checked(settings)}
            measured = self._measure(state)
        except (ValueError, TypeError) as error:
            self._say(str(error))
            self._show_state()
        else:
            self._commit(state, measured)

    def _checked(self, settings: dict[str, Any]) -> dict[str, Any]:
        for name in settings:
            if name not in self.settings:
                known = ", ".join(self.settings)
                raise ValueError(f"there is no setting {name!r}; there are {known}")
        return {name: self.settings[name].check(value) for name, value in settings.items()}

    def _commit(self, state: dict[str, Any], measured: Measured) -> None:
        self._state, self._measured = state, measured
        self._show_state()
        self._redraw()
        self._say(measured.note)

    def _redraw(self) -> None:
        self._png = self.canvas.png(self._draw())
        self._image.value = self._png
        self._words.value = f'<div role="status">{html.escape(self._tell())}</div>'

    def _say(self, message: str) -> None:
        self.message = message
        self._warning.value = f'<b role="alert">{html.escape(message)}</b>' if message else ""

    # -- controls ---------------------------------------------------------------------------------

    def _show_state(self) -> None:
        with self._no_listening():
            for name, setting in self.settings.items():
                setting.show(self._controls[name], self._state[name])

    @contextmanager
    def _no_listening(self) -> Iterator[None]:
        """Inside, a control that changes does not set anything: it only follows the state."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _listener(self, name: str) -> Any:
        def changed(change: Any) -> None:
            if not self._quiet:
                self.set(**{name: change["new"]})

        return changed

    # -- in a notebook ----------------------------------------------------------------------------

    # ipywidgets 7 shows itself by a method of this name, and then IPython asks for nothing else.
    _ipython_display_ = None

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and a picture for readers where nothing runs, with its alt text."""
        data = {
            "text/plain": type(self).__name__,  # constant: tests of notebooks compare it
            "image/png": base64.b64encode(self.png).decode("ascii"),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            },
        }
        return data, {"image/png": {"alt": self.alt}, "alt": self.alt}

    def __repr__(self) -> str:
        return type(self).__name__


def _rows(controls: list[Any]) -> ipywidgets.Box:
    """Controls side by side, two in a row where there is room."""
    layout = ipywidgets.Layout(display="flex", flex_flow="row wrap", width="100%")
    return ipywidgets.Box(controls, layout=layout)
