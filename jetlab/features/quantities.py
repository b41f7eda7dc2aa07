"""Constituents as flat columns, with the quantities that follow from them: what recipes are made of.

`Jets` and raw columns of a file both come here, so that a stream of files gives the same inputs as jets in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.jets import Jets
from jetlab.vocabulary import PARTICLE_TYPES

__all__ = ["REST", "Constituents"]

REST = 1e-6
"""Added to what one constituent leaves for the others, so that its logarithm exists (as OmniLearn does)."""


class Constituents:
    """Flat columns of the constituents of many jets; further quantities are computed when first asked for.

    Parameters
    ----------
    offsets : ndarray of int, shape (n + 1,)
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``; the first is 0.
    columns : mapping of str to ndarray, shape (m,)
        What is known: ``pt`` or ``px`` and ``py`` [GeV], ``energy`` or ``pt``, ``eta`` and ``mass`` [GeV], ``deta`` or
        ``deta_outward``, ``dphi`` [rad], ``charge``, ``d0``, ``d0err``, ``dz``, ``dzerr`` [mm], and ``ptype`` or one
        flag for each of `jetlab.vocabulary.PARTICLE_TYPES`.
    jets : mapping of str to ndarray, shape (n,)
        ``pt`` [GeV], ``energy`` [GeV] and ``eta`` of the jets, as far as a quantity needs them.

    Notes
    -----
    Derived quantities: ``pt``, ``energy``, ``ptrel`` and ``energyrel`` (fractions of the jet's), ``ptrest`` and
    ``energyrest`` (the fraction that is left for the others, plus a millionth), ``distance`` from the jet axis,
    ``deta_outward`` (``deta`` times the sign of the jet's eta: positive points away from the centre), the particle
    types, and ``particle_code``, one number for type and charge: 1 and 2 for charged hadrons of positive and negative
    charge, 3 neutral hadrons, 4 photons, 5 and 6 electrons, 7 and 8 muons, 0 for what is unknown.
    """

    def __init__(
        self,
        offsets: npt.NDArray[np.int64],
        columns: Mapping[str, npt.NDArray[Any]],
        jets: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        self.offsets, self.columns, self.jets = offsets, columns, jets
        self._known: dict[str, npt.NDArray[Any]] = {}

    @staticmethod
    def of(jets: Jets) -> Constituents:
        """Constituents of these jets."""
        columns = {name: jets.flat(name) for name in (*jets.fields, "deta", "dphi")}
        axes = {"pt": jets.pt, "energy": jets.energy, "eta": jets.eta}
        return Constituents(jets.offsets, columns, {name: v.astype(np.float32) for name, v in axes.items()})

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of constituents of each jet, shape ``(n,)``."""
        return np.diff(self.offsets)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A quantity of every constituent, shape ``(m,)``.

        Raises
        ------
        KeyError
            If the columns do not determine it; its argument names the column that is lacking.
        """
        if name in self.columns:
            return self.columns[name]
        if name not in self._known:
            if name not in _DERIVED:
                raise KeyError(name)
            self._known[name] = _DERIVED[name](self)
        return self._known[name]

    def of_jet(self, name: str) -> npt.NDArray[Any]:
        """A quantity of the jet, repeated for every constituent, shape ``(m,)``."""
        if name not in self.jets:
            lacking = f"jet {name}"
            raise KeyError(lacking)
        return np.repeat(self.jets[name], self.counts)

    def block(self, start: int, stop: int) -> Constituents:
        """Jets `start` to `stop`, without copying."""
        rows = slice(int(self.offsets[start]), int(self.offsets[stop]))
        return Constituents(
            self.offsets[start : stop + 1] - self.offsets[start],
            {name: values[rows] for name, values in self.columns.items()},
            {name: values[start:stop] for name, values in self.jets.items()},
        )

    def where(self, keep: npt.NDArray[np.bool_]) -> Constituents:
        """Only the constituents with a True in `keep`, shape ``(m,)``; the jets' own quantities stay."""
        before = np.concatenate([[0], np.cumsum(keep)])
        columns = {name: values[keep] for name, values in self.columns.items()}
        return Constituents(before[self.offsets], columns, self.jets)


def _pt(c: Constituents) -> npt.NDArray[Any]:
    return np.sqrt(c["px"] * c["px"] + c["py"] * c["py"])


def _energy(c: Constituents) -> npt.NDArray[Any]:
    momentum = c["pt"] * np.cosh(c["eta"])
    return np.sqrt(momentum * momentum + c["mass"] * c["mass"])


def _distance(c: Constituents) -> npt.NDArray[Any]:
    deta = c["deta"] if "deta" in c.columns else c["deta_outward"]
    return np.sqrt(deta * deta + c["dphi"] * c["dphi"])


def _deta_outward(c: Constituents) -> npt.NDArray[Any]:
    return c.columns["deta"] * _side(c)


def _deta(c: Constituents) -> npt.NDArray[Any]:
    return c.columns["deta_outward"] * _side(c)


def _side(c: Constituents) -> npt.NDArray[np.float32]:
    return np.where(c.of_jet("eta") > 0, np.float32(1), np.float32(-1))


def _particle_code(c: Constituents) -> npt.NDArray[Any]:
    code = sum(first * c[name] for name, first in zip(PARTICLE_TYPES, (1, 3, 4, 5, 7), strict=True))
    charged = c["charged hadron"] + c["electron"] + c["muon"]
    return code + charged * (c["charge"] < 0)


def _is_type(code: int) -> Callable[[Constituents], npt.NDArray[Any]]:
    return lambda c: c["ptype"] == code


_DERIVED: dict[str, Callable[[Constituents], npt.NDArray[Any]]] = {
    "pt": _pt,
    "energy": _energy,
    "ptrel": lambda c: c["pt"] / c.of_jet("pt"),
    "energyrel": lambda c: c["energy"] / c.of_jet("energy"),
    "ptrest": lambda c: 1 + REST - c["ptrel"],
    "energyrest": lambda c: 1 + REST - c["energyrel"],
    "distance": _distance,
    "deta": _deta,
    "deta_outward": _deta_outward,
    "particle_code": _particle_code,
} | {name: _is_type(code) for code, name in enumerate(PARTICLE_TYPES)}
