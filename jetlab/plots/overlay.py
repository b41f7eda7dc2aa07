"""True and generated distributions on top of each other, with their ratio below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError
from jetlab.evaluate import Comparison, Ratio, Shape, ratio, shape, with_uncertainty
from jetlab.evaluate.histograms import Scale
from jetlab.observables import OBSERVABLES
from jetlab.plots.canvas import drawing
from jetlab.style import THEMES, SampleStyle, sample_styles

if TYPE_CHECKING:
    import hist
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["overlay", "overlays"]

FloatArray = npt.NDArray[np.float64]
Hists = Mapping[str, "hist.Hist"]

RATIO_RANGES = {0.25: 0.1, 0.5: 0.25, 1.0: 0.5}
"""Half-widths that the ratio panel may have, with their tick distance."""

_WIDTH, _HEIGHT = 8.0, 6.6
_SMALL = 13


def overlay(
    source: Comparison | Hists,
    name: str | None = None,
    *,
    further: Hists | None = None,
    title: str = "",
    log: bool = False,
    scale: Scale | None = None,
    theme: str = "light",
) -> Figure:
    """Draw one observable: true as a filled band, generated as a step line with error bars, and their ratio.

    Parameters
    ----------
    source : Comparison or mapping of str to hist.Hist
        A comparison, or histograms with the same bins by sample name; ``"true"`` is the reference.
    name : str, optional
        Observable of the comparison; needed for a comparison of several.
    further : mapping of str to hist.Hist, optional
        More samples with the same bins, by the name for the legend.
    title : str
        What is shown, such as ``"W→qq′"``.
    log : bool
        Logarithmic contents.
    scale : {"fraction", "density", "log-density", "counts"}, optional
        What the contents mean; by default a density, on logarithmic axes in the logarithm.
    theme : {"light", "dark"}
        Colours.

    Returns
    -------
    matplotlib.figure.Figure
        Statistical uncertainties are one standard deviation: of true jets as a band, around 1 in the ratio, and of
        generated ones as error bars. Ratios outside the panel are triangles at its edge.

    Raises
    ------
    JetLabError
        For an unknown observable, no ``"true"`` histogram or different binnings.
    """
    panel = _panel(source, name, further=further, title=title, log=log, scale=scale, theme=theme)
    with drawing(_WIDTH, _HEIGHT, theme=theme) as figure:
        _draw(panel, figure, width=_WIDTH, height=_HEIGHT)
    return figure


def overlays(
    source: Comparison | Mapping[str, Hists],
    names: Sequence[str] | None = None,
    *,
    columns: int = 3,
    log: bool = False,
    theme: str = "light",
) -> Figure:
    """Draw several observables in a grid.

    Parameters
    ----------
    source : Comparison or mapping of str to (mapping of str to hist.Hist)
        A comparison, or its ``hists``.
    names : sequence of str, optional
        Which observables; by default all, worst first where there is a comparison.
    columns : int
        Figures side by side.
    log, theme
        As for `overlay`.

    Raises
    ------
    JetLabError
        For an unknown observable, or nothing to draw.
    """
    every = source.worst_first if isinstance(source, Comparison) else list(source)
    chosen = every if names is None else list(names)
    if not chosen:
        msg = "no observables to draw: give at least one name"
        raise JetLabError(msg)
    panels = [
        _panel(source if isinstance(source, Comparison) else _named(source, name), name, log=log, theme=theme)
        for name in chosen
    ]
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    with drawing(_WIDTH * columns, _HEIGHT * rows, theme=theme) as figure:
        cells = figure.subfigures(rows, columns, squeeze=False).ravel()
        for cell, panel in zip(cells, panels, strict=False):
            _draw(panel, cell, width=_WIDTH, height=_HEIGHT)
    return figure


# ---- what to draw ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Panel:
    """One observable, ready to be drawn."""

    hists: dict[str, hist.Hist]
    styles: dict[str, SampleStyle]
    scale: Scale
    log: bool
    log_x: bool
    title: str
    verdict: str
    counts: Mapping[str, int]
    theme: str

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: shape(h, scale=self.scale) for name, h in self.hists.items()}

    @property
    def ratios(self) -> dict[str, Ratio]:
        true = self.hists["true"]
        return {name: ratio(true, h, scale=self.scale) for name, h in self.hists.items() if name != "true"}


def _panel(
    source: Comparison | Hists,
    name: str | None,
    *,
    further: Hists | None = None,
    title: str = "",
    log: bool = False,
    scale: Scale | None = None,
    theme: str = "light",
) -> _Panel:
    verdict, counts = "", {}
    hists: Hists
    if isinstance(source, Comparison):
        name = next(iter(source.hists)) if name is None and len(source.hists) == 1 else name
        hists = _named(source.hists, name)
        verdict = _verdict(source, str(name))
        counts = {role: source.meta[role]["jets"] for role in ("true", "generated")}
    else:
        hists = source
    hists = {**hists, **(further or {})}
    if "true" not in hists:
        msg = f"a histogram named 'true' is the reference; found {', '.join(hists) or 'none'}"
        raise JetLabError(msg)
    observable = OBSERVABLES.get(hists["true"].axes[0].name)
    log_x = observable is not None and observable.logarithmic
    chosen: Scale = scale or ("log-density" if log_x else "density")
    styles = sample_styles(hists, theme=theme)
    return _Panel(dict(hists), styles, chosen, log, log_x, title, verdict, counts, theme)


def _named(hists: Mapping[str, Hists], name: str | None) -> Hists:
    if name is None or name not in hists:
        msg = f"there is no observable {name!r} to draw; expected one of {', '.join(hists)}"
        raise JetLabError(msg)
    return hists[name]


def _verdict(comparison: Comparison, name: str) -> str:
    row = comparison.table.loc[name]
    unit = f" {row['unit']}" if row["unit"] else ""
    z = "" if math.isnan(row["z"]) else f", z = {row['z']:z.1f}".replace("-", "−")
    return (
        f"W₁ = {with_uncertainty(row['w1'], row['w1_err'])}{unit}"
        f"  (truth vs truth {with_uncertainty(row['floor'], row['floor_sd'])}){z}"
    )


# ---- drawing --------------------------------------------------------------------------------------------------------


def _draw(panel: _Panel, figure: Figure | SubFigure, *, width: float, height: float) -> None:
    main, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.15))
    figure.subplots_adjust(
        left=1.1 / width, right=1 - 0.25 / width, bottom=0.85 / height, top=1 - 0.75 / height, hspace=0.06
    )
    shapes = panel.shapes
    if panel.log_x:
        below.set_xscale("log")
    _draw_true(main, shapes["true"], panel.styles["true"].colour)
    for name, drawn in shapes.items():
        if name != "true":
            _draw_generated(main, drawn, panel.styles[name])
    _draw_ratios(below, panel)
    _axes(main, below, panel, shapes)
    _draw_flow(main, below, panel, shapes)
    _words(main, panel)


def _legend(panel: _Panel) -> list[Artist]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = []
    for name, look in panel.styles.items():
        label = f"{name} ({panel.counts[name]:,} jets)" if name in panel.counts else name
        if name == "true":
            handles.append(Patch(facecolor=(look.colour, 0.3), edgecolor=look.colour, label=label))
        else:
            handles.append(Line2D([], [], color=look.colour, ls=look.linestyle, label=label))
    return handles


def _draw_true(axes: Axes, drawn: Shape, colour: str) -> None:
    axes.stairs(drawn.values, drawn.edges, fill=True, color=colour, alpha=0.13, lw=0)
    axes.stairs(
        drawn.values + drawn.errors, drawn.edges, baseline=np.maximum(drawn.values - drawn.errors, 0), fill=True,
        color=colour, alpha=0.32, lw=0,
    )  # fmt: skip
    axes.stairs(drawn.values, drawn.edges, color=colour, lw=1.4)


def _draw_generated(axes: Axes, drawn: Shape, look: SampleStyle) -> None:
    axes.stairs(drawn.values, drawn.edges, color=look.colour, ls=look.linestyle, lw=2.0)
    filled = drawn.values > 0
    axes.errorbar(
        _centres(drawn.edges, axes)[filled], drawn.values[filled], yerr=drawn.errors[filled], fmt="none",
        ecolor=look.colour, elinewidth=1.4,
    )  # fmt: skip


def _centres(edges: FloatArray, axes: Axes) -> FloatArray:
    if axes.get_xscale() == "log":
        return np.asarray(np.sqrt(edges[1:] * edges[:-1]))
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _draw_ratios(axes: Axes, panel: _Panel) -> None:
    ratios = panel.ratios
    reach = _reach(ratios)
    true = panel.styles["true"].colour
    axes.axhline(1, color=true, lw=1)
    for k, (name, r) in enumerate(ratios.items()):
        look = panel.styles[name]
        if k == 0:
            band = np.nan_to_num(r.band)
            axes.stairs(1 + band, r.edges, baseline=1 - band, fill=True, color=true, alpha=0.28, lw=0)
        inside = np.abs(r.value - 1) <= reach
        centres = _centres(r.edges, axes)
        half = np.diff(r.edges)[inside] / 2
        axes.errorbar(
            centres[inside], r.value[inside], yerr=r.error[inside],
            xerr=(centres[inside] - r.edges[:-1][inside], r.edges[1:][inside] - centres[inside]) if half.size else None,
            fmt="none", ecolor=look.colour, elinewidth=1.6,
        )  # fmt: skip
        for marker, out, y in (("^", r.value > 1 + reach, 1 + reach), ("v", r.value < 1 - reach, 1 - reach)):
            axes.plot(centres[out], np.full(int(out.sum()), 0.1 + 0.9 * y), marker, color=look.colour, ms=7, mew=0)
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_yticks([1 + k * RATIO_RANGES[reach] for k in range(-2, 3) if abs(k) * RATIO_RANGES[reach] < 0.9 * reach])


def _reach(ratios: Mapping[str, Ratio]) -> float:
    """Half-width of the ratio panel: the smallest that holds nine tenths of the points that mean something."""
    away = np.concatenate([np.abs(r.value - 1)[r.total_error < 0.5] for r in ratios.values()] or [np.empty(0)])
    needed = float(np.quantile(away, 0.9)) if away.size else 0.5
    return next((reach for reach in RATIO_RANGES if needed <= 0.8 * reach), max(RATIO_RANGES))


def _axes(main: Axes, below: Axes, panel: _Panel, shapes: Mapping[str, Shape]) -> None:
    axis = panel.hists["true"].axes[0]
    edges = shapes["true"].edges
    below.set_xlim(edges[0], edges[-1])
    below.set_xlabel(axis.label)
    below.set_ylabel("gen. / true" if len(shapes) == 2 else "ratio to true")
    main.set_ylabel(_contents_title(panel))
    tops = np.concatenate([s.values + s.errors for s in shapes.values()])
    top = float(tops.max(initial=0.0)) or 1.0
    if panel.log:
        contents = np.concatenate([s.values for s in shapes.values()])
        filled = contents[contents > 0]
        main.set_ylim(0.5 * float(filled.min()) if filled.size else 0.1, 6 * top)  # before the scale, which needs it
        main.set_yscale("log", nonpositive="clip")
    else:
        main.set_ylim(0, 1.3 * top)
    main.tick_params(labelbottom=False)
    for axes in (main, below):
        axes.set_axisbelow(False)
    below.grid(visible=True, axis="y", color=THEMES[panel.theme].faint, lw=0.8)


def _contents_title(panel: _Panel) -> str:
    observable = OBSERVABLES.get(panel.hists["true"].axes[0].name)
    things = "constituents" if observable is not None and observable.level == "constituent" else "jets"
    unit = observable.unit if observable is not None else ""
    titles = {
        "counts": things.capitalize(),
        "fraction": f"Fraction of {things}",
        "density": f"Density [1/{unit}]" if unit else "Density",
        "log-density": "Density per unit of ln(x)",
    }
    return titles[panel.scale]


def _words(main: Axes, panel: _Panel) -> None:
    main.legend(handles=_legend(panel), loc="upper right")
    text: dict[str, Any] = {"transform": main.transAxes, "va": "bottom", "fontsize": _SMALL}
    main.text(0, 1.1, panel.title, ha="left", **{**text, "fontsize": 16})
    main.text(0, 1.02, panel.verdict, ha="left", **text)


# ---- under- and overflow --------------------------------------------------------------------------------------------


def _draw_flow(main: Axes, below: Axes, panel: _Panel, shapes: Mapping[str, Shape]) -> None:
    """Draw what lies outside the bins, if anything does, as one more bin beyond a gap, as high as in a typical bin."""
    edges = shapes["true"].edges
    place = np.log(edges) if panel.log_x else edges
    span, typical = place[-1] - place[0], float(np.median(np.diff(place)))
    low, high = place[0], place[-1]
    for side in ("under", "over"):
        contents = {name: getattr(s, side) for name, s in shapes.items()}
        if not any(content for content, _ in contents.values()):
            continue
        start = place[0] - 0.065 * span if side == "under" else place[-1] + 0.015 * span
        low, high = min(low, start - 0.01 * span), max(high, start + 0.06 * span)
        ends = np.array([start, start + 0.05 * span])
        ends = np.exp(ends) if panel.log_x else ends
        for name, flow in contents.items():
            content, error = np.asarray(flow) / (typical if "density" in panel.scale else 1.0)
            bar = Shape(ends, np.array([content]), np.array([error]), np.zeros(1), (0.0, 0.0), (0.0, 0.0))
            if name == "true":
                _draw_true(main, bar, panel.styles[name].colour)
            else:
                _draw_generated(main, bar, panel.styles[name])
        main.text(
            _centres(ends, main)[0], 0.6, f"{side}flow", transform=main.get_xaxis_transform(), rotation=90, ha="center",
            va="center", fontsize=11,
        )  # fmt: skip
        for axes in (main, below):
            axes.axvline(edges[0] if side == "under" else edges[-1], color=THEMES[panel.theme].text, lw=0.8, ls=":")
    below.set_xlim(*(np.exp([low, high]) if panel.log_x else (low, high)))
    for minor in (False, True):
        ticks = below.get_xticks(minor=minor)
        below.set_xticks(ticks[(ticks >= edges[0]) & (ticks <= edges[-1])], minor=minor)
