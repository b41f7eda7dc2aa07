"""Minitrees of H1 simulation, as OmniLearn used them (arXiv:2404.16091): Django and Rapgap, deep-inelastic scattering.

Rows are events of the tree ``Django/minitree`` or ``Rapgap/minitree``. All jets of an event stand in ``jet_pt``, ...,
all their particles in ``jet_part_pt``, ...; ``jet_part_idx`` says which jet a particle belongs to. The published
selection is Q2 > 150 GeV^2, 0.08 < y < 0.7, ptmiss < 10 GeV, 45 < Empz < 65 GeV, jet pT > 10 GeV and
-1.5 < jet eta < 2.75 for the leading jet: these columns are in ``info`` to select by.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.momenta import mass_from_energy
from jetlab.data.formats.table import Table, list_column, rows_linked
from jetlab.jets import Jets, concatenate, wrap_phi

__all__ = ["GENERATORS", "count", "matches", "read"]

GENERATORS = ("Django", "Rapgap")
"""Class names in label order; a label tells which generator made the jet."""

_JET, _PART = "jet_pt", ("jet_part_pt", "jet_part_eta", "jet_part_phi", "jet_part_e", "jet_part_charge", "jet_part_idx")
_OF_EVENT = ("Q2", "y", "ptmiss", "Empz")
_TREE = "minitree"


def matches(table: Table) -> bool:
    """Whether these are the columns of an H1 minitree."""
    return _JET in table.shapes and all(name in table.shapes for name in _PART)


def count(table: Table) -> int:
    """Number of jets in all events."""
    return sum(int(list_column(part.fetch([_JET]), _JET).offsets[-1]) for part in _trees(table))


def read(table: Table) -> Jets:
    """Read all jets; ``info`` has event, rank of the jet in it, Q2, y, ptmiss, Empz and the jet's own pT and mass.

    Jets have a label if the tree lies in a directory named after its generator; a file may hold both trees.

    Raises
    ------
    InvalidJetsError
        If a particle belongs to a jet that is not there.
    """
    parts = [_read(part) for part in _trees(table)]
    return parts[0] if len(parts) == 1 else concatenate(parts)


def _trees(table: Table) -> Sequence[Table]:
    """The minitrees of all generators in the file, else the table itself."""
    found = [opened for name, opened in table.trees.items() if _generator(name) is not None]
    return [opened() for opened in found] or [table]


def _generator(tree: str) -> int | None:
    folder, _, name = tree.rpartition("/")
    generator = folder.rpartition("/")[2]
    return GENERATORS.index(generator) if name == _TREE and generator in GENERATORS else None


def _read(table: Table) -> Jets:
    of_event = [name for name in _OF_EVENT if table.flat(name)]
    held = table.fetch([_JET, *_PART, *of_event, *(["jet_mass"] if "jet_mass" in table.shapes else [])])
    jets, links = list_column(held, _JET), list_column(held, "jet_part_idx")
    jet = rows_linked(links, jets.offsets)
    order = np.argsort(jet, kind="stable")
    pt, eta, phi, energy, charge = (list_column(held, name).values[order] for name in _PART[:-1])
    n = len(jets.values)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(jet, minlength=n))]).astype(np.int64)
    pt, eta, energy = (values.astype(np.float64) for values in (pt, eta, energy))
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": wrap_phi(phi),
        "mass": mass_from_energy(energy, pt, pt * np.sinh(eta), offsets),
        "charge": np.rint(charge),
    }
    event = np.repeat(np.arange(len(jets.offsets) - 1), np.diff(jets.offsets))
    info: dict[str, npt.NDArray[np.number]] = {
        "event": event,
        "jet_rank": np.arange(n) - jets.offsets[:-1][event],
        "jet_pt": jets.values,
    }
    info |= {"jet_mass": list_column(held, "jet_mass").values} if "jet_mass" in held else {}
    info |= {name: np.asarray(held[name])[event] for name in of_event}
    generator = _generator(table.tree)
    label = None if generator is None else np.full(n, generator)
    return Jets.from_flat(offsets, columns, label=label, classes=GENERATORS, info=info)
