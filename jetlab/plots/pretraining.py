"""What each way to pretrain an encoder is worth: accuracy from few labels, and distance of generated jets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetlab.errors import JetLabError
from jetlab.plots.canvas import drawing
from jetlab.plots.ranges import draw_ranges, range_panels
from jetlab.style import THEMES, sample_styles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pretraining_figure"]

DISTANCE = "Distance of generated jets\n/ that of true samples"


def pretraining_figure(table: pd.DataFrame, *, theme: str = "light") -> Figure:
    """Draw a row for each way to pretrain, and a panel for each number of labels and for generation.

    Points are medians over the seeds, bars their range; the vertical line is the median without pretraining.

    Parameters
    ----------
    table : pandas.DataFrame
        From `jetlab.tasks.pretraining_table.pretraining_table`.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If nothing was measured.
    """
    panels = {f"accuracy_{n}": f"Accuracy\nfrom {n:,} labels" for n in label_numbers(table)}
    panels |= {"distance": DISTANCE} if "distance" in table else {}
    if table.empty or not panels:
        msg = "there is nothing to draw; expected the rows of jetlab.tasks.pretraining_table.pretraining_table"
        raise JetLabError(msg)
    width, height = 3.0 + 3.3 * len(panels), 1.75 + 0.6 * len(table)
    with drawing(width, height, theme=theme) as figure:
        found = range_panels(figure, table, len(panels), left=2.8, gap=0.16)
        for axes, (name, title) in zip(found, panels.items(), strict=True):
            _draw(axes, table, name, theme=theme)
            axes.set_xlabel(title)
    return figure


def label_numbers(table: pd.DataFrame) -> list[int]:
    """Numbers of labels in a table, rising."""
    words = [name.removeprefix("accuracy_") for name in table.columns if name.startswith("accuracy_")]
    return sorted(int(word) for word in words if word.isdigit())


def _draw(axes: Axes, table: pd.DataFrame, name: str, *, theme: str) -> None:
    base = table.loc[table["method"] == "none", name]
    if len(base):
        axes.axvline(float(base.iloc[0]), color=THEMES[theme].true, lw=1, ls=":")
    colour = sample_styles(["pretrained"])["pretrained"].colour
    colours = [THEMES[theme].true if method == "none" else colour for method in table["method"]]
    draw_ranges(axes, table, name, colours=colours, theme=theme)
