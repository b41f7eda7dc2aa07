"""How much of a codebook is used. Only codes of real constituents are counted, never padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Codes", "codebook_counts", "codebook_usage"]

IntArray = npt.NDArray[np.int64]


class Codes(Protocol):
    """Jets as codes, such as `jetlab.models.tokens.TokenSequences`."""

    @property
    def codes(self) -> IntArray:
        """Rows of the codebook, one a constituent, shape ``(m,)``."""
        ...

    @property
    def offsets(self) -> IntArray:
        """Codes of jet ``i`` are ``offsets[i]:offsets[i + 1]``."""
        ...

    @property
    def codebook_size(self) -> int:
        """Number of different codes there are."""
        ...

    @property
    def label(self) -> IntArray | None:
        """Class of each jet, shape ``(n,)``."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""
        ...


def codebook_counts(tokens: Codes) -> IntArray:
    """How often each code occurs, shape ``(codebook_size,)``."""
    return np.bincount(tokens.codes, minlength=tokens.codebook_size)


def codebook_usage(tokens: Codes) -> pd.DataFrame:
    """How much of the codebook is used, by all jets and by those of each class.

    Parameters
    ----------
    tokens : TokenSequences or Rebuilt
        Codes of real constituents.

    Returns
    -------
    pandas.DataFrame
        Rows ``all`` and the classes that occur. Columns: ``jets``; ``tokens``; ``used``, the number of codes that
        occur; ``utilisation``, their share of the codebook; ``perplexity``, the number of equally frequent codes that
        have the same entropy; each of the three with ``_err``; ``codebook_size``. The uncertainties are those of
        drawing other jets: jackknife for the first two, linear propagation for the perplexity. With few jets, all
        three are too small.

    Raises
    ------
    InvalidJetsError
        If there are no codes.
    """
    import pandas as pd

    if not len(tokens.codes):
        msg = "there are no codes: were all constituents cut away?"
        raise InvalidJetsError(msg)
    counts = np.diff(tokens.offsets)
    jet = np.repeat(np.arange(len(counts)), counts)
    rows = {"all": _usage(tokens.codes, jet, tokens.codebook_size)}
    if tokens.label is not None:
        for k, name in enumerate(tokens.classes):
            chosen = np.repeat(tokens.label == k, counts)
            if chosen.any():
                rows[name] = _usage(tokens.codes[chosen], jet[chosen], tokens.codebook_size)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def _usage(codes: IntArray, jet: IntArray, size: int) -> dict[str, float]:
    counts = np.bincount(codes, minlength=size)
    used, used_err = int((counts > 0).sum()), _used_error(codes, jet, size)
    surprise = -np.log(counts[codes] / len(codes))
    entropy = surprise.mean()
    by_jet = np.bincount(jet, weights=surprise - entropy)
    perplexity = float(np.exp(entropy))
    return {
        "jets": len(np.unique(jet)), "tokens": len(codes), "used": used, "used_err": used_err,
        "utilisation": used / size, "utilisation_err": used_err / size, "perplexity": perplexity,
        "perplexity_err": perplexity * float(np.sqrt(by_jet @ by_jet)) / len(codes), "codebook_size": size,
    }  # fmt: skip


def _used_error(codes: IntArray, jet: IntArray, size: int) -> float:
    """Jackknife over jets of the number of codes that occur: a jet takes away the codes that no other jet has."""
    rows = int(jet[-1]) + 1
    code_of, jet_of = np.divmod(np.unique(codes * rows + jet), rows)
    alone = np.bincount(code_of, minlength=size)[code_of] == 1
    lost = np.bincount(jet_of[alone], minlength=rows).astype(np.float64)
    jets = len(np.unique(jet_of))
    return float(np.sqrt((jets - 1) / jets * max(lost @ lost - lost.sum() ** 2 / jets, 0.0)))
