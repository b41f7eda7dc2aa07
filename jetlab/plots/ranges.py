"""Rows of a table as points with their range over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jetlab.style import THEMES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_ranges", "range_panels"]


def range_panels(figure: Figure, table: pd.DataFrame, n: int, *, left: float, gap: float) -> list[Axes]:
    """Panels side by side for `draw_ranges`, with the names of the rows on the left and their seeds and time above.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    table : pandas.DataFrame
        With ``name``, ``seeds``, ``steps`` and ``cpu_seconds``.
    n : int
        Panels.
    left : float
        Room for the names [inch].
    gap : float
        Between two panels, as a share of their width.
    """
    width, height = figure.get_size_inches()
    panels = list(figure.subplots(1, n, sharey=True, squeeze=False)[0])
    figure.subplots_adjust(
        left=left / width, right=1 - 0.2 / width, bottom=1.1 / height, top=1 - 0.5 / height, wspace=gap
    )
    panels[0].set_yticks(range(len(table)), table["name"].str.replace(" + ", "\n+ ", regex=False))
    figure.text(0.995, 1 - 0.12 / height, _seeds_and_time(table), ha="right", va="top", fontsize=11)
    return panels


def draw_ranges(axes: Axes, table: pd.DataFrame, name: str, *, colours: Sequence[str], theme: str) -> None:
    """Draw the column `name` as points, one row below the other, with bars from ``<name>_low`` to ``<name>_high``."""
    for row, ((_, values), colour) in enumerate(zip(table.iterrows(), colours, strict=True)):
        axes.plot([values[f"{name}_low"], values[f"{name}_high"]], [row, row], color=colour, lw=2, alpha=0.6)
        axes.plot(values[name], row, color=colour, marker="o", ms=7)
    axes.grid(visible=True, axis="x", color=THEMES[theme].faint, lw=0.8)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_ylim(len(table) - 0.4, -0.6)


def _seeds_and_time(table: pd.DataFrame) -> str:
    """How many seeds the rows are of, and what processor time was spent on each that was trained."""
    seeds, times = table["seeds"], table.loc[table["steps"] > 0, "cpu_seconds"]
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    if not len(times):
        return f"median and range of {number} seeds"
    shortest, longest = f"{times.min():,.0f}", f"{times.max():,.0f}"
    spent = longest if shortest == longest else f"{shortest} to {longest}"
    return f"median and range of {number} seeds, {spent} s of processor time each"
