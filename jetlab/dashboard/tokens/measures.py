"""What the view of tokens asks of `jetlab.evaluate`; these functions run in the child processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jetlab.evaluate.codebook import codebook_counts, codebook_usage
from jetlab.evaluate.resolution import QUANTITIES, Residuals, resolution_row
from jetlab.evaluate.samples import resample
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.jets import Jets

__all__ = ["Cloud", "Load", "Places", "Summary", "Tokenized", "cloud_of", "load_tokenizer", "summarise", "tokenize"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Load = Callable[[str], Any]

_SOURCE = {"constituent_ptrel": "constituent_pt"}
_RESAMPLINGS = 100
_MODELS_KEPT = 2


# ---- jets as codes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokenized:
    """Jets as codes, and their quantities before and after: numbers only, cheap to send and to join.

    Attributes
    ----------
    codes : ndarray of int, shape (m,)
        One a constituent that the tokenizer keeps.
    counts : ndarray of int, shape (n,)
        Codes of each jet.
    label : ndarray of int, shape (n,)
        Class of each jet.
    pairs : dict
        True and rebuilt values by quantity: one a jet or one a code.
    codebook_size : int
    constituents : int
        Of the true jets, with those that the tokenizer leaves out.
    """

    codes: IntArray
    counts: IntArray
    label: IntArray
    pairs: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
    codebook_size: int
    constituents: int
    classes: tuple[str, ...] = CLASSES

    def __len__(self) -> int:
        return len(self.counts)

    @staticmethod
    def join(parts: Sequence[Tokenized]) -> Tokenized:
        """Several sets of jets as one."""

        def joined(values: Iterable[npt.NDArray[Any]]) -> Any:
            return np.concatenate(list(values))

        return Tokenized(
            codes=joined(part.codes for part in parts),
            counts=joined(part.counts for part in parts),
            label=joined(part.label for part in parts),
            pairs={
                n: (joined(p.pairs[n][0] for p in parts), joined(p.pairs[n][1] for p in parts)) for n in parts[0].pairs
            },
            codebook_size=parts[0].codebook_size,
            constituents=sum(part.constituents for part in parts),
        )

    @cached_property
    def offsets(self) -> IntArray:
        """Codes of jet ``i`` are ``offsets[i]:offsets[i + 1]``."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    @property
    def kept(self) -> float:
        """Share of the constituents that the tokenizer keeps."""
        return len(self.codes) / max(self.constituents, 1)

    @property
    def names(self) -> list[str]:
        """Classes of the jets, in their fixed order."""
        return [name for k, name in enumerate(self.classes) if (self.label == k).any()]

    @cached_property
    def code_counts(self) -> IntArray:
        """How often each code occurs, shape ``(codebook_size,)``."""
        return codebook_counts(self)

    def residuals(self, quantity: str, *, of: str = "all") -> Residuals:
        """Rebuilt minus true, of all jets or of those of one class."""
        true, rebuilt = self.pairs[_SOURCE.get(quantity, quantity)]
        known = QUANTITIES[quantity]
        counts = np.ones(len(self), np.int64) if known.level == "jet" else self.counts
        chosen = np.ones(len(self), bool) if of == "all" else self.label == self.classes.index(of)
        values = np.repeat(chosen, counts)
        ours = [array[values].astype(np.float64) for array in (true, rebuilt)]
        return Residuals.of(ours[0], ours[1], counts[chosen], relative=known.relative)

    @cached_property
    def places(self) -> Places:
        """Where the codes lie that occur."""
        used = np.flatnonzero(self.code_counts)
        counts = self.code_counts[used]

        def mean(name: str) -> FloatArray:
            values = self.pairs[f"constituent_{name}"][1]
            return np.bincount(self.codes, weights=values, minlength=self.codebook_size)[used] / counts

        order = np.argsort(-counts, kind="stable")
        return Places(used[order], counts[order], *(mean(name)[order] for name in ("pt", "deta", "dphi")))


@dataclass(frozen=True)
class Places:
    """Codes that occur, most frequent first: how often, and the mean of what they decode to in these jets.

    Attributes
    ----------
    code, count : ndarray of int, shape (k,)
    pt, deta, dphi : ndarray, shape (k,)
        Means [GeV, 1, rad].
    """

    code: IntArray
    count: IntArray
    pt: FloatArray
    deta: FloatArray
    dphi: FloatArray

    def nearest(self, deta: float, dphi: float, *, among: int) -> int:
        """The code whose mean place is nearest to a point, among the most frequent ones."""
        away = (self.deta[:among] - deta) ** 2 + (self.dphi[:among] - dphi) ** 2
        return int(self.code[int(np.argmin(away))])


def load_tokenizer(name: str) -> Any:
    """Load a bundled tokenizer, or that of a bundled generator."""
    from jetlab import zoo

    model: Any = zoo.from_pretrained(name)
    return getattr(model, "tokenizer", model)


@lru_cache(_MODELS_KEPT)
def _loaded(load: Load, name: str) -> Any:
    return load(name)


def tokenize(load: Load, name: str, jets: Jets) -> Tokenized:
    """Turn jets into codes and back.

    Parameters
    ----------
    load, name : callable, str
        Gives the tokenizer of this name; it is kept.
    jets : Jets
        With labels.
    """
    from jetlab.evaluate.tokens import rebuild

    rebuilt = rebuild(_loaded(load, name), jets)
    pairs = {q: rebuilt.pair(q)[:2] for q in QUANTITIES if q not in _SOURCE}
    return Tokenized(
        rebuilt.tokens.codes, np.diff(rebuilt.tokens.offsets), np.asarray(jets.label),
        {q: (true.astype(np.float32), again.astype(np.float32)) for q, (true, again) in pairs.items()},
        rebuilt.tokens.codebook_size, int(jets.offsets[-1]),
    )  # fmt: skip


# ---- how well -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """Measures of a tokenizer.

    Attributes
    ----------
    usage : mapping of str to float
        Of the codebook, as from `jetlab.evaluate.codebook.codebook_usage` for all jets.
    rows : mapping of (str, str) to mapping
        ``rows[quantity, class]`` as from `jetlab.evaluate.resolution.resolution_row`; class ``"all"`` for all jets.
    """

    usage: dict[str, float]
    rows: dict[tuple[str, str], dict[str, float]]


def summarise(tokenized: Tokenized, quantities: Sequence[str]) -> Summary:
    """Use of the codebook and resolutions with uncertainties, of all jets and of each class."""
    rng = np.random.default_rng(0)
    rows = {}
    for name in ("all", *tokenized.names):
        jets = tokenized.residuals("mass", of=name).jets
        weights = resample(rng, jets, jets, _RESAMPLINGS)
        for quantity in quantities:
            residuals = tokenized.residuals(quantity, of=name)
            rows[quantity, name] = resolution_row(residuals, weights, far=QUANTITIES[quantity].far)
    return Summary(codebook_usage(tokenized).loc["all"].to_dict(), rows)


# ---- what a code stands for -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cloud:
    """What one code decodes to in different contexts.

    Attributes
    ----------
    code : int
    table : pandas.DataFrame
        One row a context: ``pt`` [GeV], ``deta``, ``dphi``.
    """

    code: int
    table: pd.DataFrame

    def middle(self, name: str) -> float:
        """Median of ``pt``, ``deta`` or ``dphi``."""
        return float(self.table[name].median())

    def range(self, name: str) -> tuple[float, float]:
        """Ends of the central 90 % of the contexts."""
        low, high = self.table[name].quantile([0.05, 0.95])
        return float(low), float(high)

    def spread(self, name: str) -> float:
        """Interquartile range."""
        low, high = self.table[name].quantile([0.25, 0.75])
        return float(high - low)


def cloud_of(load: Load, name: str, jets: Jets, code: int, *, contexts: int) -> Cloud:
    """Decode a code in the place of the hardest constituent of many jets.

    Parameters
    ----------
    load, name : callable, str
        As for `tokenize`.
    jets : Jets
        The contexts.
    code : int
        Which one.
    contexts : int
        How many.
    """
    from jetlab.evaluate.tokens import token_cloud

    table = token_cloud(_loaded(load, name), jets, codes=[code], contexts=contexts)
    return Cloud(code, table[["pt", "deta", "dphi"]])
