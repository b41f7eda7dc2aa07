"""Tables of long studies that come with the package, so that their results can be read without repeating them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import JetLabError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STUDIES", "provenance", "studies", "study"]

STUDIES = Path(__file__).parent / "studies_data"
"""Folder of the studies: one folder each, with its table in ``table.csv``."""

_TABLE, _PROVENANCE = "table.csv", "provenance.json"


def studies() -> tuple[str, ...]:
    """Names of the studies that come with this installation."""
    return tuple(sorted(path.parent.name for path in STUDIES.glob(f"*/{_TABLE}")))


def study(name: str) -> pd.DataFrame:
    """Read the table of a study.

    Parameters
    ----------
    name : str
        A name from `studies`, such as ``"tokens"``.

    Returns
    -------
    pandas.DataFrame
        As the command ``jetlab study NAME`` wrote it.

    Raises
    ------
    JetLabError
        If this installation has no such study, or its table cannot be read.
    """
    import pandas as pd

    path = _folder(name) / _TABLE
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        msg = f"the table {path} cannot be read ({error}); install jetlab again"
        raise JetLabError(msg) from error


def provenance(name: str) -> dict[str, Any]:
    """How the table of a study came about: command, jets, seeds, minutes, machine, and what to know before quoting it.

    Parameters
    ----------
    name : str
        A name from `studies`.

    Raises
    ------
    JetLabError
        If this installation has no such study, or its notes cannot be read.
    """
    path = _folder(name) / _PROVENANCE
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"the notes {path} cannot be read ({error}); install jetlab again"
        raise JetLabError(msg) from error
    return found


def _folder(name: str) -> Path:
    if name not in studies():
        known = ", ".join(studies()) or "none"
        msg = (
            f"this installation has no study {name!r} (it has {known}); the command 'jetlab study {name}' makes its "
            f"table anew"
        )
        raise JetLabError(msg)
    return STUDIES / name
