"""Colours, line styles and markers, the same in matplotlib, Bokeh and widgets, for light and dark themes.

The colours are those of Okabe and Ito, which people with any common colour vision can tell apart, with four more of the
same kind for the ten jet classes. They are fixed: true jets are a dark neutral, generated jets vermillion, further
samples come next in order, and each jet class keeps its own colour. Line style and marker say the same thing again, so
that colour never stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from jetlab.vocabulary import PARTICLE_TYPES, class_named

__all__ = [
    "CLASS_COLOURS",
    "PARTICLE_MARKERS",
    "THEMES",
    "Marker",
    "SampleStyle",
    "Theme",
    "ThemeName",
    "Verdict",
    "class_colour",
    "diverging",
    "figure_rc",
    "particle_marker",
    "sample_styles",
    "verdict",
]

ThemeName = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """Neutral colours of one theme: paper, ink for text and axes, faint ink for grids, and the colour of true jets."""

    background: str
    text: str
    faint: str
    true: str


THEMES: dict[str, Theme] = {
    "light": Theme(background="#FFFFFF", text="#1F1F1F", faint="#D5D5D5", true="#333333"),
    "dark": Theme(background="#181818", text="#ECECEC", faint="#4A4A4A", true="#C8CCD0"),
}

GENERATED = "#D55E00"
FURTHER = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")

CLASS_COLOURS = {
    "QCD": "#854325",
    "Hbb": "#0072B2",
    "Hcc": "#56B4E9",
    "Hgg": "#145674",
    "H4q": "#009E73",
    "Hqql": "#56CD73",
    "Zqq": "#E69F00",
    "Wqq": "#E3D82B",
    "Tbqq": "#5A1FE0",
    "Tbl": "#CC79A7",
}
"""Colour of each jet class, the same in both themes."""

_DASHES = (("-", "solid"), ("--", "dashed"), ("-.", "dashdot"), (":", "dotted"))


# ---- samples --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleStyle:
    """How one sample is drawn: its colour and its line style for matplotlib and for Bokeh."""

    colour: str
    linestyle: str
    line_dash: str


def _theme(theme: str) -> Theme:
    if theme not in THEMES:
        msg = f"unknown theme {theme!r}; expected one of {', '.join(THEMES)}"
        raise ValueError(msg)
    return THEMES[theme]


def sample_styles(names: Iterable[str], *, theme: str = "light") -> dict[str, SampleStyle]:
    """Give every sample its style by its role.

    Parameters
    ----------
    names : iterable of str
        Sample names. ``"true"`` and ``"generated"`` have fixed styles wherever they stand; all others take the further
        colours in order.
    theme : {"light", "dark"}
        Only the neutral colour of true jets depends on it.

    Returns
    -------
    dict of str to SampleStyle
        In the order of `names`.
    """
    fixed = {"true": SampleStyle(_theme(theme).true, *_DASHES[0]), "generated": SampleStyle(GENERATED, *_DASHES[0])}
    styles: dict[str, SampleStyle] = {}
    further = 0
    for name in names:
        if name in fixed:
            styles[name] = fixed[name]
        else:
            dash = _DASHES[1 + further % (len(_DASHES) - 1)]
            styles[name] = SampleStyle(FURTHER[further % len(FURTHER)], *dash)
            further += 1
    return styles


def class_colour(name: str) -> str:
    """Colour of a jet class, by its name, process or label column.

    Raises
    ------
    KeyError
        If there is no such class.
    """
    return CLASS_COLOURS[class_named(name).name]


def diverging(theme: str = "light") -> tuple[str, str, str]:
    """Three colours for differences: too little (blue), none (the paper), too much (the colour of generated jets)."""
    return FURTHER[0], _theme(theme).background, GENERATED


# ---- particles ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Marker:
    """Marker of a particle type: its label and its names in matplotlib and in Bokeh."""

    label: str
    matplotlib: str
    bokeh: str


PARTICLE_MARKERS = {
    code: Marker(label, *names)
    for code, label, names in zip(
        range(len(PARTICLE_TYPES)),
        PARTICLE_TYPES,
        (("o", "circle"), ("s", "square"), ("^", "triangle"), ("D", "diamond"), ("*", "star")),
        strict=True,
    )
}
"""Marker of each particle type code; see `particle_marker` for unknown ones."""

_UNKNOWN_PARTICLE = Marker("particle", "o", "circle")


def particle_marker(code: int) -> Marker:
    """Marker of a particle type code; a circle for particles of unknown type."""
    return PARTICLE_MARKERS.get(int(code), _UNKNOWN_PARTICLE)


# ---- verdicts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """Judgement of a distance in units of the truth-vs-truth spread: a word, a sign and a colour."""

    name: str
    sign: str
    colour: str
    meaning: str


_CALM = Verdict("calm", "✓", "#009E73", "within the truth-vs-truth spread")
_ATTENTION = Verdict("attention", "!", "#E69F00", "more than truth-vs-truth fluctuations explain")
_ALARM = Verdict("alarm", "✗", "#D55E00", "clearly different from truth")
_UNKNOWN = Verdict("unknown", "?", "#8A8A8A", "could not be measured")


def verdict(z: float) -> Verdict:
    """Judge a distance: calm up to z = 2, attention up to 5, alarm above, unknown for NaN.

    Parameters
    ----------
    z : float
        (distance - floor) / spread of the floor, as in `jetlab.evaluate.Comparison.table`.
    """
    if math.isnan(z):
        return _UNKNOWN
    if z <= 2:
        return _CALM
    return _ATTENTION if z <= 5 else _ALARM


# ---- figures --------------------------------------------------------------------------------------------------------


def figure_rc(theme: str = "light") -> dict[str, Any]:
    """Matplotlib settings of JetLab's figures, for use with ``matplotlib.rc_context``; nothing is set globally.

    Text has slide size and stays text in SVG and PDF files.
    """
    look = _theme(theme)
    return {
        "font.family": "DejaVu Sans",
        "font.size": 15,
        "axes.labelsize": 16,
        "axes.titlesize": 16,
        "legend.fontsize": 14,
        "legend.frameon": False,
        "figure.facecolor": look.background,
        "savefig.facecolor": look.background,
        "axes.facecolor": look.background,
        "axes.edgecolor": look.text,
        "axes.labelcolor": look.text,
        "axes.titlecolor": look.text,
        "text.color": look.text,
        "xtick.color": look.text,
        "ytick.color": look.text,
        "xtick.direction": "in",
        "ytick.direction": "in",
        "xtick.top": True,
        "ytick.right": True,
        "xtick.minor.visible": True,
        "ytick.minor.visible": True,
        "xtick.major.size": 6,
        "ytick.major.size": 6,
        "axes.linewidth": 1.0,
        "lines.linewidth": 2.0,
        "axes.unicode_minus": True,
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
    }
