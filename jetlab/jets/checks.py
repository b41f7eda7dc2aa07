"""What makes jets invalid: each check names the field, the jet and the value, and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError, UnitsError
from jetlab.jets.domains import JETS, Domain

__all__ = ["check_label", "check_offsets", "check_per_jet", "check_units", "check_values", "whole_numbers"]


def whole_numbers(values: npt.NDArray[Any], name: str, kind: type[np.integer]) -> npt.NDArray[Any]:
    """Convert to integers, refusing fractions, NaN and numbers that do not fit."""
    largest = np.iinfo(kind).max
    if values.dtype.kind not in "fiub":
        msg = f"{name} has type {values.dtype}, expected whole numbers"
        raise InvalidJetsError(msg)
    if values.dtype.kind == "f" or values.dtype.itemsize > np.dtype(kind).itemsize:
        odd = ~((np.abs(values) <= largest) & (np.round(values) == values))
        if odd.any():
            found = f"{values[odd][0]} ({int(odd.sum())} such values)"
            msg = f"{name} is {found}, expected whole numbers up to {largest} in size"
            raise InvalidJetsError(msg)
    return values.astype(kind)


def check_offsets(offsets: npt.NDArray[Any], columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse offsets that do not rise from 0 to the length of every column."""
    whole = offsets.ndim == 1 and offsets.size > 0 and offsets.dtype.kind in "iu"
    if not whole or offsets[0] != 0 or (np.diff(offsets.astype(np.int64)) < 0).any():
        found = f"{offsets.dtype} {offsets.ravel()[:5]}"
        msg = f"offsets must be whole numbers that start at 0 and never fall; found {found}"
        raise InvalidJetsError(msg)
    for name, values in columns.items():
        if values.shape != (offsets[-1],):
            msg = f"column {name} has shape {values.shape}, but the offsets end at {offsets[-1]} constituents"
            raise InvalidJetsError(msg)


def check_per_jet(n: int, columns: Mapping[str, npt.NDArray[Any]], *, unit: str = "jet") -> None:
    """Refuse columns that do not have one value for each of `n` jets, or of whatever `unit` names."""
    for name, values in columns.items():
        if values.shape[:1] != (n,):
            msg = f"{name} has shape {values.shape}, expected one value for each of the {n} {unit}s"
            raise InvalidJetsError(msg)


def check_label(label: npt.NDArray[np.int64], classes: Sequence[str], *, unit: str = "jet") -> None:
    """Refuse labels that name no class."""
    odd = np.flatnonzero((label < 0) | (label >= len(classes)))
    if odd.size:
        known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        msg = f"label of {unit} {odd[0]} is {label[odd[0]]}, expected 0 to {len(classes) - 1} ({known})"
        raise InvalidJetsError(msg)


def check_values(
    offsets: npt.NDArray[np.int64], columns: Mapping[str, npt.NDArray[Any]], *, domain: Domain = JETS
) -> None:
    """Refuse constituents whose numbers are not physical."""
    for name, values in columns.items():
        bad = ~np.isfinite(values)
        if name == "pt":
            bad |= values < 0 if domain.at_rest else values <= 0
        if name == "mass":
            bad |= values < 0
        if name == "eta":
            bad |= np.abs(values) > 20
        if name == "ptype":
            bad |= (values < -1) | (values >= len(domain.types))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            jet = int(np.searchsorted(offsets, row, side="right")) - 1
            msg = (
                f"{domain.part} {row - offsets[jet]} of {domain.unit} {jet} has {name} = {values[row]}, "
                f"which is not a physical value ({int(bad.sum())} such values in this field). Remove or mend them first"
            )
            raise InvalidJetsError(msg)


def check_units(scale: npt.NDArray[np.floating], *, domain: Domain = JETS) -> None:
    """Refuse jets whose median transverse momentum (neutrino events: energy) cannot be in GeV.

    Parameters
    ----------
    scale : array of float, shape (n,)
        The quantity ``domain.scale`` of the jets that have constituents.
    domain : Domain
        What is plausible.
    """
    if not scale.size:
        return
    median, (low, high) = float(np.median(scale)), domain.plausible
    what = f"the median {domain.unit} {'pT' if domain.scale == 'pt' else domain.scale} is {median:.3g}"
    if median < low:
        msg = (
            f"{what}, which cannot be GeV: were {domain.part} pT given relative to the {domain.unit}? "
            f"Multiply them by the {domain.unit} pT in GeV"
        )
        raise UnitsError(msg)
    if median > high:
        msg = f"{what}, which cannot be GeV: are the momenta in MeV? Divide them by 1000"
        raise UnitsError(msg)
