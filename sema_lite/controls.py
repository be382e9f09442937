"""The settings of an explorer: what each accepts, and the control that shows it.

A setting is declared in the body of an `Explorer` class and is then a property of its objects:

    class Mine(Explorer):
        decay = Decay(0.9)

`mine.decay` reads it, and `mine.decay = 0.99` is `mine.set(decay=0.99)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import ipywidgets

from .reference import check_count

LABEL = {"description_width": "105px"}
STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)  # about equal factors, and numbers one can say


def ladder(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, ten for each factor of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    rungs = [float(f"{step}e{ten}") for ten in range(first, last + 1) for step in STEPS]
    return [rung for rung in rungs if low <= rung <= high]


def look(label: str) -> dict[str, Any]:
    """The label of a control, and a width that lets two stand side by side."""
    layout = ipywidgets.Layout(width="294px", margin="0")
    return {"description": label, "style": LABEL, "layout": layout}


def set_stops(slider: ipywidgets.SelectionSlider, options: Sequence[tuple[str, Any]]) -> None:
    """Give a slider other stops; it is at the first one then.

    In a page, a slider that is told of an index before it knows of so many stops cuts the index,
    shows another value than the kernel has, and may send that back. So each of the three changes
    goes alone: to the first stop, the new stops, and, by `Setting.show`, the new place.
    """
    slider.index = 0
    slider.options = options


class Setting:
    """What all settings share. `label` stands beside the control; `initial` is the first value."""

    def __init__(self, label: str, initial: Any) -> None:
        self.label, self.initial, self.name = label, initial, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, explorer: Any, owner: type | None = None) -> Any:
        return self if explorer is None else explorer.state[self.name]

    def __set__(self, explorer: Any, value: Any) -> None:
        explorer.set(**{self.name: value})

    def check(self, value: Any) -> Any:
        """`value` in the type that the state keeps.

        Raises:
            ValueError, TypeError: it is not accepted; the message says what is.
        """
        raise NotImplementedError

    def control(self) -> Any:
        """A new control, which shows `initial`."""
        raise NotImplementedError

    def show(self, control: Any, value: Any) -> None:
        """Let `control` show `value`, which has been checked."""
        if control.value != value:
            control.value = value


class Slider(Setting):
    """A number on a slider whose stops are `stops`. From Python any number between the first and
    the last is accepted: it becomes a stop of its own.

    Args:
        whole: only whole numbers.
    """

    def __init__(
        self, label: str, initial: float, stops: Sequence[float], whole: bool = False
    ) -> None:
        super().__init__(label, initial)
        self.whole = whole
        self.stops = sorted({int(stop) for stop in stops} if whole else set(stops))

    def check(self, value: Any) -> float:
        low, high = self.stops[0], self.stops[-1]
        kind = "whole number" if self.whole else "number"
        message = f"{self.name} must be a {kind} from {low:g} to {high:g}, got {value!r:.60}"
        number: Any = value
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(message)
        if not low <= number <= high or (self.whole and number % 1):  # NaN fails the first
            raise ValueError(message)
        return int(number) if self.whole else float(number)

    def control(self) -> ipywidgets.SelectionSlider:
        return ipywidgets.SelectionSlider(
            options=self._options(self.initial), value=self.initial, **look(self.label)
        )

    def show(self, control: Any, value: Any) -> None:
        if all(value != stop for _, stop in control.options):
            set_stops(control, self._options(value))
        super().show(control, value)

    def _options(self, value: float) -> list[tuple[str, float]]:
        return [(f"{stop:.6g}", stop) for stop in sorted({*self.stops, value})]


class Decay(Slider):
    """The decay d, on a slider that is logarithmic in the horizon 1/(1-d)."""

    def __init__(self, initial: float = 0.99, longest: float = 10_000) -> None:
        stops = [round(1 - 1 / horizon, 10) for horizon in ladder(1, longest)]
        super().__init__("decay d", initial, stops)


class Choice(Setting):
    """One of a few names, on a slider as well: in a dropdown the up and down keys do nothing in
    JupyterLab, which takes them to walk from cell to cell.

    Args:
        short: what the control shows for a name too long for it.
    """

    def __init__(
        self, label: str, initial: str, options: Sequence[str], short: dict[str, str] | None = None
    ) -> None:
        super().__init__(label, initial)
        self.options, self.short = list(options), short or {}

    def check(self, value: Any) -> str:
        if value not in self.options:
            known = ", ".join(map(repr, self.options))
            raise ValueError(f"{self.name} must be one of {known}, got {value!r:.60}")
        return str(value)

    def control(self) -> ipywidgets.SelectionSlider:
        return ipywidgets.SelectionSlider(
            options=[(self.short.get(name, name), name) for name in self.options],
            value=self.initial,
            **look(self.label),
        )


class Whole(Setting):
    """A whole number from `least` to `most` in a text field."""

    def __init__(self, label: str, initial: int, least: int, most: int) -> None:
        super().__init__(label, initial)
        self.least, self.most = least, most

    def check(self, value: Any) -> int:
        number = check_count(self.name, value, self.least)
        if number > self.most:
            raise ValueError(f"{self.name} must be <= {self.most}, got {value!r:.60}")
        return number

    def control(self) -> ipywidgets.IntText:
        return ipywidgets.IntText(value=self.initial, **look(self.label))


class Flag(Setting):
    """On or off."""

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{self.name} must be True or False, got {value!r:.60}")
        return value

    def control(self) -> ipywidgets.Checkbox:
        return ipywidgets.Checkbox(value=self.initial, **look(self.label))


NONE = "none"  # what a control shows for None, which cannot be one of its values


class Stored(Setting):
    """One of the values that the chosen stored runs hold. The explorer says which they are.

    Args:
        told: their names are too long to stand beside the slider: the explorer's words tell it.
    """

    def __init__(self, label: str, initial: Any, told: bool = False) -> None:
        super().__init__(label, initial)
        self.told = told

    def check(self, value: Any) -> Any:
        if value is None or value == NONE:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, Real)):
            raise TypeError(f"{self.name} must be one of the stored values, got {value!r:.60}")
        return value

    def control(self) -> ipywidgets.SelectionSlider:
        options = [(stop_name(self.initial), self.initial)]
        return ipywidgets.SelectionSlider(
            options=options, value=self.initial, readout=not self.told, **look(self.label)
        )

    def offer(self, control: Any, options: Sequence[Any], value: Any) -> None:
        """Let `control` offer `options`, and show `value`."""
        pairs = [(stop_name(each), NONE if each is None else each) for each in options]
        if list(control.options) != pairs:
            set_stops(control, pairs)
            self.show(control, value)

    def show(self, control: Any, value: Any) -> None:
        super().show(control, NONE if value is None else value)


def stop_name(value: Any) -> str:
    """What a control shows for a stored value."""
    return NONE if value is None else value if isinstance(value, str) else f"{value:g}"
