"""A figure that is drawn once and then only changed: fast enough to follow a slider.

Axes, ticks and contours, the *ground*, are drawn once and kept as pixels. What moves is drawn over
a copy of these pixels, and the result is packed as a PNG. matplotlib calls this blitting.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Hashable
from typing import Any, TypeVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .plots import COLOURS, DASHES, STYLE

DPI = 100
KEPT = 12  # grounds; each is a megabyte
AnyArtist = TypeVar("AnyArtist", bound=Artist)


class Canvas:
    """One picture of `width` x `height` pixels, with as many axes side by side as there are
    entries in `shares`, their relative widths.

    The figure is made without pyplot, so that no notebook shows it a second time.
    """

    def __init__(self, width: int, height: int, shares: tuple[float, ...] = (1.0,)) -> None:
        with matplotlib.rc_context(STYLE):
            no_layout: Any = "none"  # fixed margins: axes must not move when their ticks change
            self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout=no_layout)
            self._agg: Any = FigureCanvasAgg(self.figure)
            self.axes: list[Axes] = list(
                self.figure.subplots(
                    1,
                    len(shares),
                    squeeze=False,
                    width_ratios=shares,
                    gridspec_kw={
                        "left": 65 / width,
                        "right": 1 - 20 / width,
                        "bottom": 48 / height,
                        "top": 1 - 28 / height,
                        "wspace": 0.3,
                    },
                )[0]
            )
        self._moving: list[Artist] = []
        self._grounds: dict[Hashable, Any] = {}

    def moving(self, artist: AnyArtist) -> AnyArtist:
        """Take `artist` out of the ground: it may change from picture to picture."""
        artist.set_animated(True)
        self._moving.append(artist)
        return artist

    def line(self, panel: int, method: str, **options: Any) -> Any:
        """An empty line that moves, in the colour and dash of `method`."""
        style = {"color": COLOURS[method], "linestyle": DASHES.get(method, "-"), **options}
        return self.moving(self.axes[panel].plot([], [], **style)[0])

    def point(self, panel: int, method: str, marker: str = "o", **options: Any) -> Any:
        """The same for a mark at one or more points."""
        style = {"markersize": 8, "markeredgecolor": "white", "linestyle": "none", "zorder": 5}
        return self.line(panel, method, marker=marker, **{**style, **options})

    def label(self, panel: int, title: str, legend: str | None = None, **options: Any) -> None:
        """Title, limits and labels of one of the axes, and a legend of its labelled lines.

        Args:
            legend: where it stands, such as "upper left".
            options: as of `Axes.set`.
        """
        ax = self.axes[panel]
        ax.set_title(title, loc="left", fontsize=10)
        ax.set(**options)
        if legend:
            place: Any = legend
            ax.legend(loc=place, fontsize=9, handlelength=2.4, frameon=False)

    def has(self, ground: Hashable) -> bool:
        """Whether the pixels of this ground are kept already."""
        return ground in self._grounds

    def png(self, ground: Hashable = None) -> bytes:
        """The picture as it is now, as a PNG file.

        Args:
            ground: a name for what does not move. Pixels are kept for each name, so change axes
                or other unmoved artists only together with the name.
        """
        if ground not in self._grounds:
            while len(self._grounds) >= KEPT:
                del self._grounds[next(iter(self._grounds))]  # the oldest
            self._agg.draw()
            self._grounds[ground] = self._agg.copy_from_bbox(self.figure.bbox)
        self._agg.restore_region(self._grounds[ground])
        renderer = self._agg.get_renderer()
        for artist in self._moving:
            artist.draw(renderer)
        return encode(np.asarray(self._agg.buffer_rgba()))


def encode(pixels: Any) -> bytes:
    """A PNG file of `pixels`, (height, width, 4) bytes: red, green, blue, opacity.

    It compresses lightly and tries no filters, and so takes a third of the time that the writers
    of image libraries take. The file travels a short way: its size does not matter.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 4 * width), np.uint8)  # each row begins with a 0: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)  # 8 bits each, RGBA
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
