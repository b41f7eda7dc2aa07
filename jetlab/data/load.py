"""`load_jets`: jets from any source, and any part of them."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.data.catalog import DATASETS
from jetlab.data.formats import jets_of, read_jets, signature_of
from jetlab.errors import FileError, InvalidJetsError
from jetlab.jets import Jets, concatenate

__all__ = ["SPLITS", "load_jets"]

SPLITS = ("train", "valid", "test")
"""Names of the values 0, 1, 2 of the per-jet column ``split``."""


def load_jets(
    source: Any,
    *,
    n: int | None = None,
    classes: str | Sequence[str] | None = None,
    split: str | None = None,
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
    seed : int
        Seed of the draw. Chosen jets stay in the order of the source.

    Returns
    -------
    Jets

    Raises
    ------
    FileError
        If a file is missing, damaged or of no known layout.
    InvalidJetsError, UnitsError
        If numbers are not those of jets in GeV, or there are too few jets.

    Examples
    --------
    >>> jets = load_jets("sample", n=1000, classes=["QCD", "Tbqq"], split="test")
    """
    jets = _all_jets(source)
    if split is not None:
        jets = _of_split(jets, split)
    if classes is not None:
        jets = _of_classes(jets, [classes] if isinstance(classes, str) else list(classes))
    return jets if n is None else _drawn(jets, n, seed=seed)


# ---- sources ---------------------------------------------------------------------------------------------------------


def _all_jets(source: Any) -> Jets:
    if isinstance(source, Jets):
        return source
    if isinstance(source, (Mapping, ak.Array)):
        return jets_of(source)
    if isinstance(source, str) and source in DATASETS:
        with DATASETS[source].file() as path:
            return read_jets(path)
    several = list(source) if isinstance(source, (list, tuple)) else [source]
    files = [path for one in several for path in _files(one)]
    if len(files) == 1:
        return read_jets(files[0])
    if not files:
        msg = "no files to load: the list is empty"
        raise FileError(msg)
    parts = [read_jets(path) for path in files]
    joined = concatenate(parts)
    source_name = f"{len(files)} files in {files[0].parent.name or files[0].parent}"
    meta = {key: value for key, value in joined.meta.items() if all(p.meta.get(key) == value for p in parts)}
    notes = list(dict.fromkeys(note for p in parts for note in p.meta["notes"]))
    joined.meta = {"source": source_name} | meta | {"files": [path.name for path in files], "notes": notes}
    return joined


def _files(source: Any) -> list[Path]:
    """The files that a path, folder or pattern stands for."""
    if not isinstance(source, (str, Path)):
        msg = f"cannot load jets from {type(source).__name__}: expected a path, the name of a data set, or arrays"
        raise FileError(msg)
    path = Path(source)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        found = [p for p in inside if signature_of(p) is not None]
        if not found:
            msg = f"folder {path} holds no file of jets; found {', '.join(p.name for p in inside[:5]) or 'nothing'}"
            raise FileError(msg)
        return found
    if path.exists():
        return [path]
    found = sorted(Path(p) for p in glob.glob(str(source)) if Path(p).is_file())
    if not found:
        msg = f"there is no file {source}; expected a file, folder or pattern, or a data set: {', '.join(DATASETS)}"
        raise FileError(msg)
    return found


# ---- parts -----------------------------------------------------------------------------------------------------------


def _of_split(jets: Jets, split: str) -> Jets:
    if split not in SPLITS:
        msg = f"unknown split {split!r}; expected one of {', '.join(SPLITS)}"
        raise InvalidJetsError(msg)
    if "split" not in jets.info:
        msg = f"these jets have no column 'split', so none are marked {split!r}; leave split out, or select by slicing"
        raise InvalidJetsError(msg)
    return jets[jets.info["split"] == SPLITS.index(split)]


def _of_classes(jets: Jets, names: Sequence[str]) -> Jets:
    present = jets.class_counts()
    if not names or not set(names) <= set(present):
        counts = ", ".join(f"{name} {count}" for name, count in present.items())
        msg = f"cannot select the classes {', '.join(names) or '(none)'}: there are {counts or 'no labels'}"
        raise InvalidJetsError(msg)
    return jets[np.isin(np.asarray(jets.label), [jets.classes.index(name) for name in names])]


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
