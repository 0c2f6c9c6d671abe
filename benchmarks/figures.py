"""The benchmarks' figures."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogFormatter, NullLocator

from benchmarks.results import Curve, Figure, format_number

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = "osD^v"
PANEL_INCHES = (4.6, 3.4)
COLUMNS = 2


def draw(figure: Figure) -> Canvas:
    """Draw a figure: a panel for each title among its curves, one legend for all."""
    panels: dict[str, list[Curve]] = {}
    for curve in figure.curves:
        panels.setdefault(curve.panel, []).append(curve)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width, height = PANEL_INCHES
    canvas = Canvas(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(canvas.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, curves) in zip(axes, panels.items(), strict=False):
        if figure.kind == "bars":
            _draw_bars(axis, curves)
        elif figure.kind == "stacked":
            _draw_stacked(axis, curves)
        else:
            _draw_lines(axis, curves)
        if figure.kind == "log":
            _use_logarithms(axis, curves)
        if figure.kind == "linear":
            axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(figure.x_label)
        axis.set_ylabel(figure.y_label)
        axis.grid(axis="x" if figure.kind in ("bars", "stacked") else "both", alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0].get_legend_handles_labels()
    if len(handles) > 1:
        ncols = min(len(names), 3 * columns)
        canvas.legend(handles, names, loc="outside lower center", ncols=ncols, frameon=False, fontsize=9)
    return canvas


def _draw_bars(axis: Axes, curves: Sequence[Curve]) -> None:
    height = 0.8 / len(curves)
    for i, curve in enumerate(curves):
        places = [place + i * height for place in range(len(curve.y))]
        bars = axis.barh(places, curve.y, height, xerr=_error_bars(curve), color=COLOURS[i], label=curve.name)
        axis.bar_label(bars, fmt=format_number, padding=4, fontsize=7)
    axis.set_yticks([place + 0.4 - height / 2 for place in range(len(curves[0].x))], [str(x) for x in curves[0].x])
    axis.invert_yaxis()
    axis.margins(x=0.15)


def _draw_stacked(axis: Axes, curves: Sequence[Curve]) -> None:
    labels = [str(x) for x in curves[0].x]
    left = [0.0] * len(labels)
    for i, curve in enumerate(curves):
        axis.barh(labels, curve.y, 0.6, left=left, color=COLOURS[i], label=curve.name)
        left = [start + width for start, width in zip(left, curve.y, strict=True)]
    axis.invert_yaxis()


def _draw_lines(axis: Axes, curves: Sequence[Curve]) -> None:
    for i, curve in enumerate(curves):
        axis.plot(curve.x, curve.y, marker=MARKERS[i], ms=4, color=COLOURS[i], label=curve.name)
        if curve.low is not None and curve.high is not None:
            axis.fill_between(curve.x, curve.low, curve.high, color=COLOURS[i], alpha=0.2, linewidth=0)


def _use_logarithms(axis: Axes, curves: Sequence[Curve]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(curves[0].x, [f"{x:,}" for x in curves[0].x])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(LogFormatter())
    axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def _error_bars(curve: Curve) -> list[list[float]] | None:
    if curve.low is None or curve.high is None:
        return None
    below = [y - low for y, low in zip(curve.y, curve.low, strict=True)]
    return [below, [high - y for y, high in zip(curve.y, curve.high, strict=True)]]
