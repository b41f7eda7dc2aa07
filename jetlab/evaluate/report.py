"""A page with everything about one comparison, in a single file that needs no other."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import FileError
from jetlab.evaluate.tables import distance_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_report"]

_LOOK = """
body { font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f1f1f; max-width: 1200px; margin: 2em auto;
  padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .9em; text-align: right; border-bottom: 1px solid #d5d5d5 }
th:first-child, td:first-child { text-align: left }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); gap: 1em }
figure { margin: 0 }
svg { width: 100%; height: auto }
pre { white-space: pre-wrap; background: #f5f5f5; padding: 1em; font-size: 13px }
.note { color: #555 }
""".strip()

_MEASURES = (
    "W1 is the Wasserstein-1 distance (the area between the cumulative distributions, in the unit of the observable) "
    "with its bootstrap uncertainty; “truth vs truth” is the same distance between two samples of true jets of the "
    "same sizes, with its spread; z is the distance above it in units of the spread, and multiple their ratio. KS is "
    "the Kolmogorov-Smirnov statistic with its p-value. Error bars and bands are one standard deviation."
)


def write_report(
    path: str | Path, *, title: str, table: pd.DataFrame, drawings: Mapping[str, str], provenance: Mapping[str, Any]
) -> list[Path]:
    """Write the page, and the table as CSV beside it.

    Parameters
    ----------
    path : str or Path
        Of the page; ``.html`` is added if it has no suffix.
    title : str
        Heading.
    table : pandas.DataFrame
        `Comparison.table`.
    drawings : mapping of str to str
        Figures as SVG elements, by name, in the order of the page.
    provenance : mapping
        JSON-safe facts about the samples and the comparison.

    Returns
    -------
    list of Path
        The page and the table.

    Raises
    ------
    FileError
        If the path cannot be written.
    """
    page = Path(path)
    page = page if page.suffix else page.with_suffix(".html")
    beside = page.with_suffix(".csv")
    rows = table.to_csv()
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_page(title, table, rows, drawings, provenance), encoding="utf-8")
        beside.write_text(rows, encoding="utf-8")
    except OSError as error:
        msg = f"cannot write the report to {page}: {error.strerror}. Give a path in a folder that you may write to"
        raise FileError(msg) from error
    return [page, beside]


def _page(
    title: str, table: pd.DataFrame, rows: str, drawings: Mapping[str, str], provenance: Mapping[str, Any]
) -> str:
    figures = "\n".join(f'<figure id="{escape(name)}">{svg}</figure>' for name, svg in drawings.items())
    facts = json.dumps(dict(provenance), indent=2, ensure_ascii=False, default=str)
    csv = base64.b64encode(rows.encode()).decode()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_LOOK}
</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p>{_summary(provenance)}</p>
{distance_table(table, style="html")}
{_notes(table)}
<p class="note">{_MEASURES}</p>
<p><a download="distances.csv" href="data:text/csv;base64,{csv}">Download the table as CSV</a></p>
<div class="figures">
{figures}
</div>
<h2>How this was made</h2>
<pre>{escape(facts)}</pre>
</body>
</html>
"""


def _summary(provenance: Mapping[str, Any]) -> str:
    samples = []
    for role in ("generated", "true"):
        facts = provenance.get(role, {})
        source = f" ({escape(str(facts['source']))})" if "source" in facts else ""
        samples.append(f"{facts.get('jets', 0):,} {role} jets{source}")
    return " compared with ".join(samples) + "."


def _notes(table: pd.DataFrame) -> str:
    notes = [f"<li>{escape(str(name))}: {escape(note)}</li>" for name, note in table["note"].items() if note]
    return f"<ul>{''.join(notes)}</ul>" if notes else ""
