"""The processed MINERvA set (arXiv:2604.12364), as plain arrays.

It is published as PyTorch files, which hold Python objects and are not opened here. Convert them once, where they are
trusted::

    held = torch.load("0.pb", weights_only=False)
    tokens = held["data"]
    numpy.savez("minerva.npz", data=tokens.values(), offsets=tokens.offsets(),
                global_features=held["global_features"], truth_labels=held["truth_labels"])

``data`` has, for each token, eta, phi, log(pT + 1e-6), log(E + 1e-6) in MeV, class, log(abs(dE/dx) + 0.1), and x, y, z
[mm] and time [ns] divided by 10,000. Muons have no position and no dE/dx, photons no position, blobs no dE/dx.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.neutrino import events_of
from jetlab.data.formats.table import Table
from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets

__all__ = ["GLOBALS", "TRUTHS", "count", "matches", "read"]

GLOBALS = (
    "log_muon_fuzz_energy",
    "log_muon_blob_energy",
    "log_recoil_energy",
    "log_passive_recoil_id",
    "log_passive_recoil_od",
    "log_passive_recoil",
    "n_michel",
    "has_muon",
    "diphoton_mass",
    "n_pion_prongs",
    "log_blob_energy",
    "log_pion_prong_energy",
    "log_shower_prong_energy",
    "log_muon_prong_energy",
    "log_summed_blob_energy",
    "log_summed_prong_energy",
)
"""Names of the global features in ``info``; logarithms are kept as published, of MeV."""

TRUTHS = (
    "true_neutrino_energy",
    "interaction_type",
    "true_neutrino_over_muon_energy",
    "current",
    "single_pion",
    "n_pi_plus",
    "n_pi_minus",
    "multi_pion",
    "true_available_energy_with_muon",
    "true_available_energy",
    "n_pi_zero",
    "true_pion_px",
    "true_pion_py",
    "true_pion_pz",
    "true_pion_energy",
)
"""Names of the true values in ``info``; ``interaction_type`` is GENIE's (1 QE, 2 RES, 3 DIS, 4 COH, 8 MEC), ``current``
1 charged and 2 neutral."""

_IN_MEV = ("diphoton_mass", "true_neutrino_energy", *(name for name in TRUTHS if name.startswith(("true_a", "true_p"))))
_GEV = 1e-3
_SMALL, _SMALL_LOSS = 1e-6, 0.1
_LENGTH = 1e4
_TOKEN = 10


def matches(table: Table) -> bool:
    """Whether these are the arrays of the processed MINERvA set."""
    tokens, events, truth = (table.shapes.get(name, ()) for name in ("data", "global_features", "truth_labels"))
    widths = (tokens[1:], events[1:], truth[1:]) == ((_TOKEN,), (len(GLOBALS),), (len(TRUTHS),))
    return widths and table.flat("offsets")


def count(table: Table) -> int:
    """Number of events."""
    return int(table.shapes["truth_labels"][0] or 0)


def read(table: Table) -> Jets:
    """Read neutrino events as `Jets` of the domain ``"neutrino"``, without labels: ``info`` has what defines them."""
    held = table.fetch(["data", "offsets", "global_features", "truth_labels"])
    data, of_event, truth = (np.asarray(held[name]) for name in ("data", "global_features", "truth_labels"))
    _check_tokens(data)
    eta, phi, log_pt, log_energy, kind, log_loss, x, y, z, time = data.astype(np.float64).T
    flat: dict[str, npt.NDArray[np.number]] = {
        "pt": _GEV * np.maximum(np.exp(log_pt) - _SMALL, 0.0),
        "eta": eta,
        "phi": phi,
        "energy": _GEV * np.maximum(np.exp(log_energy) - _SMALL, 0.0),
        "ptype": kind,
        "dedx": np.maximum(np.exp(log_loss) - _SMALL_LOSS, 0.0),
    }
    flat |= {name: _LENGTH * v for name, v in (("pos_x", x), ("pos_y", y), ("pos_z", z), ("time", time))}
    info = dict(zip((*GLOBALS, *TRUTHS), np.concatenate([of_event, truth], axis=1).T, strict=True))
    info |= {name: _GEV * info[name] for name in _IN_MEV}
    return events_of(np.asarray(held["offsets"]).astype(np.int64), flat, info=info, notes=[])


def _check_tokens(data: npt.NDArray[np.number]) -> None:
    """Refuse what is not finite: a momentum whose logarithm is -inf would pass for 0."""
    bad = ~np.isfinite(data)
    if bad.any():
        token, column = (int(k[0]) for k in np.nonzero(bad))
        msg = f"token {token} of all has {data[token, column]} in column {column} of data, expected a finite number"
        raise InvalidJetsError(msg)
