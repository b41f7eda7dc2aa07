"""What pretraining is worth against the number of labelled jets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import NullLocator

from jetlab.errors import JetLabError
from jetlab.plots.canvas import drawing, one_two_five, plain_number
from jetlab.style import THEMES, SampleStyle, sample_styles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["transfer_curves"]

TITLES = {
    "accuracy": "Accuracy",
    "auc": "AUC",
    "rejection_50": r"$1/\epsilon_B$ at $\epsilon_S$ = 50 %",
    "rejection_30": r"$1/\epsilon_B$ at $\epsilon_S$ = 30 %",
}
NAMES = {
    "scratch": "from scratch",
    "frozen": "pretrained, frozen",
    "fine-tuned": "pretrained, fine-tuned",
    "linear": "pretrained, linear probe",
}
MOST_TICKS = 7
"""Numbers of labels that are all written at the axis; of more, powers of ten are."""

MARKERS = {"scratch": "o", "frozen": "s", "fine-tuned": "^", "linear": "D"}


def transfer_curves(
    summary: pd.DataFrame, *, measures: Sequence[str] = ("accuracy", "auc", "rejection_50"), theme: str = "light"
) -> Figure:
    """Draw measures of taggers against the number of labelled jets, a line with its band for each mode.

    Parameters
    ----------
    summary : pandas.DataFrame
        From `jetlab.tasks.transfer.summarise`. Bands are over the seeds; the bars are the uncertainty from the number
        of test jets, which all points share.
    measures : sequence of str
        Of ``accuracy``, ``auc``, ``rejection_50``, ``rejection_30``; a panel each.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If there are no points, or a measure is unknown.
    """
    unknown = [name for name in measures if name not in TITLES]
    if summary.empty or unknown or not measures:
        asked = ", ".join(measures) or "none"
        msg = f"cannot draw {asked} of {len(summary)} points; expected points and some of {', '.join(TITLES)}"
        raise JetLabError(msg)
    modes = [mode for mode in NAMES if mode in set(summary["mode"])]
    styles = mode_styles(theme)
    width, abreast = 5.4 * len(measures), max(1, min(len(modes), 2 * len(measures) - 1))
    above = 0.85 + 0.34 * -(-len(modes) // abreast)  # inches of the legend
    height = 4.9 + above
    with drawing(width, height, theme=theme) as figure:
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        figure.subplots_adjust(
            left=0.9 / width, right=1 - 0.3 / width, bottom=0.8 / height, top=1 - above / height, wspace=0.32
        )
        for axes, name in zip(panels, measures, strict=True):
            for k, mode in enumerate(modes):
                rows = summary[summary["mode"] == mode].sort_values("labels")
                _draw(axes, rows, name, styles[mode], mode=mode, shift=1.04 ** (k - 1))
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(plain_number)
            if len(sizes := sorted(set(summary["labels"]))) <= MOST_TICKS:
                axes.set_xticks(sizes)
                axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("Labelled jets")
            axes.set_ylabel(TITLES[name])
            if name.startswith("rejection"):
                axes.set_yscale("log")
                for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                    which(one_two_five)
            axes.grid(visible=True, axis="y", color=THEMES[theme].faint, lw=0.8)
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.75 / width, 1 - 0.05 / height),
            ncols=abreast, title=_band_title(summary), title_fontsize=12, alignment="left",
        )  # fmt: skip
    return figure


def mode_styles(theme: str) -> dict[str, SampleStyle]:
    """Colour and line of each mode of learning: from scratch in the neutral colour, then the further ones."""
    further = sample_styles([mode for mode in NAMES if mode != "scratch"])
    return {"scratch": SampleStyle(THEMES[theme].true, "-", "solid"), **further}


def _draw(axes: Axes, rows: pd.DataFrame, name: str, style: SampleStyle, *, mode: str, shift: float) -> None:
    axes.fill_between(rows["labels"], rows[f"{name}_low"], rows[f"{name}_high"], color=style.colour, alpha=0.22, lw=0)
    shown = rows[rows[f"{name}_err"] < float("inf")]
    axes.errorbar(
        shown["labels"] * shift, shown[name], shown[f"{name}_err"], fmt="none", ecolor=style.colour, elinewidth=1
    )
    axes.plot(
        rows["labels"],
        rows[name],
        color=style.colour,
        ls=style.linestyle,
        marker=MARKERS[mode],
        ms=7,
        label=NAMES[mode],
    )


def _band_title(summary: pd.DataFrame) -> str:
    seeds, bands = summary["seeds"], " or ".join(sorted(set(summary["band"])))
    number = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    return f"bands: {bands} of {number} seeds; bars: number of test jets"
