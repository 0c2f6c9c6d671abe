"""What a benchmark gives: rows of a table and a figure, kept as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, Literal


@dataclass(frozen=True)
class Row:
    """One number of a table.

    Args:
        what: What was measured, or what was not and why.
        unit: Unit of the value.
        value: Median over the rounds, or the one value of a count; None where nothing was measured.
        quartiles: First and third quartile over the rounds; None for a count.
        at_least: Target, or None.
        at_most: Target, or None.
    """

    what: str
    unit: str = ""
    value: float | None = None
    quartiles: Sequence[float] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the value meets its target; None without either."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


@dataclass(frozen=True)
class Curve:
    """Points of a figure that belong together; of bars, ``x`` are the labels.

    Args:
        panel: Title of the panel it is drawn in.
        name: Its entry in the legend.
        x: Places of the points.
        y: Medians.
        low: First quartiles, or None.
        high: Third quartiles, or None.
    """

    panel: str
    name: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Figure:
    """A figure: one panel for each title among its curves.

    Args:
        kind: Horizontal ``"bars"`` side by side, ``"stacked"`` bars, or lines on ``"linear"`` or ``"log"`` axes.
        x_label: Label of the horizontal axis; empty for the panel's title instead.
        y_label: Label of the vertical axis.
        curves: What is drawn.
    """

    kind: Literal["bars", "stacked", "linear", "log"]
    x_label: str
    y_label: str
    curves: Sequence[Curve]


@dataclass(frozen=True)
class Result:
    """What one benchmark measured on one device.

    Args:
        title: Title of its section.
        about: What is measured and how.
        sizes: The sizes it ran at.
        rows: The table.
        figure: The figure, or None.
        command: The command that makes it.
        machine: Where and when it ran.
    """

    title: str
    about: str
    sizes: str
    rows: Sequence[Row]
    figure: Figure | None = None
    command: str = ""
    machine: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "Result":
        """The result that ``dataclasses.asdict`` was made of."""
        rows = [Row(**row) for row in saved["rows"]]
        figure = saved["figure"]
        if figure is not None:
            figure = Figure(**{**figure, "curves": [Curve(**curve) for curve in figure["curves"]]})
        return cls(**{**saved, "rows": rows, "figure": figure})


def measured(
    what: str, unit: str, values: Sequence[float], at_least: float | None = None, at_most: float | None = None
) -> Row:
    """Row of the median and quartiles of one value a round."""
    return Row(what, unit, median(values), quartiles(values), at_least, at_most)


def quartiles(values: Sequence[float]) -> tuple[float, float] | None:
    """First and third quartile; None of a single value."""
    if len(values) < 2:
        return None
    first, _, third = quantiles(values, n=4, method="inclusive")
    return first, third


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Ratio of two contestants in each round."""
    return [numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]


def curve(panel: str, name: str, points: Mapping[Any, Sequence[float]]) -> Curve:
    """Curve of the median and quartiles over the rounds at each place."""
    spreads = [quartiles(values) or (median(values), median(values)) for values in points.values()]
    return Curve(
        panel,
        name,
        list(points),
        [median(values) for values in points.values()],
        [low for low, _ in spreads],
        [high for _, high in spreads],
    )


def format_number(value: float) -> str:
    """Three significant digits, or all those before the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f}"
