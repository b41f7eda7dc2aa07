"""The Z + jet set of OmniFold (Zenodo 3548091, arXiv:1911.09107): each jet at generator and at detector level.

All arrays come twice, with ``gen_`` and with ``sim_`` in front: ``jets`` (n, 4) with pT, *rapidity*, phi, mass;
``particles`` (n, P, 4) with pT / 100 GeV, rapidity and azimuth relative to the jet, and a code for the particle type;
``mults``, ``lhas``, ``widths``, ``ang2s``, ``tau2s``, ``sdms``, ``zgs`` (n,). ``gen_Zs`` (n, 3) is the Z boson.

At detector level cells of the electromagnetic calorimeter count as photons, those of the hadronic one as K0L, and the
published jets carry an energy correction: their momenta are in ``info``, beside those that the constituents add up to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.data.formats import pdg
from jetlab.data.formats.padded import from_rapidity, unpadded
from jetlab.data.formats.table import Table
from jetlab.data.select import TURNS
from jetlab.errors import FileError, InvalidJetsError, UnitsError
from jetlab.jets import Jets, Pairs, wrap_phi

__all__ = ["OBSERVABLES", "PARTICLE_CODES", "count", "matches", "read", "read_pairs"]

OBSERVABLES = ("mults", "lhas", "widths", "ang2s", "tau2s", "sdms", "zgs")
"""Observables of each jet that the files hold, by their names there without ``gen_`` and ``sim_``."""

PARTICLE_CODES = (22, 211, -211, 130, 11, -11, 13, -13, 321, -321, 2212, -2212, 2112, -2112)
"""PDG codes of the types 0.0, 0.1, 0.2, ... of the files."""

_GEV = 100.0
_GENERATED, _DETECTED = "gen", "sim"
_Z = ("z_pt", "z_y", "z_phi")


def matches(table: Table) -> bool:
    """Whether these are the arrays of OmniFold's Z + jet set."""
    parts = [table.shapes.get(f"{level}_particles", ()) for level in (_GENERATED, _DETECTED)]
    jets = [table.shapes.get(f"{level}_jets", ()) for level in (_GENERATED, _DETECTED)]
    return all(len(s) == 3 and s[2] == 4 for s in parts) and all(len(s) == 2 and s[1] == 4 for s in jets)


def count(table: Table) -> int:
    """Number of pairs."""
    return int(table.shapes[f"{_DETECTED}_jets"][0] or 0)


def read(table: Table) -> Jets:
    """Read the jets at detector level alone; their observables are in ``info``."""
    note = "these are the jets at detector level; load_pairs gives those at generator level beside them"
    return _level(table, _DETECTED).with_meta(notes=[note])


def read_pairs(table: Table) -> Pairs:
    """Read the jets at both levels.

    Returns
    -------
    Pairs
        ``info`` has ``z_pt``, ``z_y``, ``z_phi`` of the Z boson and ``split``, which marks of each five rows of the
        file three for training (0), one for validation (1) and one for tests (2).
    """
    turn = (table.first + np.arange(count(table))) % len(TURNS)
    info = {"split": np.asarray(TURNS, dtype=np.int8)[turn]}
    if table.shapes.get("gen_Zs", ()) == (count(table), 3):
        boson = np.asarray(table.fetch(["gen_Zs"])["gen_Zs"])
        info |= {name: boson[:, k] for k, name in enumerate(_Z)}
    return Pairs(_level(table, _GENERATED), _level(table, _DETECTED), info=info)


def _level(table: Table, level: str) -> Jets:
    """Jets of one level, with four-momenta in GeV."""
    n = count(table)
    lengths = {name: shape[0] for name, shape in table.shapes.items() if name.startswith(f"{level}_")}
    if set(lengths.values()) != {n}:
        msg = f"the arrays differ in length: {', '.join(f'{name} {k}' for name, k in lengths.items())}, expected {n}"
        raise FileError(msg)
    there = [name for name in OBSERVABLES if table.flat(f"{level}_{name}")]
    held = table.fetch([f"{level}_particles", f"{level}_jets", *(f"{level}_{name}" for name in there)])
    particles, jets = (np.asarray(held[f"{level}_{name}"]) for name in ("particles", "jets"))
    jets = jets.astype(np.float64)
    offsets, rows = unpadded(particles, particles[..., 0] != 0)
    counts = np.diff(offsets)
    pid = _pdg_codes(rows[:, 3])
    pt, mass = _GEV * rows[:, 0], pdg.masses(pid)
    _check_sum(pt, jets[:, 0], offsets)
    columns = {
        "pt": pt,
        "eta": from_rapidity(pt, rows[:, 1] + np.repeat(jets[:, 1], counts), mass),
        "phi": wrap_phi(rows[:, 2] + np.repeat(jets[:, 2], counts)),
        "mass": mass,
        "charge": pdg.charges(pid),
        "ptype": pdg.particle_types(pid),
    }
    info = {"jet_pt": jets[:, 0], "jet_y": jets[:, 1], "jet_phi": jets[:, 2], "jet_mass": jets[:, 3]}
    return Jets.from_flat(offsets, columns, info=info | {name: np.asarray(held[f"{level}_{name}"]) for name in there})


def _pdg_codes(code: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """PDG codes by the nearest tenth: in single precision no tenth is equal to itself.

    Raises
    ------
    InvalidJetsError
        If a code is not near one of `PARTICLE_CODES`.
    """
    tenths = np.rint(10 * code)
    odd = ~((np.abs(10 * code - tenths) < 0.1) & (tenths >= 0) & (tenths < len(PARTICLE_CODES)))
    if odd.any():
        found = f"{code[odd][0]:g} ({int(odd.sum())} such values)"
        msg = f"the particle type is {found}, expected tenths from 0 to {(len(PARTICLE_CODES) - 1) / 10:g}"
        raise InvalidJetsError(msg)
    return np.asarray(PARTICLE_CODES)[tenths.astype(np.int64)]


def _check_sum(pt: npt.NDArray[np.float64], jet_pt: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64]) -> None:
    """Refuse particles whose pT were not divided by 100 GeV."""
    filled = np.diff(offsets) > 0
    if not filled.any():
        return
    total = np.add.reduceat(pt, offsets[:-1][filled])
    ratio = float(np.median(total / jet_pt[filled]))
    if not 0.5 < ratio < 2:
        msg = (
            f"the pT of the particles add up to {ratio:.3g} times that of the jet, after multiplication by 100: "
            "expected pT / 100 GeV, as published"
        )
        raise UnitsError(msg)
