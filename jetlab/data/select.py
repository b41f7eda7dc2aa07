"""Which jets are wanted: by class, by the purpose they are marked for, and by conditions on what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets
from jetlab.observables import JET_OBSERVABLES, compute

__all__ = ["SPLITS", "TURNS", "Selection", "Where", "check_mask", "inside", "of_classes", "of_split", "where_mask"]

SPLITS = ("train", "valid", "test")
"""Names of the values 0, 1, 2 of the per-jet column ``split``."""

TURNS = (0, 0, 0, 1, 2)
"""Marks that rows of a set without a published split take in turn: each row has one, so no two parts overlap."""

Where = Mapping[str, tuple[float | None, float | None]] | Callable[[Jets], npt.ArrayLike]
"""Conditions: ranges by the name of an observable or per-jet column, or a function of jets that gives a mask."""

_OF_JETS = ("pt", "eta", "phi", "mass", "energy", "multiplicity")


@dataclass(frozen=True)
class Selection:
    """Which jets are wanted; None where anything is."""

    classes: tuple[str, ...] | None = None
    split: str | None = None
    where: Where | None = None

    @staticmethod
    def made(classes: str | Sequence[str] | None, split: str | None, where: Where | None) -> Selection:
        """Selection from the arguments of `jetlab.load_jets`."""
        names = (classes,) if isinstance(classes, str) else None if classes is None else tuple(classes)
        return Selection(names, split, where)

    def of(self, jets: Jets) -> Jets:
        """The jets that are wanted. A class need not occur among them, as they may be a part of a file."""
        if self.split is not None:
            jets = of_split(jets, self.split)
        if self.classes is not None:
            jets = of_classes(jets, self.classes, all_present=False)
        return jets if self.where is None else jets[where_mask(jets, self.where)]


def of_split(jets: Jets, split: str) -> Jets:
    """Jets marked ``train``, ``valid`` or ``test`` in the column ``split``.

    Raises
    ------
    InvalidJetsError
        If there is no such mark, or no such column.
    """
    if split not in SPLITS:
        msg = f"unknown split {split!r}; expected one of {', '.join(SPLITS)}"
        raise InvalidJetsError(msg)
    if "split" not in jets.info:
        msg = f"these jets have no column 'split', so none are marked {split!r}; leave split out, or select by slicing"
        raise InvalidJetsError(msg)
    return jets[jets.info["split"] == SPLITS.index(split)]


def of_classes(jets: Jets, names: Sequence[str], *, all_present: bool = True) -> Jets:
    """Jets of some classes.

    Parameters
    ----------
    jets : Jets
    names : sequence of str
    all_present : bool
        Whether each class must occur among these jets, not only be known.

    Raises
    ------
    InvalidJetsError
        If a class does not occur, or the jets have no labels.
    """
    present = jets.class_counts()
    known = present if all_present else jets.classes
    if jets.label is None or not names or not set(names) <= set(known):
        counts = ", ".join(f"{name} {count}" for name, count in present.items())
        msg = f"cannot select the classes {', '.join(names) or '(none)'}: there are {counts or 'no labels'}"
        raise InvalidJetsError(msg)
    return jets[np.isin(np.asarray(jets.label), [jets.classes.index(name) for name in names])]


def where_mask(jets: Jets, where: Where) -> npt.NDArray[np.bool_]:
    """Which jets fulfil all conditions, shape ``(n,)``.

    Parameters
    ----------
    jets : Jets
    where : mapping or callable
        Ranges ``{"pt": (500, 1000), "tau21": (None, 0.4)}`` (lower bound included, upper one not), or a function that
        takes `Jets` and gives a mask.

    Raises
    ------
    InvalidJetsError
        If a name is unknown, a range is not a pair, or the function gives no mask.
    """
    if callable(where):
        return check_mask(where(jets), len(jets), unit="jet")
    mask = np.ones(len(jets), dtype=bool)
    for name, bounds in where.items():
        mask &= inside(_values(jets, name), name, bounds)
    return mask


def check_mask(given: npt.ArrayLike, n: int, *, unit: str) -> npt.NDArray[np.bool_]:
    """What a condition gave, refused unless it is True or False for each of `n` jets, or of what `unit` names."""
    mask = np.asarray(given)
    if mask.shape != (n,) or mask.dtype != np.bool_:
        msg = f"where gave {mask.dtype} of shape {mask.shape}, expected True or False for each of {n} {unit}s"
        raise InvalidJetsError(msg)
    return mask


def inside(values: npt.NDArray[Any], name: str, bounds: Any) -> npt.NDArray[np.bool_]:
    """Which values lie in a range ``(low, high)``, None for no bound; the lower one belongs to it, the upper not."""
    low, high = _bounds(name, bounds)
    mask = np.ones(len(values), dtype=bool)
    if low is not None:
        mask &= values >= low
    if high is not None:
        mask &= values < high
    return mask


def _bounds(name: str, bounds: Any) -> tuple[float | None, float | None]:
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        msg = f"where[{name!r}] is {bounds!r}, expected a pair (lowest, highest) with None for no bound"
        raise InvalidJetsError(msg)
    return bounds[0], bounds[1]


def _values(jets: Jets, name: str) -> npt.NDArray[Any]:
    if name in _OF_JETS:
        return np.asarray(getattr(jets, name))
    if name in jets.info:
        return jets.info[name]
    if name in JET_OBSERVABLES:
        return np.asarray(compute(jets, [name], progress=False)[name])
    known = dict.fromkeys((*_OF_JETS, *JET_OBSERVABLES, *jets.info))
    msg = f"cannot select by {name!r}; there are {', '.join(known)}"
    raise InvalidJetsError(msg)
