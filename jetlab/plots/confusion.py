"""The confusion matrix of a tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jetlab.evaluate import with_uncertainty
from jetlab.plots.canvas import drawing
from jetlab.style import THEMES
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    from jetlab.evaluate import Confusion

__all__ = ["confusion_matrix"]

_CELL = 0.82  # inches


def confusion_matrix(confusion: Confusion, *, title: str | None = None, theme: str = "light") -> Figure:
    """Draw which class the jets of each true class are taken for, in percent of the true class.

    Parameters
    ----------
    confusion : Confusion
        From `jetlab.evaluate.confusion_matrix`. True classes without jets are left out.
    title : str, optional
        By default the accuracy with its uncertainty.
    theme : {"light", "dark"}
        Colours.
    """
    rates = 100 * confusion.rates.dropna(how="all")
    cells = rates.to_numpy()
    rows, columns = cells.shape
    width, height = _CELL * columns + 3.1, _CELL * rows + 1.9
    with drawing(width, height, theme=theme) as figure:
        axes = figure.add_axes((1.35 / width, 1.2 / height, _CELL * columns / width, _CELL * rows / height))
        shown = axes.imshow(cells, vmin=0, vmax=100, cmap=_colours(theme), aspect="auto")
        for (row, column), percent in np.ndenumerate(cells):
            ink = THEMES["dark" if theme == "light" else "light"].text if percent > 55 else THEMES[theme].text
            axes.text(column, row, _percent(percent), ha="center", va="center", fontsize=13, color=ink)
        axes.set_xticks(range(columns), _symbols(rates.columns), rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(rows), _symbols(rates.index))
        axes.tick_params(which="both", length=0)
        axes.minorticks_off()
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class")
        accuracy, error = confusion.accuracy
        measured = f"accuracy ({with_uncertainty(100 * accuracy, 100 * error)}) %"
        axes.set_title(title or measured, loc="left", fontsize=15)
        strip = figure.add_axes(
            ((1.35 + _CELL * columns + 0.2) / width, 1.2 / height, 0.22 / width, _CELL * rows / height)
        )
        bar = figure.colorbar(shown, cax=strip)
        bar.set_label("share of the true class [%]", fontsize=14)
        bar.ax.tick_params(labelsize=12, direction="out", which="both")
    return figure


def _symbols(names: Iterable[str]) -> list[str]:
    return [class_named(name).symbol if name in CLASSES else str(name) for name in names]


def _percent(value: float) -> str:
    """Two digits where they mean something: 83, 4.2, 0.3, and a dot for less than a tenth of a per cent."""
    return "·" if value < 0.05 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _colours(theme: str) -> LinearSegmentedColormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("share", [THEMES[theme].background, "#7FB3D5", "#0072B2", "#08304F"])
