"""What tokenization keeps: distributions before and after, what codes stand for, and which tokenizer to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError
from jetlab.evaluate.resolution import QUANTITIES
from jetlab.evaluate.tables import with_uncertainty
from jetlab.observables import OBSERVABLES
from jetlab.plots.canvas import drawing
from jetlab.style import CLASS_COLOURS, FURTHER, GENERATED, THEMES, SampleStyle
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["codebook_use", "token_clouds", "token_resolution", "tokenizer_sweep"]

FloatArray = npt.NDArray[np.float64]

KIND_NAMES = {
    "normformer": "conditional VQ-VAE",
    "mlp": "unconditional VQ-VAE",
    "fsq": "finite scalar quantization",
    "binned": "grid",
}
_KIND_LOOKS = {
    kind: (SampleStyle(colour, dash, ""), marker)
    for kind, colour, dash, marker in zip(
        KIND_NAMES, (GENERATED, *FURTHER[:3]), ("-", "--", "-.", ":"), "os^D", strict=True
    )
}
_SWEEP = {
    "mass_iqr": "Mass: interquartile range [GeV]",
    "mass_bias": "Mass: bias [GeV]",
    "accuracy": "Accuracy on rebuilt jets",
}
_POINTS = 12
"""Bins of the panel of differences."""


# ---- before and after -----------------------------------------------------------------------------------------------


def token_resolution(
    values: pd.DataFrame, quantity: str = "mass", *, classes: Sequence[str] | None = None, columns: int = 5,
    theme: str = "light",
) -> Figure:  # fmt: skip
    """Draw a quantity of true jets and of the same jets rebuilt from codes, for each class.

    Below are the differences of the same jets in bins of the true value: median as points, the band from 25 to 75 %.

    Parameters
    ----------
    values : pandas.DataFrame
        ``class`` and ``true_<quantity>``, ``rebuilt_<quantity>``, as those of
        `jetlab.tasks.token_measures.TokenMeasures`.
    quantity : str
        A jet-level name of `jetlab.evaluate.QUANTITIES`.
    classes : sequence of str, optional
        Which classes; by default those that occur.
    columns : int
        Panels side by side.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If there is no such quantity or class.
    """
    if f"true_{quantity}" not in values:
        known = [name.removeprefix("true_") for name in values if name.startswith("true_")]
        msg = f"there is no quantity {quantity!r} to draw; expected one of {', '.join(known)}"
        raise JetLabError(msg)
    occurring = [name for name in CLASSES if name in set(values["class"])]
    chosen = occurring if classes is None else list(classes)
    if not chosen or (missing := [name for name in chosen if name not in occurring]):
        msg = f"there are no jets of {', '.join(missing) if chosen else 'any class'}; there are {', '.join(occurring)}"
        raise JetLabError(msg)
    columns = min(columns, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    with drawing(4.6 * columns, 4.8 * rows, theme=theme) as figure:
        cells = figure.subfigures(rows, columns, squeeze=False).ravel()
        for k, (cell, name) in enumerate(zip(cells, chosen, strict=False)):
            main, below = cell.subplots(2, 1, sharex=True, height_ratios=(2.3, 1))
            cell.subplots_adjust(left=0.24, right=0.97, top=0.91, bottom=0.15, hspace=0.06)
            jets = values[values["class"] == name]
            pair = jets[f"true_{quantity}"].to_numpy(np.float64), jets[f"rebuilt_{quantity}"].to_numpy(np.float64)
            _before_and_after(main, pair, theme)
            _differences(below, pair, quantity, theme)
            main.set_title(class_named(name).symbol, loc="left")
            if k == 0:
                main.legend(loc="upper right", fontsize=12)
            if k % columns == 0:
                main.set_ylabel("Density")
    return figure


def _before_and_after(axes: Axes, pair: tuple[FloatArray, FloatArray], theme: str) -> None:
    edges = _edges(pair[0])
    width = edges[1] - edges[0]
    true, rebuilt = (np.histogram(v[np.isfinite(v)], edges)[0] / (max(len(v), 1) * width) for v in pair)
    colour = THEMES[theme].true
    axes.stairs(true, edges, fill=True, color=colour, alpha=0.28, lw=0, label="true")
    axes.stairs(rebuilt, edges, color=GENERATED, lw=1.8, label="rebuilt")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.25 * max(float(true.max(initial=0)), float(rebuilt.max(initial=0)), 1e-12))
    axes.tick_params(labelbottom=False)


def _differences(axes: Axes, pair: tuple[FloatArray, FloatArray], quantity: str, theme: str) -> None:
    both = np.isfinite(pair[0]) & np.isfinite(pair[1])
    true, difference = pair[0][both], pair[1][both] - pair[0][both]
    edges = _edges(pair[0], bins=_POINTS)
    place = np.digitize(true, edges) - 1
    filled = [k for k in range(_POINTS) if (place == k).sum() >= 10]
    quartiles = np.array([np.quantile(difference[place == k], [0.25, 0.5, 0.75]) for k in filled]).reshape(-1, 3).T
    centres = (edges[1:] + edges[:-1])[filled] / 2
    axes.axhline(0, color=THEMES[theme].text, lw=0.8)
    axes.fill_between(centres, quartiles[0], quartiles[2], color=GENERATED, alpha=0.25, lw=0)
    axes.plot(centres, quartiles[1], "o", ms=4, color=GENERATED)
    reach = float(np.abs(quartiles).max(initial=0.0)) or 1.0
    axes.set_ylim(-1.15 * reach, 1.15 * reach)
    axes.set_xlabel(OBSERVABLES[quantity].title)
    unit = f" [{QUANTITIES[quantity].unit}]" if QUANTITIES[quantity].unit else ""
    axes.set_ylabel(f"Δ{unit}")
    axes.grid(visible=True, axis="y", color=THEMES[theme].faint, lw=0.8)


def _edges(values: FloatArray, *, bins: int = 40) -> FloatArray:
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.005, 0.99]) if finite.size else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, bins + 1)


# ---- codes ----------------------------------------------------------------------------------------------------------


def token_clouds(cloud: pd.DataFrame, *, title: str = "", theme: str = "light") -> Figure:
    """Draw what some codes decode to in different surroundings: in the plane of the jet and in pT.

    Parameters
    ----------
    cloud : pandas.DataFrame
        From `jetlab.evaluate.token_cloud`.
    title : str
        Such as the name of the tokenizer.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If there is nothing to draw.
    """
    if cloud.empty:
        msg = "there are no decoded codes to draw; ask token_cloud for at least one code"
        raise JetLabError(msg)
    pairs = (("deta", "dphi"), ("pt", "deta"), ("pt", "dphi"))
    labels = {"pt": "Constituent pT [GeV]", "deta": "Δη", "dphi": "Δφ [rad]"}
    colours = (GENERATED, *FURTHER, *CLASS_COLOURS.values())
    with drawing(15.5, 5.2, theme=theme) as figure:
        panels = figure.subplots(1, 3)
        figure.subplots_adjust(left=0.07, right=0.86, bottom=0.15, top=0.9, wspace=0.32)
        for k, (code, rows) in enumerate(cloud.groupby("code", sort=False)):
            for axes, (x, y) in zip(panels, pairs, strict=True):
                look: dict[str, Any] = {"s": 14, "alpha": 0.5, "lw": 0, "marker": "os^Dv*"[k % 6]}
                axes.scatter(rows[x], rows[y], color=colours[k % len(colours)], label=f"code {code}", **look)
        for axes, (x, y) in zip(panels, pairs, strict=True):
            axes.set_xlabel(labels[x])
            axes.set_ylabel(labels[y])
        panels[0].set_title(title, loc="left")
        panels[2].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), markerscale=1.8, fontsize=12)
    return figure


def codebook_use(counts: Mapping[str, npt.ArrayLike], *, theme: str = "light") -> Figure:
    """Draw how often codes occur, from the most to the least frequent one, for one or more tokenizers.

    Parameters
    ----------
    counts : mapping of str to array_like of int, shape (codebook_size,)
        From `jetlab.evaluate.codebook_counts`, by the name of the tokenizer.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If there is nothing to draw.
    """
    filled = {name: np.asarray(c) for name, c in counts.items() if np.asarray(c).sum()}
    if not filled:
        msg = "there are no codes to draw; expected counts of at least one tokenizer"
        raise JetLabError(msg)
    colours = (GENERATED, *FURTHER, *CLASS_COLOURS.values())
    with drawing(9.5, 6.0, theme=theme) as figure:
        axes = figure.add_axes((0.12, 0.13, 0.84, 0.83))
        for k, (name, number) in enumerate(filled.items()):
            share = np.sort(number[number > 0])[::-1] / number.sum()
            perplexity = float(np.exp(-(share * np.log(share)).sum()))
            text = f"{name}: {share.size:,} of {number.size:,} used, perplexity {perplexity:,.0f}"
            dash = ("-", "--", "-.", ":")[k % 4]
            axes.plot(np.arange(1, share.size + 1), share, dash, color=colours[k % len(colours)], label=text)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("Rank of the code")
        axes.set_ylabel("Share of the constituents")
        axes.legend(loc="lower left", fontsize=11 if len(filled) > 6 else 13)
    return figure


# ---- which tokenizer ------------------------------------------------------------------------------------------------


def tokenizer_sweep(
    table: pd.DataFrame, *, measures: Sequence[str] = ("mass_iqr", "mass_bias", "accuracy"), theme: str = "light"
) -> Figure:
    """Draw measures of tokenizers against the size of the codebook, a line a kind.

    Parameters
    ----------
    table : pandas.DataFrame
        `jetlab.tasks.token_study.TokenStudy.table`; what it says about the original jets becomes a line with its band.
    measures : sequence of str
        Columns of the table, a panel each, with their uncertainties ``_err`` and, where there are seeds, ``_sd``.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    JetLabError
        If the table has none of the tokenizers or measures.
    """
    swept = table[table["kind"].isin(list(KIND_NAMES))] if "kind" in table else table.iloc[:0]
    missing = [name for name in measures if name not in table]
    if swept.empty or missing or not measures:
        msg = f"the table has {len(swept)} tokenizers and lacks {', '.join(missing) or 'nothing'}; nothing to draw"
        raise JetLabError(msg)
    width = 5.6 * len(measures)
    with drawing(width, 5.2, theme=theme) as figure:
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        figure.subplots_adjust(left=0.95 / width, right=1 - 0.2 / width, bottom=0.15, top=0.96, wspace=0.3)
        for axes, name in zip(panels, measures, strict=True):
            for kind in (k for k in KIND_NAMES if k in set(swept["kind"])):
                rows = swept[(swept["kind"] == kind) & swept[name].notna()].sort_values("codebook_size")
                look, marker = _KIND_LOOKS[kind]
                axes.errorbar(
                    rows["codebook_size"], rows[name], _errors(rows, name), color=look.colour, ls=look.linestyle,
                    marker=marker, ms=7, label=KIND_NAMES[kind],
                )  # fmt: skip
            _original(axes, table, name, theme)
            axes.set_xscale("log")
            sizes = sorted({int(size) for size in swept["codebook_size"].dropna()})
            axes.set_xticks(_apart(sizes), [f"{size:,}" for size in _apart(sizes)])
            axes.minorticks_off()
            axes.set_xlabel("Size of the codebook")
            axes.set_ylabel(_SWEEP.get(name, name.replace("_", " ")))
            axes.grid(visible=True, axis="y", color=THEMES[theme].faint, lw=0.8)
        panels[0].legend(loc="upper right", fontsize=12)
    return figure


def _apart(sizes: Sequence[int]) -> list[int]:
    """Those of the rising sizes that are far enough from each other to be written on an axis."""
    kept: list[int] = []
    for size in sizes:
        if not kept or size > 1.5 * kept[-1]:
            kept.append(size)
    return kept


def _errors(rows: pd.DataFrame, name: str) -> FloatArray:
    """Uncertainty from the number of jets and the spread over the seeds, as far as they are known."""
    parts = [rows[f"{name}{ending}"].fillna(0) for ending in ("_err", "_sd") if f"{name}{ending}" in rows]
    return np.sqrt(sum(np.asarray(part, np.float64) ** 2 for part in parts)) if parts else np.zeros(len(rows))


def _original(axes: Axes, table: pd.DataFrame, name: str, theme: str) -> None:
    rows = table[(table["kind"] == "original") & table[name].notna()]
    if rows.empty:
        return
    value, error = float(rows[name].iloc[0]), float(_errors(rows, name)[0])
    axes.axhline(value, color=THEMES[theme].true, lw=1.5)
    axes.axhspan(value - error, value + error, color=THEMES[theme].true, alpha=0.2, lw=0)
    text = f"original {with_uncertainty(value, error)}"
    axes.text(0.98, value, text, transform=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize=12)
