"""Pythia 8 behind two calls: start a generator, and take a batch of events as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError, MissingExtraError

__all__ = ["Events", "generate_events", "pythia_version", "require_pythia", "start_pythia"]

_LARGEST_SEED = 900_000_000


@dataclass(frozen=True)
class Events:
    """Full event records, flat over events.

    Parameters
    ----------
    offsets : ndarray of int, shape (n_events + 1,)
        Rows of event ``i`` are ``offsets[i]:offsets[i + 1]``.
    pid, status, mother1, daughter1, daughter2 : ndarray of int, shape (rows,)
        PDG code, Pythia status, first mother, first and last daughter; mothers and daughters are row numbers within
        their event, 0 for none.
    px, py, pz, mass : ndarray of float, shape (rows,)
        Momentum and mass in GeV.
    x, y, z : ndarray of float, shape (rows,)
        Production vertex in mm.
    """

    offsets: npt.NDArray[np.int64]
    pid: npt.NDArray[np.int32]
    status: npt.NDArray[np.int32]
    mother1: npt.NDArray[np.int32]
    daughter1: npt.NDArray[np.int32]
    daughter2: npt.NDArray[np.int32]
    px: npt.NDArray[np.float64]
    py: npt.NDArray[np.float64]
    pz: npt.NDArray[np.float64]
    mass: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    z: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def event(self) -> npt.NDArray[np.int64]:
        """Event number of each row, shape ``(rows,)``."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def require_pythia() -> Any:
    """Import and return ``pythia8mc``.

    Raises
    ------
    MissingExtraError
        If it is not installed; the message gives the command.
    """
    try:
        import pythia8mc
    except ImportError as error:
        msg = "simulating jets needs Pythia 8, which is not installed: pip install 'pythia8mc>=8.317,<8.318'"
        raise MissingExtraError(msg) from error
    return pythia8mc


def pythia_version() -> str:
    """Version of the installed Pythia package, such as ``8.317.2``."""
    require_pythia()
    return metadata.version("pythia8mc")


def start_pythia(settings: Sequence[str], *, seed: int, hook: Any = None) -> Any:
    """Start a silent Pythia with these settings.

    Parameters
    ----------
    settings : sequence of str
        Pythia settings, one ``name = value`` each.
    seed : int
        Seed of its random numbers; reduced to the range Pythia takes.
    hook : UserHooks, optional
        What takes part in the generation, such as `jetlab.data.simulate.veto.early_veto`. The caller holds it.

    Raises
    ------
    JetLabError
        If Pythia does not know a setting or the settings contradict each other.
    """
    pythia = require_pythia().Pythia("", False)
    seeding = ("Random:setSeed = on", f"Random:seed = {1 + seed % (_LARGEST_SEED - 1)}")
    for setting in ("Print:quiet = on", *settings, *seeding):
        if not pythia.readString(setting):
            msg = f"Pythia {pythia_version()} does not know the setting {setting!r}"
            raise JetLabError(msg)
    if hook is not None:
        pythia.setUserHooksPtr(hook)
    if not pythia.init():
        msg = f"Pythia {pythia_version()} could not start with the settings {'; '.join(settings)}"
        raise JetLabError(msg)
    return pythia


def generate_events(pythia: Any, n: int) -> Events:
    """Generate up to `n` events; those that end early are left out.

    Parameters
    ----------
    pythia
        A generator from `start_pythia`.
    n : int
        Number of events to try.
    """
    events = pythia.nextBatch(n, errorMode="skip")
    if not len(events):  # then they have no columns either
        return _no_events()
    rows = events.prt
    counts = ak.to_numpy(ak.num(rows, axis=1))
    flat = ak.flatten(rows, axis=1)
    vertex = ak.fill_none(flat.vProd, ak.Record({"px": 0.0, "py": 0.0, "pz": 0.0, "e": 0.0}))
    return Events(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        pid=ak.to_numpy(flat["id"]),
        status=ak.to_numpy(flat["status"]),
        mother1=ak.to_numpy(flat["mother1"]),
        daughter1=ak.to_numpy(flat["daughter1"]),
        daughter2=ak.to_numpy(flat["daughter2"]),
        px=ak.to_numpy(flat["p", "px"]),
        py=ak.to_numpy(flat["p", "py"]),
        pz=ak.to_numpy(flat["p", "pz"]),
        mass=ak.to_numpy(flat["m"]),
        x=ak.to_numpy(vertex["px"]),
        y=ak.to_numpy(vertex["py"]),
        z=ak.to_numpy(vertex["pz"]),
    )


def _no_events() -> Events:
    whole, real = np.zeros(0, dtype=np.int32), np.zeros(0)
    return Events(
        offsets=np.zeros(1, dtype=np.int64),
        pid=whole, status=whole, mother1=whole, daughter1=whole, daughter2=whole,
        px=real, py=real, pz=real, mass=real, x=real, y=real, z=real,
    )  # fmt: skip
