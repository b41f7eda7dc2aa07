"""`load_jets`: jets from any source, and any part of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.data.formats import Choice, jets_of, open_jets
from jetlab.data.select import Selection, Where, of_classes
from jetlab.data.sources import files_of
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Jets, concatenate

__all__ = ["load_jets"]

_AT_ONCE = 100_000
"""Jets of a file that are read at once before those that are not wanted are let go."""


def load_jets(
    source: Any,
    *,
    n: int | None = None,
    classes: str | Sequence[str] | None = None,
    split: str | None = None,
    where: Where | None = None,
    collection: str | None = None,
    puppi: bool = False,
    seed: int = 0,
) -> Jets:
    """Load jets from a data set, from files, or from arrays.

    Parameters
    ----------
    source : str, Path, sequence of these, mapping, awkward.Array or Jets
        Name of a data set (see `jetlab.data.datasets`), path of a file, folder of files, pattern with ``*``, several of
        these, or arrays in memory by the names of their columns.
    n : int, optional
        Total number of jets, drawn at random and shared equally among the classes (the first ones take the rest; the
        others make up for a class with fewer jets than that, and a note says so); by default all.
    classes : str or sequence of str, optional
        Only jets of these classes.
    split : {"train", "valid", "test"}, optional
        Only jets marked for this purpose in the column ``split``.
    where : mapping or callable, optional
        Only jets that fulfil these conditions: ranges by observable or per-jet column, such as
        ``{"pt": (500, 600), "tau21": (None, 0.4)}``, or a function that takes `Jets` and gives a mask.
    collection : str, optional
        Which jets of a file with several collections, such as ``"JetPUPPIAK15"`` of Delphes or ``"Jet"`` of PFNano; by
        default the large-radius ones. A note says which were taken.
    puppi : bool
        Scale constituents by their PUPPI weights against pile-up, where the file has such weights (Aspen, PFNano).
    seed : int
        Seed of the draw. Chosen jets stay in the order of the source.

    Returns
    -------
    Jets

    Raises
    ------
    FileError
        If a file is missing, damaged, of no known layout, or without the collection or weights asked for.
    InvalidJetsError, UnitsError
        If numbers are not those of jets in GeV, or there are too few jets.

    Examples
    --------
    >>> jets = load_jets("sample", n=1000, classes=["QCD", "Tbqq"], split="test")
    """
    selection = Selection.made(classes, split, where)
    jets = _all_jets(source, selection, Choice(collection, puppi))
    if selection.classes is not None:
        jets = of_classes(jets, selection.classes)  # every one must occur
    return jets if n is None else _drawn(jets, n, seed=seed)


# ---- sources ---------------------------------------------------------------------------------------------------------


def _all_jets(source: Any, selection: Selection, choice: Choice) -> Jets:
    """The wanted jets of a source; of files that are much larger, only the wanted jets are held."""
    if isinstance(source, Jets):
        if choice.asked():
            msg = f"{' and '.join(choice.asked())} cannot be chosen for jets in memory; give the file"
            raise FileError(msg)
        return selection.of(source)
    if isinstance(source, (Mapping, ak.Array)):
        return selection.of(jets_of(source, choice=choice))
    files = files_of(source)
    parts = [part for path in files for part in _pieces(path, selection, choice)]
    if len(parts) == 1:
        return parts[0]
    joined = concatenate(parts)
    meta = {key: value for key, value in joined.meta.items() if all(p.meta.get(key) == value for p in parts)}
    meta["notes"] = list(dict.fromkeys(note for p in parts for note in p.meta["notes"]))
    if len(files) > 1:
        where = files[0].parent.name or files[0].parent
        meta = {"source": f"{len(files)} files in {where}"} | meta | {"files": [path.name for path in files]}
    joined.meta = meta
    return joined


def _pieces(path: Path, selection: Selection, choice: Choice) -> list[Jets]:
    with open_jets(path, choice=choice) as file:
        if len(file) <= _AT_ONCE:
            return [selection.of(file.read())]
        return [selection.of(file.read(k, min(k + _AT_ONCE, len(file)))) for k in range(0, len(file), _AT_ONCE)]


# ---- parts -----------------------------------------------------------------------------------------------------------


def _drawn(jets: Jets, n: int, *, seed: int) -> Jets:
    """Draw n jets without repetition, as equally as possible from the classes that occur."""
    if not 1 <= n <= len(jets):
        counts = ", ".join(f"{name} {count}" for name, count in jets.class_counts().items())
        msg = f"{n} jets asked for, expected 1 to {len(jets)}: that is how many there are{counts and f' ({counts})'}"
        raise InvalidJetsError(msg)
    generator = np.random.default_rng(seed)
    label = np.zeros(len(jets), dtype=np.int64) if jets.label is None else jets.label
    present, sizes = np.unique(label, return_counts=True)
    shares = _shares(sizes, n)
    drawn = [
        generator.choice(np.flatnonzero(label == value), share, replace=False)
        for value, share in zip(present, shares, strict=True)
    ]
    chosen = jets[np.sort(np.concatenate(drawn))]
    if shares.max() - shares.min() <= 1:
        return chosen
    few = ", ".join(
        f"{jets.classes[value]} {size}" for value, size in zip(present, sizes, strict=True) if size < n / len(sizes)
    )
    return chosen.with_meta(
        notes=[*jets.meta.get("notes", []), f"fewer jets than an equal share of some classes: {few}"]
    )


def _shares(sizes: npt.NDArray[np.integer], n: int) -> npt.NDArray[np.int64]:
    """How many of n jets each class gives: equal shares, unless a class has fewer; the first classes take the rest."""
    shares = np.zeros(len(sizes), dtype=np.int64)
    while (left := n - int(shares.sum())) > 0:
        more = np.flatnonzero(shares < sizes)
        even = left // len(more) + (np.arange(len(more)) < left % len(more))
        shares[more] += np.minimum(even, sizes[more] - shares[more])
    return shares
