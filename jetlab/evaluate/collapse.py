"""Whether embeddings still tell jets apart: self-supervised training can end with the same one for all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

__all__ = ["effective_rank", "similarity", "spread"]

Embeddings = npt.NDArray[np.floating]


def spread(values: Embeddings) -> float:
    """Mean over the dimensions of the standard deviation, relative to the root mean square length of a dimension.

    0 if all embeddings are the same, about 1 if they are centred and independent.

    Parameters
    ----------
    values : ndarray, shape (n, D)
    """
    z = _checked(values)
    length = np.sqrt((z**2).mean())
    return float(z.std(axis=0).mean() / length) if length > 0 else 0.0


def effective_rank(values: Embeddings) -> float:
    """How many directions embeddings fill: the exponential of the entropy of the singular values (arXiv:2210.02885).

    Of centred embeddings, so that a common offset does not count: from 1 (a line) to the smaller of n - 1 and D; 0 if
    all are the same.

    Parameters
    ----------
    values : ndarray, shape (n, D)
    """
    z = _checked(values)
    sizes = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    if sizes.sum() <= 1e-12 * np.abs(z).max(initial=0) or not sizes.sum() > 0:
        return 0.0
    share = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def similarity(values: Embeddings) -> float:
    """Mean cosine of the angle between the embeddings of two different jets; 1 if all point the same way.

    Parameters
    ----------
    values : ndarray, shape (n, D)
    """
    z = _checked(values)
    lengths = np.linalg.norm(z, axis=1, keepdims=True)
    unit = z / np.where(lengths > 0, lengths, 1)
    n = len(z)
    return float(((unit.sum(axis=0) ** 2).sum() - (unit**2).sum()) / (n * (n - 1)))


def _checked(values: Embeddings) -> npt.NDArray[np.float64]:
    z = np.asarray(values, np.float64)
    if z.ndim != 2 or len(z) < 2:
        msg = f"embeddings have shape {z.shape}; expected (n, D) with at least two jets"
        raise InvalidJetsError(msg)
    if not np.isfinite(z).all():
        msg = f"{int((~np.isfinite(z)).any(axis=1).sum())} of {len(z)} embeddings are not finite"
        raise InvalidJetsError(msg)
    return z
