"""References between the objects of a ROOT event: arrays of ``TRefArray``, as Delphes links jets to constituents.

Each object that is referred to carries a number, its ``fUniqueID``, that is its own within the event. ROOT puts the
number of the writing process into the upper eight bits of the one but not of the other, so only 24 bits are compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.data.formats.table import Jagged, Rows
from jetlab.errors import FileError

__all__ = ["SIZES", "holds_references", "identity", "read_references"]

SIZES = "@size"
"""What the name of the column with the numbers of references ends in; the column without it holds the references."""

_BITS = 0xFFFFFF


def holds_references(branch: Any) -> bool:
    """Whether a branch is a list of reference arrays, one a jet."""
    return getattr(branch, "typename", "") == "TRefArray[]"


def identity(unique_id: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The number by which an object is known within its event; 0 if nothing refers to it."""
    return unique_id.astype(np.int64) & _BITS


def read_references(branch: Any, rows: Rows) -> tuple[Jagged, Jagged]:
    """Numbers of references of each jet, and the references of all jets of an event one after the other.

    Parameters
    ----------
    branch : uproot.TBranch
        One for which `holds_references` is true.
    rows : tuple of int
        First event and the one after the last.

    Raises
    ------
    FileError
        If the branch does not hold what it says.
    """
    import awkward as ak

    lists = branch.array(library="ak", entry_start=rows[0], entry_stop=rows[1])
    if "refs" not in lists.fields:
        msg = f"{branch.name} holds {lists.type.content}, expected lists of references"
        raise FileError(msg)
    per_jet = ak.num(lists["refs"], axis=2)
    sizes = Jagged(_offsets(ak.num(per_jet)), ak.to_numpy(ak.flatten(per_jet)).astype(np.int64))
    references = ak.to_numpy(ak.flatten(lists["refs"], axis=None))
    return sizes, Jagged(_offsets(ak.sum(per_jet, axis=1)), identity(references))


def _offsets(counts: Any) -> npt.NDArray[np.int64]:
    import awkward as ak

    return np.concatenate([[0], np.cumsum(ak.to_numpy(counts))]).astype(np.int64)
