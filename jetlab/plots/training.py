"""How a training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jetlab.errors import JetLabError
from jetlab.plots.canvas import drawing
from jetlab.style import GENERATED, THEMES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["training_curves"]


def training_curves(history: pd.DataFrame, *, terms: Sequence[str] = (), theme: str = "light") -> Figure:
    """Draw the loss, further terms and the learning rate against the step.

    Parameters
    ----------
    history : pandas.DataFrame
        `Run.history`: columns ``step``, ``loss``, and if there are any ``lr``, ``valid_loss`` and further terms with
        their ``valid_`` values; NaN where nothing was measured.
    terms : sequence of str
        Further columns to draw, each in a panel of its own.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If the history is empty or lacks a column.
    """
    shown = ["loss", *terms]
    missing = [name for name in ("step", *shown) if name not in history]
    if missing or history.empty:
        found = ", ".join(map(str, history.columns)) or "no columns"
        msg = f"no training curves of {len(history)} rows without {', '.join(missing) or 'numbers'}; found {found}"
        raise JetLabError(msg)
    rates = ["lr"] if "lr" in history else []
    heights = [3.6] * len(shown) + [1.3] * len(rates)
    height = sum(heights) + 1.2
    with drawing(8.0, height, theme=theme) as figure:
        panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        figure.subplots_adjust(left=0.175, right=0.97, bottom=0.85 / height, top=1 - 0.25 / height, hspace=0.08)
        for axes, name in zip(panels, shown, strict=False):
            _draw_term(axes, history, name, theme)
        for axes, name in zip(panels[len(shown) :], rates, strict=True):
            axes.plot(history["step"], history[name], color=THEMES[theme].text, lw=1.5)
            axes.set_ylabel("Learning\nrate")
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        panels[-1].set_xlabel("Step")
        panels[-1].set_xlim(0, max(float(history["step"].max()), 1.0))
    return figure


def _draw_term(axes: Axes, history: pd.DataFrame, name: str, theme: str) -> None:
    lines = {"training": (name, THEMES[theme].true, ""), "validation": (f"valid_{name}", GENERATED, "o")}
    for label, (column, colour, marker) in lines.items():
        measured = history[["step", column]].dropna() if column in history else history.iloc[:0]
        if len(measured):
            axes.plot(measured["step"], measured[column], marker=marker, ms=5, lw=1.8, color=colour, label=label)
    axes.set_ylabel("Loss" if name == "loss" else name.replace("_", " "))
    values = history[[c for c in (name, f"valid_{name}") if c in history]].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
    if axes.lines:
        axes.legend(loc="upper right")
    axes.grid(visible=True, axis="y", color=THEMES[theme].faint, lw=0.8)
