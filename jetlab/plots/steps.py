"""Validation loss against steps and against processor time, pretrained and from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetlab.errors import JetLabError
from jetlab.plots.canvas import drawing
from jetlab.plots.transfer import MARKERS, NAMES, mode_styles
from jetlab.style import THEMES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["learning_curves"]

AXES = {"step": "Step", "cpu_seconds": "Processor time [s]"}


def learning_curves(curves: pd.DataFrame, *, theme: str = "light") -> Figure:
    """Draw the median over the seeds of the validation loss, with its range, at equal steps and at equal compute.

    Parameters
    ----------
    curves : pandas.DataFrame
        From `jetlab.tasks.learning_curves.learning_curves`.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If there are no curves.
    """
    if curves.empty:
        msg = "there is nothing to draw; expected the rows of jetlab.tasks.learning_curves.learning_curves"
        raise JetLabError(msg)
    styles = mode_styles(theme)
    with drawing(10.6, 4.8, theme=theme) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(left=0.1, right=0.98, bottom=0.17, top=0.96, wspace=0.06)
        for axes, (name, title) in zip(panels, AXES.items(), strict=True):
            for mode in [mode for mode in NAMES if mode in set(curves["mode"])]:
                grouped = curves[curves["mode"] == mode].groupby("step")
                loss, place, style = grouped["loss"], grouped[name].median(), styles[mode]
                axes.fill_between(place, loss.min(), loss.max(), color=style.colour, alpha=0.22, lw=0)
                axes.plot(
                    place, loss.median(), color=style.colour, ls=style.linestyle, marker=MARKERS[mode], ms=5,
                    label=NAMES[mode],
                )  # fmt: skip
            axes.set_xlabel(title)
            axes.set_xlim(left=0)
            axes.grid(visible=True, axis="y", color=THEMES[theme].faint, lw=0.8)
        panels[0].set_ylabel("Validation loss")
        panels[1].legend(title=f"bands: range of {curves['seed'].nunique()} seeds", title_fontsize=12)
    return figure
