"""The files of OmniLearn (arXiv:2404.16091) and of OmniLearned (arXiv:2510.24066): padded inputs of their networks.

OmniLearn: ``data`` (n, P, 7 or 13) with deta, dphi, log(1 - pT/jet pT), log pT, log(1 - E/jet E), log E, dR and, with
13 columns, charge and five flags; ``jet`` (n, 4 or more) with pT, eta, mass or phi, multiplicity. OmniLearned: ``data``
(n, P, 4 or more) with deta, dphi, log pT, log E, no ``jet``. Labels are ``pid`` in both.

OmniLearned takes log pT = 0 for padding, so a particle of exactly 1 GeV would vanish; JetLab writes it as the next
larger number in single precision (1.0000001 GeV). In its files a column with the codes of `PARTICLE_CODES` follows if
the jets have particle types (``--use-pid`` of OmniLearned), and four with tanh d0, d0err, tanh dz, dzerr [mm] if they
have impact parameters (``--use-add``). ``global`` is log pT, eta, log(1 + mass) and a hundredth of the multiplicity
(``--conditional --num-cond 4``), and ``jet_eta``, ``jet_phi`` beside it tell where the jets were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.columns import numbered_classes
from jetlab.data.formats.momenta import mass_from_energy
from jetlab.data.formats.padded import padded, unpadded
from jetlab.data.formats.table import Table
from jetlab.jets import Jets, wrap_phi
from jetlab.jets.checks import whole_numbers

__all__ = [
    "PARTICLE_CODES",
    "count",
    "matches_omnilearn",
    "matches_omnilearned",
    "omnilearned_arrays",
    "omnilearned_losses",
    "omnilearned_slots",
    "read_omnilearn",
    "read_omnilearned",
]

PARTICLE_CODES = ("none", "h+", "h-", "h0", "photon", "e+", "e-", "mu+", "mu-")
"""Particle codes 0 to 8 in files that JetLab writes. OmniLearned embeds code 0 as nothing: it is what is unknown."""

_CODE_OF_TYPE = np.array([1, 3, 4, 5, 7, 0])
_TYPE_OF_CODE = np.array([-1, 0, 0, 1, 2, 3, 3, 4, 4], dtype=np.int8)
_CHARGE_OF_CODE = np.array([0, 1, -1, 0, 0, 1, -1, 1, -1], dtype=np.int8)
_CHARGED = (1, 5, 7)
_IMPACT = ("d0", "d0err", "dz", "dzerr")
_LEAST_LOG = np.float32(2.0**-23)
_LOG_ROUNDING = 3e-6
"""Relative error of a squared mass that comes from logarithms in single precision."""


_WITH_TYPES = 13


def matches_omnilearn(table: Table) -> bool:
    """Whether these are the arrays of OmniLearn."""
    data, jet = table.shapes.get("data", ()), table.shapes.get("jet", ())
    return len(data) == 3 and data[2] in (7, _WITH_TYPES) and len(jet) == 2 and (jet[1] or 0) >= 4


def matches_omnilearned(table: Table) -> bool:
    """Whether these are the arrays of OmniLearned."""
    data = table.shapes.get("data", ())
    return len(data) == 3 and (data[2] or 0) >= 4 and "pid" in table.shapes and "jet" not in table.shapes


def count(table: Table) -> int:
    """Number of jets."""
    return int(table.shapes["data"][0] or 0)


def read_omnilearn(table: Table) -> Jets:
    """Read jets of an OmniLearn file, at phi = 0."""
    held = table.fetch(["data", "jet", *(["pid"] if table.flat("pid") else [])])
    data, jet = np.asarray(held["data"]), np.asarray(held["jet"], dtype=np.float64)
    offsets, rows = unpadded(data, data[..., 3] != 0)
    pt, eta = np.exp(rows[:, 3]), rows[:, 0] + np.repeat(jet[:, 1], np.diff(offsets))
    mass = mass_from_energy(np.exp(rows[:, 5]), pt, pt * np.sinh(eta), offsets)
    columns: dict[str, npt.NDArray[Any]] = {"pt": pt, "eta": eta, "phi": wrap_phi(rows[:, 1]), "mass": mass}
    if data.shape[2] == _WITH_TYPES:
        flags = rows[:, 8:13] > 0.5
        columns["charge"] = np.rint(rows[:, 7])
        columns["ptype"] = np.where(flags.any(axis=1), flags.argmax(axis=1), -1).astype(np.int8)
    label, classes = _labels(held.get("pid"), table)
    notes = ["jets are put at phi = 0"]
    return Jets.from_flat(
        offsets, columns, label=label, classes=classes, info={"jet_pt": jet[:, 0]}, meta={"notes": notes}
    )


def read_omnilearned(table: Table) -> Jets:
    """Read jets of an OmniLearned file: massless and at eta = phi = 0, for want of jet axes, unless JetLab wrote it."""
    if table.meta.get("layout") == "omnilearned":
        return _read_own(table)
    held = table.fetch(["data", "pid"])
    data = np.asarray(held["data"])
    offsets, rows = unpadded(data, data[..., 2] != 0)
    deta, dphi, log_pt = rows[:, :3].T
    columns = {"pt": np.exp(log_pt), "eta": deta, "phi": wrap_phi(dphi), "mass": np.zeros(len(rows))}
    label, classes = _labels(held["pid"], table)
    notes = ["jets are put at eta = phi = 0", "the file has no jet eta, so energies say nothing: taken as massless"]
    return Jets.from_flat(offsets, columns, label=label, classes=classes, meta={"notes": notes})


def _read_own(table: Table) -> Jets:
    """Read what `omnilearned_arrays` made."""
    meta = table.meta
    beside = [name for name in meta.get("info", ()) if table.flat(name)]
    held = {k: np.asarray(v) for k, v in table.fetch(["data", "pid", "jet_eta", "jet_phi", *beside]).items()}
    data = held["data"]
    offsets, rows = unpadded(data, data[..., 2] != 0)
    counts = np.diff(offsets)
    pt, energy = np.exp(rows[:, 2]), np.exp(rows[:, 3])
    eta = rows[:, 0] + np.repeat(held["jet_eta"], counts)
    momentum = pt * np.cosh(eta)
    squared = (energy - momentum) * (energy + momentum)
    columns: dict[str, npt.NDArray[Any]] = {
        "pt": pt,
        "eta": eta,
        "phi": wrap_phi(rows[:, 1] + np.repeat(held["jet_phi"], counts)),
        "mass": np.sqrt(np.where(squared > _LOG_ROUNDING * energy**2, squared, 0.0)),
    }
    known = tuple(meta.get("fields", ()))
    if "ptype" in known:
        code = np.clip(whole_numbers(np.rint(rows[:, 4]), "a particle code", np.int64), 0, len(PARTICLE_CODES) - 1)
        columns |= {"ptype": _TYPE_OF_CODE[code]} | ({"charge": _CHARGE_OF_CODE[code]} if "charge" in known else {})
    if set(_IMPACT) <= set(known):
        for name, column in zip(_IMPACT, rows[:, -len(_IMPACT) :].T, strict=True):
            columns[name] = _far(column) if name in ("d0", "dz") else column
    return Jets.from_flat(
        offsets,
        columns,
        label=held["pid"] if meta.get("labelled") else None,
        classes=tuple(meta.get("classes", ())),
        info={name: held[name] for name in beside},
        meta=dict(meta.get("meta", {})) | {"notes": list(meta.get("lost", ()))},
    )


def _far(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Lengths [mm] from their hyperbolic tangents, which single precision cuts off."""
    edge = 1.0 - 2.0**-24
    return np.arctanh(np.clip(share, -edge, edge))


def omnilearned_slots(jets: Jets) -> int:
    """Slots for constituents: as many as the largest jet has."""
    return max(1, int(jets.multiplicity.max(initial=0)))


def omnilearned_arrays(jets: Jets, slots: int) -> dict[str, npt.NDArray[np.number]]:
    """The arrays of OmniLearned: ``data``, ``pid``, ``global``, and the jet axes. Jets without labels get ``pid`` 0."""
    log_pt = np.log(jets.flat("pt"))
    log_pt = np.where(log_pt == 0, _LEAST_LOG, log_pt)
    columns = [jets.flat("deta"), jets.flat("dphi"), log_pt, np.log(jets.flat("energy"))]
    columns += [_codes(jets)] if "ptype" in jets.fields else []
    if all(name in jets.fields for name in _IMPACT):
        columns += [np.tanh(jets.flat(name)) if name in ("d0", "dz") else jets.flat(name) for name in _IMPACT]
    whole = np.log(np.maximum(jets.pt, 1e-6)), jets.eta, np.log1p(jets.mass), _hundredths(jets.multiplicity)
    return {
        "data": padded(jets.offsets, columns, slots),
        "pid": np.zeros(len(jets), np.int64) if jets.label is None else jets.label,
        "global": np.stack(whole, axis=1).astype(np.float32),
        "jet_eta": jets.eta.astype(np.float32),
        "jet_phi": jets.phi.astype(np.float32),
    }


def omnilearned_losses(jets: Jets, slots: int) -> Sequence[str]:  # noqa: ARG001 there are always enough slots
    """What such a file does not keep of these jets."""
    notes = ["masses of constituents below 0.2 % of their energies became 0"] if jets.flat("mass").any() else []
    if "charge" in jets.fields and "ptype" not in jets.fields:
        notes.append("the file keeps no charge without particle types")
    if any(name in jets.fields for name in _IMPACT):
        whole = all(name in jets.fields for name in _IMPACT)
        notes.append(
            "impact parameters beyond 8 mm were cut" if whole else "the file keeps no single impact parameters"
        )
    return notes


def _codes(jets: Jets) -> npt.NDArray[np.int64]:
    """Codes into `PARTICLE_CODES`; charged particles without a charge count as positive."""
    code = _CODE_OF_TYPE[jets.flat("ptype")]
    return code + np.isin(code, _CHARGED) * (jets.flat("charge") < 0) if "charge" in jets.fields else code


def _hundredths(multiplicity: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Multiplicity / 100, rounded up: OmniLearned multiplies by 100 and drops the fraction."""
    return np.nextafter((multiplicity / 100).astype(np.float32), np.float32(np.inf))


def _labels(pid: Any, table: Table) -> tuple[npt.NDArray[Any] | None, tuple[str, ...]]:
    if pid is None:
        return None, ()
    label = np.asarray(pid).reshape(-1)
    return label, tuple(table.meta.get("classes", ())) or numbered_classes(label)
