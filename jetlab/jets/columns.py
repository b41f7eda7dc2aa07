"""Constituents as flat columns with offsets: from and to awkward arrays, sorted by falling pT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets.checks import whole_numbers
from jetlab.jets.domains import JETS, Domain

__all__ = [
    "OPTIONAL_PARTICLE_FIELDS",
    "PARTICLE_FIELDS",
    "flatten",
    "frozen",
    "jagged",
    "rows_of",
    "sort_by_pt",
    "wrap_phi",
]

PARTICLE_FIELDS = ("pt", "eta", "phi", "mass")
"""Fields that every constituent has: pT [GeV], pseudorapidity, azimuth [rad], mass [GeV]."""

OPTIONAL_PARTICLE_FIELDS = ("charge", "ptype", "d0", "d0err", "dz", "dzerr")
"""Fields a constituent may have: charge, particle type code, impact parameters and their errors [mm]."""

_INTEGER_FIELDS = ("charge", "ptype")


def wrap_phi(phi: npt.ArrayLike) -> Any:
    """Wrap angles into (-pi, pi].

    Parameters
    ----------
    phi : array_like
        Angles in radians, any shape; those inside are returned bit for bit.
    """
    given = np.asarray(phi)
    wrapped = given.astype(np.result_type(given.dtype, np.float32))
    outside = np.isfinite(wrapped) & ((wrapped > np.pi) | (wrapped <= -np.pi))
    wrapped[outside] = np.pi - np.mod(np.pi - wrapped[outside].astype(np.float64), 2 * np.pi)
    return wrapped[()]


def frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same array, made read-only."""
    values.setflags(write=False)
    return values


def rows_of(
    offsets: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Offsets of the chosen entries among themselves, and the flat rows that belong to them."""
    counts = np.diff(offsets)[chosen]
    among = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return among, np.repeat(offsets[chosen] - among[:-1], counts) + np.arange(among[-1])


def jagged(offsets: npt.NDArray[Any], columns: Mapping[str, npt.NDArray[Any]]) -> ak.Array:
    """Records of shape ``(n, var)`` around flat columns, without copying them."""
    contents = [ak.contents.NumpyArray(np.asarray(v)) for v in columns.values()]
    record = ak.contents.RecordArray(contents, list(columns), length=int(offsets[-1]))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(np.asarray(offsets, dtype=np.int64)), record))


def flatten(particles: ak.Array, domain: Domain = JETS) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Offsets and flat columns of constituent records, in the types that `Jets` keeps."""
    if not isinstance(particles, ak.Array) or particles.ndim != 2:
        found = f"{particles.ndim} dimensions" if isinstance(particles, ak.Array) else type(particles).__name__
        msg = f"particles must be an awkward array of shape (jets, constituents); found {found}"
        raise InvalidJetsError(msg)
    missing = [f for f in PARTICLE_FIELDS if f not in particles.fields]
    if missing:
        msg = (
            f"constituents lack the fields {', '.join(missing)}; found {', '.join(particles.fields) or 'none'}. "
            f"Expected {', '.join(PARTICLE_FIELDS)} and optionally {', '.join(OPTIONAL_PARTICLE_FIELDS)}"
        )
        raise InvalidJetsError(msg)
    counts = ak.to_numpy(ak.num(particles, axis=1)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    names = [f for f in (*PARTICLE_FIELDS, *OPTIONAL_PARTICLE_FIELDS, *domain.fields) if f in particles.fields]
    columns = {name: _flat_column(particles[name], name) for name in names}
    columns["phi"] = wrap_phi(columns["phi"])
    return offsets, columns


def _flat_column(values: ak.Array, name: str) -> npt.NDArray[Any]:
    """One field of all constituents as float32, or int8 for the whole-numbered ones."""
    try:
        flat = ak.to_numpy(ak.flatten(values, axis=1), allow_missing=False)
        if flat.ndim != 1 or flat.dtype.kind not in "fiub":
            msg = f"{name} has type {values.type.content}, expected one number for each constituent"
            raise InvalidJetsError(msg)
    except (ValueError, TypeError) as error:
        if isinstance(error, InvalidJetsError):
            raise
        msg = (
            f"{name} of the constituents must be a number everywhere; found {values.type.content}, with missing values"
        )
        raise InvalidJetsError(msg) from error
    if name in _INTEGER_FIELDS:
        return whole_numbers(flat, f"{name} of the constituents", np.int8)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(flat, dtype=np.float32)


def sort_by_pt(offsets: npt.NDArray[np.int64], columns: dict[str, npt.NDArray[Any]]) -> None:
    """Sort constituents within each jet by falling pT, in place, and make everything read-only."""
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    pt = columns["pt"]
    falls = (pt[1:] <= pt[:-1]) | (jet[1:] != jet[:-1])
    if not falls.all():
        order = np.lexsort((-pt, jet))
        for name in columns:
            columns[name] = columns[name][order]
    for values in (offsets, *columns.values()):
        frozen(values)
