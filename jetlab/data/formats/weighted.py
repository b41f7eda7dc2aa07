"""PUPPI weights: the share of each constituent that is not from pile-up (arXiv:1407.6013)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

__all__ = ["SCALED", "scaled"]

SCALED = "constituents were scaled by their PUPPI weights; those of weight 0 were left out"
"""The note that goes with `scaled`."""


def scaled(
    offsets: npt.NDArray[np.int64], columns: Mapping[str, npt.NDArray[Any]], weight: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Constituents with their four-momenta multiplied by their weights.

    Parameters
    ----------
    offsets : array of int, shape (n + 1,)
    columns : mapping of str to array, shape (m,)
        Has ``pt`` and ``mass``, which are scaled; the others stay.
    weight : array of float, shape (m,)
        From 0 to 1.

    Returns
    -------
    offsets, columns
        Without the constituents of weight 0.

    Raises
    ------
    InvalidJetsError
        If a weight is not from 0 to 1.
    """
    weight = np.asarray(weight, dtype=np.float64)
    bad = ~((weight >= 0) & (weight <= 1 + 1e-3))
    if bad.any():
        msg = f"a PUPPI weight is {weight[bad][0]}, expected 0 to 1 ({int(bad.sum())} such constituents)"
        raise InvalidJetsError(msg)
    kept = weight > 0
    before = np.concatenate([[0], np.cumsum(kept)])
    made = {name: values[kept] for name, values in columns.items()}
    made |= {name: made[name] * weight[kept] for name in ("pt", "mass")}
    return before[offsets].astype(np.int64), made
