"""Numbers with as many digits as their uncertainty allows, and tables of them for papers and slides."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from jetlab.errors import JetLabError
from jetlab.observables import OBSERVABLES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["distance_table", "with_uncertainty"]

Style = Literal["markdown", "latex", "html"]

_COLUMNS = ("Observable", "W1", "truth vs truth", "z", "multiple", "KS", "p")
_LATEX = {"W1": "$W_1$", "z": "$z$", "p": "$p$"}
_TO_LATEX = str.maketrans(
    {"τ": r"$\tau$", "Δ": r"$\Delta$", "η": r"$\eta$", "φ": r"$\phi$", "_": r"\_", "%": r"\%", "&": r"\&", "–": "--"}
)
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def with_uncertainty(value: float, error: float) -> str:
    """Write a number with its uncertainty, which is given two digits: ``4.05 ± 0.31``.

    Parameters
    ----------
    value, error : float
        The number and its standard deviation. Without a finite, positive error the number gets three digits.

    Returns
    -------
    str
        Powers of ten are taken out of small and large numbers: ``(4.05 ± 0.31)×10⁻⁵``. A dash for NaN.
    """
    if math.isnan(value):
        return "–"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.3g}"
    power = math.floor(math.log10(max(abs(value), error)))
    factor = power if power < -3 or power >= 6 else 0
    value, error = value / 10.0**factor, error / 10.0**factor
    decimals = max(0, 1 - math.floor(math.log10(error)))
    if float(f"{error:.{decimals}f}") >= 10.0 ** (2 - decimals):  # 0.0996 has become 0.100
        decimals = max(0, decimals - 1)
    text = f"{value:.{decimals}f} ± {error:.{decimals}f}"
    return f"({text})×10{str(factor).translate(_RAISED)}" if factor else text


def distance_table(table: pd.DataFrame, *, style: Style = "markdown") -> str:
    """Write a table of distances for a paper, a slide or a page, worst observable first.

    Parameters
    ----------
    table : pandas.DataFrame
        `Comparison.table`, or the result of `compare_by_class` (then with a column for the class).
    style : {"markdown", "latex", "html"}
        LaTeX uses the booktabs rules.

    Raises
    ------
    JetLabError
        For an unknown style.
    """
    writers = {"markdown": _markdown, "latex": _latex, "html": _html}
    if style not in writers:
        msg = f"style = {style!r} is unknown; expected one of {', '.join(writers)}"
        raise JetLabError(msg)
    flat = table.reset_index() if "observable" not in table else table
    order = ["class"] if "class" in flat else []
    if not order:
        flat = flat.sort_values("z", ascending=False, na_position="first")
    rows = [{**({"Class": row["class"]} if order else {}), **_cells(row)} for row in flat.to_dict("records")]
    return writers[style](([*(["Class"] if order else []), *_COLUMNS]), rows)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    name = str(row["observable"])
    return {
        "Observable": OBSERVABLES[name].title if name in OBSERVABLES else name,
        "W1": with_uncertainty(row["w1"], row["w1_err"]),
        "truth vs truth": with_uncertainty(row["floor"], row["floor_sd"]),
        "z": _number(row["z"], "+z.1f"),
        "multiple": _number(row["multiple"], ".1f"),
        "KS": _number(row["ks"], ".3f"),
        "p": _number(row["ks_p"], ".2g"),
    }


def _number(value: float, digits: str) -> str:
    return "–" if math.isnan(value) else format(value, digits)


def _markdown(columns: list[str], rows: list[dict[str, str]]) -> str:
    words = [c for c in columns if c in ("Class", "Observable")]
    rule = [":--" if c in words else "--:" for c in columns]
    lines = [columns, rule, *([row[c] for c in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _latex(columns: list[str], rows: list[dict[str, str]]) -> str:
    layout = "".join("l" if c in ("Class", "Observable") else "r" for c in columns)
    head = " & ".join(_LATEX.get(c, c) for c in columns)
    body = [" & ".join(_latex_cell(row[c]) for c in columns) + r" \\" for row in rows]
    lines = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", head + r" \\", r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def _latex_cell(text: str) -> str:
    if "×10" in text:
        numbers, power = text.split("×10")
        exponent = power.translate({after: before for before, after in _RAISED.items()})
        return "$" + numbers.replace("±", r"\pm") + rf" \times 10^{{{exponent}}}$"
    if "±" in text or text[:1] in "+-":
        return "$" + text.replace("±", r"\pm") + "$"
    text = text.translate(_TO_LATEX)
    lowered = re.sub("[₀-₉]+", lambda digits: f"$_{{{digits[0].translate(_LOWERED)}}}$", text)
    return lowered.replace("$$", "")


def _html(columns: list[str], rows: list[dict[str, str]]) -> str:
    from html import escape

    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[c])}</td>" for c in columns) + "</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
