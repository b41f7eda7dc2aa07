"""The ids of OmniJet-alpha and ours. Theirs exist in this file only.

They number start and padding 0, codes from 1 and stop last; ours leave codes as they are and give start, stop and
padding numbers of their own (`jetlab.models.tokens.Vocabulary`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

if TYPE_CHECKING:
    from jetlab.models.tokens import TokenSequences

__all__ = ["ids_of_tokens", "our_ids", "our_outputs", "our_rows", "tokens_of_ids"]


def our_ids(ids: npt.ArrayLike, codes: int) -> npt.NDArray[np.int64]:
    """Ids of padded sequences, which begin with start, in our numbers.

    Parameters
    ----------
    ids : array of int, shape (..., T)
        Their ids: 0 is start in the first place and padding in others.
    codes : int
        Size of the codebook.

    Raises
    ------
    InvalidJetsError
        If there are ids beyond their stop.
    """
    from jetlab.models.tokens import Vocabulary

    theirs, ours = np.asarray(ids, dtype=np.int64), Vocabulary(codes)
    _check_range(theirs, codes)
    found = np.where(theirs == 0, ours.padding, np.where(theirs == codes + 1, ours.stop, theirs - 1))
    found[..., 0] = np.where(theirs[..., 0] == 0, ours.start, found[..., 0])
    return found


def our_rows(codes: int) -> npt.NDArray[np.int64]:
    """Their row for each row of our table of embedded ids: start and padding share theirs."""
    return np.array([*range(1, codes + 1), codes + 1, 0, 0])


def our_outputs(codes: int) -> npt.NDArray[np.int64]:
    """Their output for each of ours: codes, stop, and padding last."""
    return np.array([*range(1, codes + 1), codes + 1, 0])


def tokens_of_ids(
    ids: npt.ArrayLike,
    offsets: npt.ArrayLike,
    codes: int,
    *,
    length: int | None = None,
    label: npt.NDArray[np.int64] | None = None,
) -> TokenSequences:
    """Token sequences from sequences in their ids, start and stop included, as in their files.

    Parameters
    ----------
    ids : array of int, shape (m,)
        Sequences one after the other.
    offsets : array of int, shape (n + 1,)
        Where each begins.
    codes : int
        Size of the codebook.
    length : int, optional
        Sequences of this many ids may lack the stop: longer jets were cut.
    label : ndarray of int64, shape (n,), optional
        Classes of the jets.

    Raises
    ------
    InvalidJetsError
        If sequences do not begin with start, do not end with stop, or hold either in between: they may be codes
        already, or ids without what belongs around them.
    """
    from jetlab.models.tokens import TokenSequences

    flat, edges = np.asarray(ids, dtype=np.int64), np.asarray(offsets, dtype=np.int64)
    _check_range(flat, codes)
    counts = np.diff(edges)
    first, last = edges[:-1], edges[1:] - 1
    stop = codes + 1
    if (counts < 1).any() or (flat[first] != 0).any():
        without = int(np.sum(counts < 1) + np.sum(flat[first[counts > 0]] != 0))
        msg = (
            f"{without} of {len(counts)} sequences do not begin with the start id 0. If these are codes, 0 to "
            f"{codes - 1}, give them to TokenSequences as they are; if they are ids, put 0 before and {stop} after each"
        )
        raise InvalidJetsError(msg)
    stopped = (flat[last] == stop) & (counts > 1)
    if not (stopped | (counts == (length or -1))).all():
        msg = f"{int((~stopped).sum())} of {len(counts)} sequences do not end with the stop id {stop}"
        raise InvalidJetsError(msg)
    inside = np.ones(len(flat), dtype=bool)
    inside[first] = False
    inside[last[stopped]] = False
    if ((flat[inside] == 0) | (flat[inside] == stop)).any():
        msg = f"start, padding (0) or stop ({stop}) stands within sequences; cut them after their stop"
        raise InvalidJetsError(msg)
    edges = np.concatenate([[0], np.cumsum(counts - 1 - stopped)])
    return TokenSequences(flat[inside] - 1, edges, codes, label)


def ids_of_tokens(tokens: TokenSequences) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sequences in their ids, start and stop included, one after the other, shape ``(m + 2 n,)``, and their lengths."""
    ends = tokens.offsets[1:]
    with_stop = np.insert(tokens.codes + 1, ends, tokens.codebook_size + 1)
    starts = tokens.offsets[:-1] + np.arange(len(tokens))
    return np.insert(with_stop, starts, 0), tokens.multiplicity + 2


def _check_range(ids: npt.NDArray[np.int64], codes: int) -> None:
    if ids.size and not (ids.min() >= 0 and ids.max() <= codes + 1):
        msg = f"ids run from {ids.min()} to {ids.max()}, expected 0 (start) to {codes + 1} (stop) for {codes} codes"
        raise InvalidJetsError(msg)
