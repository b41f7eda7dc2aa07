"""How good generated jets are: every measure of every class beside its floor, at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jetlab.errors import JetLabError
from jetlab.evaluate.resolution import QUANTITIES
from jetlab.observables import OBSERVABLES
from jetlab.plots.canvas import drawing
from jetlab.style import THEMES, verdict
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["generation_quality", "measure_label"]

_NAMES = {"fpd": "FPD", "kpd": "KPD", "classifier auc": "Classifier AUC"}


def generation_quality(table: pd.DataFrame, *, theme: str = "light") -> Figure:
    """Draw how far above the truth-vs-truth floor every measure of every class is, in spreads of the floor.

    Parameters
    ----------
    table : pandas.DataFrame
        From `jetlab.tasks.generation.generation_table`; a panel for each reference.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If the table is empty.
    """
    if table.empty:
        msg = "there is nothing to draw; expected the rows of generation_table"
        raise JetLabError(msg)
    references = list(dict.fromkeys(table["against"]))
    measures = list(dict.fromkeys(table["measure"]))
    classes = [name for name in CLASSES if name in set(table["class"])]
    width, height = 3.0 + 0.85 * len(classes) * len(references), 1.6 + 0.46 * len(measures)
    with drawing(width, height, theme=theme) as figure:
        panels = figure.subplots(1, len(references), squeeze=False, sharey=True)[0]
        figure.subplots_adjust(
            left=2.6 / width, right=1 - 0.15 / width, bottom=0.9 / height, top=1 - 0.5 / height, wspace=0.04
        )
        for axes, reference in zip(panels, references, strict=True):
            rows = table[table["against"] == reference]
            z = rows.pivot_table(index="measure", columns="class", values="z", dropna=False)
            _draw(axes, z.reindex(index=measures, columns=classes).to_numpy(float), theme=theme)
            axes.set_title(f"against {reference} jets", fontsize=15)
            axes.set_xticks(range(len(classes)), [class_named(c).symbol for c in classes], fontsize=12, rotation=35)
        panels[0].set_yticks(range(len(measures)), [measure_label(name) for name in measures], fontsize=13)
    return figure


def _draw(axes: Axes, z: np.ndarray, *, theme: str) -> None:
    """Cells in the colours of their verdicts with their numbers."""
    axes.set(xlim=(-0.5, z.shape[1] - 0.5), ylim=(z.shape[0] - 0.5, -0.5))
    axes.tick_params(which="both", length=0)
    for (i, j), value in np.ndenumerate(z):
        judged = verdict(value)
        axes.fill_between([j - 0.47, j + 0.47], i - 0.45, i + 0.45, color=judged.colour, alpha=0.28, lw=0)
        text = "–" if np.isnan(value) else f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"
        axes.text(j, i, f"{judged.sign} {text}", ha="center", va="center", fontsize=11, color=THEMES[theme].text)
    for side in axes.spines.values():
        side.set_visible(False)


def measure_label(measure: str) -> str:
    """Name of a measure as on an axis."""
    if measure in _NAMES:
        return _NAMES[measure]
    name = measure.removeprefix("w1 ")
    known = QUANTITIES.get(name)
    return f"W₁ {known.label if known else OBSERVABLES[name].label}"
