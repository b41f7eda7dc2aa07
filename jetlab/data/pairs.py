"""`load_pairs`: jets before and after the detector, from the Z + jet set of OmniFold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jetlab.data.formats import open_jets
from jetlab.data.select import SPLITS
from jetlab.data.sources import files_of
from jetlab.errors import InvalidJetsError
from jetlab.jets import Pairs, concatenate

__all__ = ["load_pairs"]


def load_pairs(
    source: str | Path | Sequence[str | Path], *, n: int | None = None, split: str | None = None, seed: int = 0
) -> Pairs:
    """Load jets at generator and at detector level.

    Parameters
    ----------
    source : str, Path, or sequence of these
        Files of the OmniFold Z + jet set, folders or patterns.
    n : int, optional
        Total number of pairs, drawn at random; by default all.
    split : {"train", "valid", "test"}, optional
        Only pairs with this mark in ``info["split"]``, which the rows of each file have in turn: three, one, one of
        five. Every pair has exactly one mark, so the parts do not overlap, whichever files are loaded. (The published
        code trains on the first 1.6 million pairs and tests on those from 1.2 million on.)
    seed : int
        Seed of the draw. Chosen pairs stay in the order of the files.

    Returns
    -------
    Pairs
        Four-momenta in GeV with the masses of the particle types; the jets' own columns (``jet_pt``, ``jet_y``,
        ``jet_phi``, ``jet_mass``) and observables (``mults``, ``lhas``, ``widths``, ``ang2s``, ``tau2s``, ``sdms``,
        ``zgs``) are in their ``info``, the Z boson (``z_pt``, ``z_y``, ``z_phi``) in that of the pairs.

    Raises
    ------
    FileError
        If a file is missing, damaged or holds no pairs.
    InvalidJetsError, UnitsError
        If numbers are not those of jets in GeV, or there are too few pairs.

    References
    ----------
    A. Andreassen et al., arXiv:1911.09107.

    Examples
    --------
    >>> pairs = load_pairs("Pythia21_Zjet_pTZ-200GeV_*.npz", split="train")
    >>> pairs.detected.mass - pairs.generated.mass
    """
    if split is not None and split not in SPLITS:
        msg = f"unknown split {split!r}; expected one of {', '.join(SPLITS)}"
        raise InvalidJetsError(msg)
    parts: list[Pairs] = []
    notes: list[str] = []
    files = files_of(source)
    for path in files:
        with open_jets(path) as file:
            part = file.read_pairs()
            notes += file.layout.notes
        parts.append(part if split is None else part[part.info["split"] == SPLITS.index(split)])
    pairs = concatenate(parts)
    if n is not None:
        pairs = _drawn(pairs, n, seed=seed)
    several = f"{len(files)} files in {files[0].parent.name}"
    return pairs.with_meta(
        source=files[0].name if len(files) == 1 else several,
        files=[path.name for path in files],
        layout="OmniFold",
        notes=list(dict.fromkeys(notes)),
    )


def _drawn(pairs: Pairs, n: int, *, seed: int) -> Pairs:
    if not 1 <= n <= len(pairs):
        msg = f"{n} pairs asked for, expected 1 to {len(pairs)}: that is how many there are"
        raise InvalidJetsError(msg)
    return pairs[np.sort(np.random.default_rng(seed).choice(len(pairs), n, replace=False))]
