"""What network calls buy: distance to true jets against the number of calls, one line a method."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from jetlab.errors import JetLabError
from jetlab.plots.canvas import drawing, one_two_five, plain_number
from jetlab.plots.generation import measure_label
from jetlab.style import THEMES, SampleStyle, sample_styles

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quality_by_calls"]

MARKERS = ("o", "s", "^", "D", "v")


def quality_by_calls(
    table: pd.DataFrame, *, measures: Sequence[str] | None = None, columns: int = 3, theme: str = "light"
) -> Figure:
    """Draw the mean over the classes of each measure against the network calls, in units of its floor.

    Parameters
    ----------
    table : pandas.DataFrame
        From `jetlab.tasks.sampling.sampling_study`.
    measures : sequence of str, optional
        Of its column ``measure``; all Wasserstein distances if not given.
    columns : int
        Panels side by side.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If the table is empty or has no such measure.
    """
    if table.empty:
        msg = "there is nothing to draw; expected the rows of sampling_study"
        raise JetLabError(msg)
    known = list(dict.fromkeys(table["measure"]))
    chosen = [m for m in known if m.startswith("w1 ")] if measures is None else list(measures)
    unknown = [m for m in chosen if m not in known]
    if unknown or not chosen:
        msg = f"the table has no measure {', '.join(unknown) or 'at all'}; it has {', '.join(known)}"
        raise JetLabError(msg)
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    methods = list(dict.fromkeys(table["method"]))
    styles = sample_styles(methods, theme=theme)
    width, height = 4.6 * columns, 3.9 * rows + 0.4
    with drawing(width, height, theme=theme) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
        figure.subplots_adjust(
            left=1.15 / width, right=1 - 0.2 / width, bottom=0.8 / height, top=1 - 0.45 / height, wspace=0.3, hspace=0.3
        )
        for axes, measure in zip(panels.flat, chosen, strict=False):
            part = table[table["measure"] == measure]
            for method, marker in zip(methods, cycle(MARKERS)):
                _draw(axes, part[part["method"] == method], styles[method], marker=marker, label=method)
            axes.axhline(1, color=THEMES[theme].text, lw=1, ls=":")
            axes.set(xscale="log", yscale="log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(plain_number)
            axes.yaxis.set_minor_formatter(one_two_five)
            axes.set_title(measure_label(measure), fontsize=14)
        for axes in panels.flat[len(chosen) :]:
            axes.set_visible(False)
        for axes in panels.flat[max(0, len(chosen) - columns) : len(chosen)]:
            axes.set_xlabel("Network calls")
            axes.xaxis.set_tick_params(labelbottom=True)
        for axes in panels[:, 0]:
            axes.set_ylabel("Distance over floor")
        panels[0, 0].legend()
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, style: SampleStyle, *, marker: str, label: str) -> None:
    """Mean over the classes of the ratio to the floor, with its uncertainty."""
    ratio = (rows["value"] / rows["floor"]).groupby(rows["calls"])
    error = ((rows["error"] / rows["floor"]) ** 2).groupby(rows["calls"]).sum() ** 0.5 / ratio.size()
    mean = ratio.mean()
    axes.errorbar(
        mean.index, mean, error, color=style.colour, ls=style.linestyle, marker=marker, ms=7, capsize=2, label=label
    )
