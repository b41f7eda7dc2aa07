"""What can be taken away from the page: pictures, tables and histograms."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import pandas as pd

from jetlab.evaluate import distance_table, shape

if TYPE_CHECKING:
    from jetlab.dashboard.results import Result

__all__ = ["histograms_csv", "picture", "table_csv", "table_text"]


def picture(result: Result, name: str, *, kind: str, log: bool, title: str = "") -> bytes:
    """The large plot as a PNG or PDF file for slides and papers, drawn by `jetlab.plots` on white.

    Parameters
    ----------
    result : Result
        What is shown.
    name : str
        Observable.
    kind : {"png", "pdf"}
        File format.
    log : bool
        Logarithmic contents.
    title : str
        What is compared.
    """
    from jetlab import plots

    buffer = io.BytesIO()
    source = result.hists[name] if result.comparison is None else result.comparison
    plots.overlay(source, name, log=log, title=title).savefig(buffer, format=kind, dpi=200)
    return buffer.getvalue()


def table_csv(result: Result) -> str:
    """All distances, one row an observable, in full precision."""
    return result.comparison.table.to_csv() if result.comparison is not None else ""


def table_text(result: Result, kind: Literal["markdown", "latex"]) -> str:
    """The table of distances for a paper or a slide."""
    return distance_table(result.comparison.table, style=kind) if result.comparison is not None else ""


def histograms_csv(result: Result) -> str:
    """Counts and their standard deviations, one row a bin; the first and last bins are under- and overflow."""
    frames = []
    for name, hists in result.hists.items():
        counts = {role: shape(filled, scale="counts") for role, filled in hists.items()}
        edges = counts["true"].edges
        frame = {"observable": name, "low": [-float("inf"), *edges], "high": [*edges, float("inf")]}
        for role, s in counts.items():
            frame[role] = [s.under[0], *s.values, s.over[0]]
            frame[f"{role}_error"] = [s.under[1], *s.errors, s.over[1]]
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True).to_csv(index=False) if frames else ""
