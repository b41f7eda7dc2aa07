"""Neutrino events as sets of tokens, in plain columns of any container.

One row an event; the columns of tokens are jagged, padded to ``(n, P)`` or flat beside ``offsets``:

================================  ==================================================================================
``token_pt``, ``token_energy``    transverse momentum and energy [GeV], or [MeV] as ``token_pt_mev``, ...
``token_eta``, ``token_phi``      direction; energy below the momentum of a token counts as massless
``token_class``                   code into `jetlab.vocabulary.TOKEN_TYPES`, from 0, -1 for unknown
``token_dedx``                    mean energy loss, in the unit of the source
``token_x``, ``_y``, ``_z``       position [mm]
``token_time``                    time [ns]
``event_class``                   code into `jetlab.vocabulary.INTERACTIONS`: becomes the label
any other                         one number an event, such as ``available_energy``: kept in ``info``; names that end
                                  in ``_mev`` become GeV and lose this ending
================================  ==================================================================================

Only momenta and ``token_class`` must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.columns import flat_constituents
from jetlab.data.formats.padded import occupied
from jetlab.data.formats.table import Jagged, Table
from jetlab.data.formats.units import check_energies
from jetlab.jets import Jets, wrap_phi
from jetlab.jets.domains import NEUTRINO
from jetlab.vocabulary import INTERACTIONS

__all__ = ["count", "events_of", "matches", "read"]

_PREFIX, _MEV = "token_", "_mev"
_GEV = 1e-3
_MOMENTUM = ("pt", "eta", "phi", "energy")
_MEANING = {"class": "ptype", "x": "pos_x", "y": "pos_y", "z": "pos_z"}
_LABEL = "event_class"
_ROUNDING = 1e-5


def matches(table: Table) -> bool:
    """Whether these are the columns of neutrino events."""
    found = _token_columns(table)
    return all(name in found for name in (*_MOMENTUM, "ptype"))


def count(table: Table) -> int:
    """Number of events."""
    if "offsets" in table.shapes:
        return int(table.shapes["offsets"][0] or 1) - 1
    return int(table.shapes[_token_columns(table)["ptype"]][0] or 0)


def read(table: Table) -> Jets:
    """Read neutrino events as `Jets` of the domain ``"neutrino"``.

    Raises
    ------
    InvalidJetsError
        If columns contradict each other or a value is not physical.
    """
    names, n = _token_columns(table), count(table)
    flat_beside = "offsets" in table.shapes
    of_events = [
        name
        for name, shape in table.shapes.items()
        if shape == (n,) and name not in names.values() and name != "offsets"
    ]
    held = table.fetch([*names.values(), *of_events, *(["offsets"] * flat_beside)])
    columns = {meaning: held[name] for meaning, name in names.items()}
    if not flat_beside and not isinstance(columns["energy"], Jagged):
        columns["mask"] = occupied(np.asarray(columns["energy"]), "energy")
    offsets, flat = flat_constituents(columns, held)
    converted = [name for name in (*names.values(), *of_events) if name.lower().endswith(_MEV)]
    for meaning, name in names.items():
        if name in converted:
            flat[meaning] = _GEV * flat[meaning].astype(np.float64)
    info = {name: np.asarray(held[name]) for name in of_events if name != _LABEL}
    info = {_bare(name): _GEV * v if name in converted else v for name, v in info.items()}
    label = held.get(_LABEL)
    notes = [f"MeV became GeV: {', '.join(converted)}"] if converted else []
    return events_of(offsets, flat, label=label, info=info, notes=notes)


def events_of(
    offsets: npt.NDArray[np.int64],
    flat: Mapping[str, npt.NDArray[Any]],
    *,
    label: Any = None,
    info: Mapping[str, npt.NDArray[Any]],
    notes: list[str],
) -> Jets:
    """Build neutrino events from flat columns in GeV, mm and ns, with ``energy`` in place of ``mass``."""
    pt, eta, energy = (flat[name].astype(np.float64) for name in ("pt", "eta", "energy"))
    momentum = pt * np.cosh(eta)
    check_energies(energy, momentum)
    short = energy < (1 - _ROUNDING) * momentum
    if short.any():
        notes = [*notes, f"{int(short.sum())} tokens have less energy than momentum: taken as massless"]
    squared = (energy - momentum) * (energy + momentum)
    mass = np.sqrt(np.where(squared > _ROUNDING * energy**2, squared, 0.0))
    known = ("charge", "ptype", *NEUTRINO.fields)
    columns = {"pt": pt, "eta": eta, "phi": wrap_phi(flat["phi"]), "mass": mass}
    columns |= {name: flat[name] for name in known if name in flat}
    return Jets.from_flat(
        offsets,
        columns,
        label=None if label is None else np.asarray(label),
        classes=INTERACTIONS,
        info=info,
        meta={"notes": notes} if notes else {},
        domain=NEUTRINO.name,
    )


def _token_columns(table: Table) -> dict[str, str]:
    """Names of the columns of tokens by meaning."""
    axes = 1 if "offsets" in table.shapes else 2
    found: dict[str, str] = {}
    for name, shape in table.shapes.items():
        if name.lower().startswith(_PREFIX) and len(shape) == axes:
            bare = _bare(name.lower().removeprefix(_PREFIX))
            found.setdefault(_MEANING.get(bare, bare), name)
    known = (*_MOMENTUM, "ptype", "charge", *NEUTRINO.fields)
    return {meaning: name for meaning, name in found.items() if meaning in known}


def _bare(name: str) -> str:
    return name[: -len(_MEV)] if name.lower().endswith(_MEV) else name
