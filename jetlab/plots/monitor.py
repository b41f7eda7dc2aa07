"""How a self-supervised training goes: its loss, what its embeddings are good for, and whether they collapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jetlab.errors import JetLabError
from jetlab.plots.canvas import drawing
from jetlab.style import GENERATED, THEMES

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["MONITORS", "training_monitor"]

MONITORS = {
    "linear_probe": "Linear probe, accuracy",
    "neighbour_probe": "Nearest neighbours, accuracy",
    "spread": "Spread of a dimension",
    "effective_rank": "Effective rank",
    "similarity": "Similarity of jets",
}
"""What `jetlab.tasks.watching.Probes` looks at, and what the panels are called."""

BOUNDED = ("linear_probe", "neighbour_probe", "spread", "similarity")
"""Measures between 0 and about 1."""

COLUMNS = 3


def training_monitor(history: pd.DataFrame, *, terms: Sequence[str] | None = None, theme: str = "light") -> Figure:
    """Draw the loss and what was watched against the step, a small panel each.

    Parameters
    ----------
    history : pandas.DataFrame
        `Run.history`, with columns of a watcher.
    terms : sequence of str, optional
        Columns to draw beside the loss; by default those of `MONITORS` that there are.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If the history is empty or lacks a column.
    """
    chosen = [name for name in MONITORS if name in history] if terms is None else list(terms)
    missing = [name for name in ("step", "loss", *chosen) if name not in history]
    if missing or history.empty:
        found = ", ".join(map(str, history.columns)) or "no columns"
        msg = f"no monitor of {len(history)} rows without {', '.join(missing) or 'numbers'}; found {found}"
        raise JetLabError(msg)
    rows = -(-(1 + len(chosen)) // COLUMNS)
    columns = min(COLUMNS, 1 + len(chosen))
    with drawing(4.1 * columns, 2.9 * rows + 0.3, theme=theme) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.22 / rows, top=1 - 0.12 / rows, wspace=0.32, hspace=0.5)
        for axes, name in zip(panels, ["loss", *chosen], strict=False):
            measured = history[["step", name]].dropna()
            colour = THEMES[theme].true if name == "loss" else GENERATED
            axes.plot(
                measured["step"], measured[name], color=colour, lw=1.8, marker="" if name == "loss" else "o", ms=4
            )
            axes.set_title("Loss" if name == "loss" else MONITORS.get(name, name.replace("_", " ")), fontsize=13)
            axes.set_xlim(0, max(float(history["step"].max()), 1.0))
            if name in BOUNDED and len(measured):
                axes.set_ylim(min(0.0, float(measured[name].min())), 1.1 * max(float(measured[name].max()), 0.1))
            axes.grid(visible=True, axis="y", color=THEMES[theme].faint, lw=0.8)
            axes.set_xlabel("Step")
        for axes in panels[1 + len(chosen) :]:
            axes.set_visible(False)
    return figure
