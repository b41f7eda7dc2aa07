"""Single jets and average jets in the eta-phi plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import average_image, nearest_jet
from jetlab.jets import Jets
from jetlab.plots.canvas import drawing
from jetlab.style import PARTICLE_MARKERS, THEMES, diverging, particle_marker, sample_styles
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    import hist
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

__all__ = ["jet_display", "jet_image"]

_AREA = 5000.0  # points^2 for the whole jet
_SHOWN_PT = (10, 50, 100)
_DECADES = 1e-4
_MOST_SIGMA = 5.0


def jet_display(
    jets: Jets,
    index: int = 0,
    *,
    generated: Jets | None = None,
    generated_index: int | None = None,
    name: str = "generated",
    radius: float = 0.8,
    theme: str = "light",
) -> Figure:
    """Draw the constituents of one jet in the eta-phi plane: area proportional to pT, particle type by shape.

    Parameters
    ----------
    jets : Jets
        True jets.
    index : int
        Which of them.
    generated : Jets, optional
        Generated jets, of which one is drawn beside it on the same scale.
    generated_index : int, optional
        Which of them; by default the nearest in mass, pT and multiplicity.
    name : str
        What they are called, such as "rebuilt".
    radius : float
        Radius of the circle drawn around the axis.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    InvalidJetsError
        If there is no such jet.
    """
    shown = [("true", _one(jets, index, "true"))]
    if generated is not None:
        nearest = nearest_jet(jets, index, generated) if generated_index is None else generated_index
        shown.append(("generated", _one(generated, nearest, "generated")))
    width = 6.2 * len(shown)
    with drawing(width, 7.4, theme=theme) as figure:
        panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        figure.subplots_adjust(left=0.95 / width, right=1 - 0.2 / width, bottom=0.236, top=0.885, wspace=0.06)
        scale = _AREA / (max(float(jet.pt[0]) for _, jet in shown) or 1.0)
        for axes, (role, jet) in zip(panels, shown, strict=True):
            title = _caption(jet, name if role == "generated" else role)
            _draw_jet(axes, jet, role, title=title, scale=scale, radius=radius, theme=theme)
        panels[0].set_ylabel("Δφ [rad]")
        _draw_key(figure, shown, scale=scale, theme=theme)
    return figure


def jet_image(
    true: Jets,
    generated: Jets | None = None,
    *,
    difference: Literal["percent", "sigma"] = "percent",
    bins: int = 32,
    align: bool = True,
    theme: str = "light",
) -> Figure:
    """Draw the average image of jets, and of generated ones with the difference.

    Parameters
    ----------
    true : Jets
        True jets.
    generated : Jets, optional
        Generated jets.
    difference : {"percent", "sigma"}
        Whether the difference is shown in percent of the jet pT or in units of its statistical uncertainty.
    bins, align
        As for `jetlab.evaluate.average_image`.
    theme : {"light", "dark"}
        Colours.

    Raises
    ------
    InvalidJetsError
        If a sample has no constituents.
    """
    images = {"true": average_image(true, bins=bins, align=align)}
    if generated is not None:
        images["generated"] = average_image(generated, bins=bins, align=align)
    panels = len(images) if generated is None else 3
    width = 6.0 * panels + 0.6
    with drawing(width, 5.6, theme=theme) as figure:
        axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
        figure.subplots_adjust(left=0.95 / width, right=1 - 0.95 / width, bottom=0.15, top=0.91, wspace=0.32)
        _draw_images(figure, axes, images, difference, theme)
        axes[0].set_ylabel("Δφ [rad]" if not align else "along the principal axis")
        for panel in axes:
            panel.set_xlabel("Δη" if not align else "across the principal axis")
            panel.set_aspect("equal")
    return figure


# ---- one jet --------------------------------------------------------------------------------------------------------


def _one(jets: Jets, index: int, role: str) -> Jets:
    if not -len(jets) <= index < len(jets):
        msg = f"there is no {role} jet {index}; there are {len(jets)}"
        raise InvalidJetsError(msg)
    return jets[int(index)]


def _draw_jet(axes: Axes, jet: Jets, role: str, *, title: str, scale: float, radius: float, theme: str) -> None:
    from matplotlib.patches import Circle

    look = THEMES[theme]
    colour = sample_styles([role], theme=theme)[role].colour
    axes.add_patch(Circle((0, 0), radius, fill=False, ls="--", lw=1, ec=look.text, alpha=0.6))
    types = jet.flat("ptype") if "ptype" in jet.fields else np.full(jet.offsets[-1], -1)
    for code in np.unique(types):
        of_type = types == code
        axes.scatter(
            jet.flat("deta")[of_type], jet.flat("dphi")[of_type], s=scale * jet.flat("pt")[of_type],
            marker=particle_marker(code).matplotlib, facecolor=(colour, 0.35), edgecolor=colour, linewidth=1.0,
        )  # fmt: skip
    axes.set(xlim=(-1.15 * radius, 1.15 * radius), ylim=(-1.15 * radius, 1.15 * radius), aspect="equal", xlabel="Δη")
    axes.set_title(title, fontsize=14, loc="left")


def _caption(jet: Jets, role: str) -> str:
    name = "" if jet.label is None else jet.classes[int(jet.label[0])]
    symbol = f" {class_named(name).symbol}" if name in CLASSES else f" {name}" if name else ""
    return (
        f"{role}{symbol}\nm = {jet.mass[0]:.0f} GeV, pT = {jet.pt[0]:.0f} GeV, {int(jet.multiplicity[0])} constituents"
    )


def _draw_key(figure: Figure, shown: list[tuple[str, Jets]], *, scale: float, theme: str) -> None:
    from matplotlib.lines import Line2D

    ink = THEMES[theme].text

    def mark(marker: str, area: float, label: str) -> Line2D:
        return Line2D([], [], ls="", marker=marker, ms=np.sqrt(area), mfc="none", mec=ink, label=label)

    known = {int(code) for _, jet in shown if "ptype" in jet.fields for code in np.unique(jet.flat("ptype"))}
    types = [mark(PARTICLE_MARKERS[c].matplotlib, 90, PARTICLE_MARKERS[c].label) for c in sorted(known) if c >= 0]
    sizes = [mark("o", scale * pt, f"{pt} GeV") for pt in _SHOWN_PT]
    keys = figure.legend(
        handles=types, loc="lower center", ncols=5, bbox_to_anchor=(0.5, 0.09), handletextpad=0.2, columnspacing=1.2,
        fontsize=13,
    )  # fmt: skip
    figure.add_artist(keys)
    figure.legend(
        handles=sizes, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 0.015), handletextpad=0.8, columnspacing=2.5,
        handlelength=3, fontsize=13,
    )  # fmt: skip


# ---- average jets ---------------------------------------------------------------------------------------------------


def _draw_images(figure: Figure, axes: np.ndarray, images: dict[str, hist.Hist], difference: str, theme: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    shares = {name: 100 * image.values().T for name, image in images.items()}
    eta, phi = (axis.edges for axis in images["true"].axes)
    top = max(float(share.max()) for share in shares.values())
    norm = LogNorm(_DECADES * top, top)
    for panel, (name, share) in zip(axes, shares.items(), strict=False):
        mesh = panel.pcolormesh(eta, phi, np.maximum(share, _DECADES * top), norm=norm, cmap="cividis", rasterized=True)
        panel.set_title(name, loc="left", fontsize=15)
        _colour_bar(figure, mesh, panel, "share of pT [%]")
    if len(shares) > 1:
        away, label = _difference(images, difference)
        reach = float(np.abs(away).max()) or 1.0
        reach = min(reach, _MOST_SIGMA) if difference == "sigma" else reach
        colours = LinearSegmentedColormap.from_list("difference", diverging(theme))
        mesh = axes[-1].pcolormesh(eta, phi, away.T, vmin=-reach, vmax=reach, cmap=colours, rasterized=True)
        axes[-1].set_title("generated − true", loc="left", fontsize=15)
        _colour_bar(figure, mesh, axes[-1], label)


def _difference(images: dict[str, hist.Hist], kind: str) -> tuple[npt.NDArray[np.float64], str]:
    away = images["generated"].values() - images["true"].values()
    if kind == "percent":
        return 100 * away, "difference [% of pT]"
    error = np.sqrt(images["generated"].variances() + images["true"].variances())
    return np.divide(away, error, out=np.zeros_like(away), where=error > 0), "difference / uncertainty"


def _colour_bar(figure: Figure, mesh: QuadMesh, panel: Axes, label: str) -> None:
    bar = figure.colorbar(mesh, ax=panel, fraction=0.046, pad=0.03)
    bar.set_label(label, fontsize=13)
    bar.ax.tick_params(labelsize=12, which="both", direction="out")
