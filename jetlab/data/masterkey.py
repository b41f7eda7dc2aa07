"""Master keys of the black boxes of the LHC Olympics: which events are signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.table import guarded
from jetlab.errors import FileError
from jetlab.jets import EVENT_CLASSES

__all__ = ["KEY_CLASSES", "read_key"]

KEY_CLASSES = (*EVENT_CLASSES, "signal 2")
"""Class names in label order; only black box 3 has a second kind of signal."""


def read_key(path: str | Path, n: int) -> npt.NDArray[np.int64]:
    """Labels of the events of a black box.

    Parameters
    ----------
    path : str or Path
        Text file with one label a line: 0, 1 or 2, also written as 0.0.
    n : int
        Number of events of the black box.

    Returns
    -------
    array of int, shape (n,)

    Raises
    ------
    FileError
        If the file is missing or no such text, or its length is not `n`.
    """
    path = Path(path)
    with guarded(str(path), "read as a master key"):
        lines = path.read_text(encoding="ascii").split()
        if len(lines) != n:
            msg = f"{path} holds {len(lines)} labels, but the black box has {n} events; they do not belong together"
            raise FileError(msg)
        return np.array([_label(text, number) for number, text in enumerate(lines, 1)], dtype=np.int64)


def _label(text: str, line: int) -> int:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if value not in range(len(KEY_CLASSES)):
        msg = f"label {line} is {text[:20]!r}, expected 0, 1 or 2"
        raise FileError(msg)
    return int(value)
