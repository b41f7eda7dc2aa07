"""How well systems generate after equal compute: distances of their jets over the floor, a panel an observable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jetlab.errors import JetLabError
from jetlab.observables import OBSERVABLES
from jetlab.plots.canvas import drawing, plain_number
from jetlab.plots.ranges import draw_ranges, range_panels
from jetlab.style import THEMES, sample_styles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["generators_figure"]


def generators_figure(table: pd.DataFrame, *, theme: str = "light") -> Figure:
    """Draw a row for each system, and a panel for each observable.

    Points are medians over the seeds, bars their range; the vertical line is where two true samples stand.

    Parameters
    ----------
    table : pandas.DataFrame
        From `jetlab.tasks.generator_study.generator_table`.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If nothing was measured.
    """
    names = [name for name in OBSERVABLES if f"{name}_low" in table]
    if table.empty or not names:
        msg = "there is nothing to draw; expected the rows of jetlab.tasks.generator_study.generator_table"
        raise JetLabError(msg)
    width, height = 3.6 + 2.1 * len(names), 1.75 + 0.55 * len(table)
    with drawing(width, height, theme=theme) as figure:
        panels = range_panels(figure, table, len(names), left=3.6, gap=0.12)
        colour = sample_styles(["pretrained"])["pretrained"].colour
        for axes, name in zip(panels, names, strict=True):
            axes.set_xscale("log")
            axes.axvline(1, color=THEMES[theme].true, lw=1, ls=":")
            draw_ranges(axes, table, name, colours=[colour] * len(table), theme=theme)
            reach = max(2.2, 1.2 * float(table[f"{name}_high"].max()))
            axes.set_xlim(0.85 * min(1.0, float(table[f"{name}_low"].min())), reach)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if reach < 15 else (1, 3)))
            axes.xaxis.set_major_formatter(FuncFormatter(plain_number))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(OBSERVABLES[name].label)
        figure.supxlabel(
            "Wasserstein distance / that of two true samples", x=0.5 + 1.7 / width, y=0.1 / height, fontsize="medium"
        )
    return figure
