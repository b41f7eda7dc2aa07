"""The layout of JetNet (arXiv:2106.11535): padded arrays relative to the jet, 30 or 150 constituents.

A published file holds jets of one class, which only its name tells, and not where they were in phi. Files that JetLab
writes have ``label`` and ``jet_phi`` beside the two arrays of JetNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.columns import numbered_classes
from jetlab.data.formats.momenta import momenta
from jetlab.data.formats.padded import occupied, padded
from jetlab.data.formats.table import Table
from jetlab.data.formats.units import check_sums
from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets

__all__ = ["count", "jetnet_arrays", "jetnet_losses", "jetnet_slots", "matches", "read"]

_PARTICLES, _JETS = "particle_features", "jet_features"
_SLOTS = (30, 150)


def matches(table: Table) -> bool:
    """Whether these are the arrays of JetNet."""
    particles, jets = table.shapes.get(_PARTICLES, ()), table.shapes.get(_JETS, ())
    return len(particles) == 3 and particles[2] == 4 and len(jets) == 2 and jets[1] == 4


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes[_PARTICLES][0] or 0)


def read(table: Table) -> Jets:
    """Read jets in the JetNet layout; they carry labels only if JetLab wrote the file.

    Raises
    ------
    InvalidJetsError
        If the arrays differ in the number of jets.
    """
    beside = [name for name in ("label", "jet_phi", *table.meta.get("info", ())) if table.flat(name)]
    held = {name: np.asarray(values) for name, values in table.fetch([_PARTICLES, _JETS, *beside]).items()}
    particles, jets = held[_PARTICLES], held[_JETS]
    if len(particles) != len(jets):
        msg = f"{_PARTICLES} holds {len(particles)} jets, but {_JETS} {len(jets)}"
        raise InvalidJetsError(msg)
    mask = occupied(particles[..., 3], "mask", above=0.5)
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    flat = {name: particles[..., k][mask] for k, name in enumerate(("deta", "dphi", "ptrel"))}
    axis = {"pt": jets[:, 0], "eta": jets[:, 1], "phi": held.get("jet_phi", np.zeros(len(jets)))}
    columns, notes = momenta(flat, axis, offsets)
    notes += [] if "jet_phi" in held else ["jets are put at phi = 0"]
    notes += [] if "label" in held else ["the file carries no labels"]
    label = held.get("label")
    classes = tuple(table.meta.get("classes", ())) or (() if label is None else numbered_classes(label))
    made = Jets.from_flat(
        offsets,
        columns,
        label=label,
        classes=classes,
        info={"jet_mass": jets[:, 2]} | {name: held[name] for name in table.meta.get("info", ()) if name in held},
        meta=dict(table.meta.get("meta", {})) | {"notes": [*notes, *table.meta.get("lost", ())]},
    )
    check_sums(made.pt, jets[:, 0])
    return made


def jetnet_slots(jets: Jets) -> int:
    """Slots for constituents: 30 if all jets fit, else 150."""
    return _SLOTS[0] if jets.multiplicity.max(initial=0) <= _SLOTS[0] else _SLOTS[1]


def jetnet_arrays(jets: Jets, slots: int) -> dict[str, npt.NDArray[np.number]]:
    """The arrays of JetNet: ``particle_features`` (etarel, phirel, ptrel, mask) and ``jet_features``.

    ``jet_features`` are pT, eta and mass of the whole jet, and the number of constituents that are stored.
    """
    pt = np.repeat(jets.pt, jets.multiplicity)
    columns = [jets.flat("deta"), jets.flat("dphi"), jets.flat("pt") / pt, np.ones(len(pt))]
    stored = np.minimum(jets.multiplicity, slots)
    made: dict[str, npt.NDArray[np.number]] = {
        _PARTICLES: padded(jets.offsets, columns, slots),
        _JETS: np.stack([jets.pt, jets.eta, jets.mass, stored], axis=1).astype(np.float32),
        "jet_phi": jets.phi.astype(np.float32),
    }
    return made if jets.label is None else made | {"label": jets.label}


def jetnet_losses(jets: Jets, slots: int) -> Sequence[str]:
    """What such a file does not keep of these jets."""
    lost = ["masses of constituents"] if jets.flat("mass").any() else []
    lost += [name for name in jets.fields if name not in ("pt", "eta", "phi", "mass")]
    cut = int((jets.multiplicity > slots).sum())
    notes = [f"the file keeps no {', '.join(lost)}"] if lost else []
    return notes + ([f"{cut} jets were cut to their {slots} hardest constituents"] if cut else [])
