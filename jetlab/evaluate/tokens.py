"""What tokenization keeps: jets rebuilt from their codes beside the true ones, and what a code stands for.

Uncertainties are those of drawing other jets; the constituents of a jet are kept together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.evaluate.observed import Observed, observe
from jetlab.evaluate.resolution import QUANTITIES, Residuals, resolution_row
from jetlab.evaluate.samples import resample
from jetlab.features import Recipe
from jetlab.jets import Jets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rebuilt", "cloud_spread", "rebuild", "resolution", "token_cloud"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

JET_QUANTITIES = tuple(q.name for q in QUANTITIES.values() if q.level == "jet")


class Tokenizer(Protocol):
    """What turns jets into codes and back, see `jetlab.models.tokenizers.Tokenizer`."""

    @property
    def recipe(self) -> Recipe:
        """Inputs that it reads."""
        ...

    def encode(self, jets: Jets) -> Any:
        """Codes of the constituents that the recipe keeps, as `jetlab.models.tokens.TokenSequences`."""
        ...

    def decode_inputs(self, tokens: Any) -> npt.NDArray[np.float32]:
        """Inputs that the codes stand for, in their order, shape ``(m, F)``."""
        ...


@dataclass(frozen=True)
class Rebuilt:
    """True jets beside what a tokenizer makes of them, from `rebuild`.

    Attributes
    ----------
    true : Jets
        As they were given.
    jets : Jets
        Rebuilt from the codes, around the axis eta = phi = 0, of massless constituents.
    tokens : TokenSequences
        The codes of the constituents that the recipe keeps.
    constituents : mapping of str to (ndarray, ndarray)
        ``pt`` [GeV], ``deta``, ``dphi`` of these constituents, true and rebuilt, each of shape ``(m,)``.
    """

    true: Jets
    jets: Jets
    tokens: Any
    constituents: dict[str, tuple[FloatArray, FloatArray]]

    @property
    def kept(self) -> float:
        """Share of all constituents that the recipe keeps."""
        return len(self.tokens.codes) / max(int(self.true.offsets[-1]), 1)

    @cached_property
    def observed_true(self) -> Observed:
        """Jet-level quantities of the true jets, computed once."""
        return observe(self.true, JET_QUANTITIES)

    @cached_property
    def observed(self) -> Observed:
        """Jet-level quantities of the rebuilt jets, computed once."""
        return observe(self.jets, JET_QUANTITIES)

    def knowing(self, true: Observed) -> Rebuilt:
        """The same with quantities of the true jets that were computed before."""
        self.__dict__["observed_true"] = true
        return self

    def pair(self, name: str) -> tuple[FloatArray, FloatArray, IntArray]:
        """True and rebuilt values of a quantity, and how many of them each jet has.

        Raises
        ------
        JetLabError
            If there is no such quantity.
        """
        if name not in QUANTITIES:
            msg = f"unknown quantity {name!r}; expected one of {', '.join(QUANTITIES)}"
            raise JetLabError(msg)
        if QUANTITIES[name].level == "jet":
            return self.observed_true.values[name], self.observed.values[name], np.ones(len(self.true), np.int64)
        true, rebuilt = self.constituents[name.removeprefix("constituent_").replace("ptrel", "pt")]
        return true, rebuilt, np.diff(self.tokens.offsets)

    def residuals(self, name: str) -> Residuals:
        """Differences of a quantity; errors as for `pair`."""
        true, rebuilt, counts = self.pair(name)
        return Residuals.of(true, rebuilt, counts, relative=QUANTITIES[name].relative)


def rebuild(tokenizer: Tokenizer, jets: Jets) -> Rebuilt:
    """Turn jets into codes and back.

    Parameters
    ----------
    tokenizer : Tokenizer
        Any of `jetlab.models.tokenizers`, such as the ``tokenizer`` of a generator.
    jets : Jets
        Jets that it has not learned from.

    Raises
    ------
    InvalidJetsError
        If there are no jets.
    """
    if not len(jets):
        msg = "there are no jets to tokenize; expected at least one"
        raise InvalidJetsError(msg)
    recipe, tokens = tokenizer.recipe, tokenizer.encode(jets)
    before, after = recipe.transform(jets).x, tokenizer.decode_inputs(tokens)
    kept = [(i, f) for i, f in enumerate(recipe.features) if f.field in ("pt", "deta", "dphi")]
    constituents = {f.field: (f.inverse(before[:, i]), f.inverse(after[:, i])) for i, f in kept}
    rebuilt = recipe.inverse(after, tokens.offsets, label=jets.label, classes=jets.classes, meta=jets.meta)
    return Rebuilt(jets, rebuilt, tokens, constituents)


def resolution(
    rebuilt: Rebuilt, quantities: Sequence[str] = tuple(QUANTITIES), *, bootstrap: int = 100, seed: int = 0
) -> pd.DataFrame:
    """How far rebuilt quantities are from the true ones, for all jets and for each class.

    Parameters
    ----------
    rebuilt : Rebuilt
    quantities : sequence of str
        Names from `jetlab.evaluate.resolution.QUANTITIES`: of jets (mass, pT, tau21, tau32, D2) and of constituents
        (pT, relative pT, deta, dphi).
    bootstrap, seed : int
        Resamplings of the jets for the uncertainties, and their seed.

    Returns
    -------
    pandas.DataFrame
        Columns ``class`` (``all`` first), ``quantity``, ``unit`` and those of
        `jetlab.evaluate.resolution.resolution_row`: bias, interquartile range, tails, each with ``_err``.

    Raises
    ------
    JetLabError
        If there is no such quantity.
    """
    import pandas as pd

    groups: dict[str, npt.NDArray[np.bool_]] = {"all": np.ones(len(rebuilt.true), bool)}
    if rebuilt.true.label is not None:
        groups |= {n: rebuilt.true.label == rebuilt.true.classes.index(n) for n in rebuilt.true.class_counts()}
    rng = np.random.default_rng(seed)
    weights = {name: resample(rng, int(ours.sum()), int(ours.sum()), bootstrap) for name, ours in groups.items()}
    found = {name: rebuilt.residuals(name) for name in quantities}
    rows = [
        {"class": group, "quantity": name, "unit": QUANTITIES[name].unit}
        | resolution_row(_of_jets(found[name], ours), weights[group], far=QUANTITIES[name].far)
        for group, ours in groups.items()
        for name in quantities
    ]
    return pd.DataFrame(rows)


def _of_jets(residuals: Residuals, ours: npt.NDArray[np.bool_]) -> Residuals:
    if ours.all():
        return residuals
    chosen = ours[residuals.jet]
    number = np.cumsum(ours) - 1
    return Residuals(residuals.values[chosen], number[residuals.jet[chosen]], int(ours.sum()), residuals.undefined)


# ---- what a code stands for -----------------------------------------------------------------------------------------


def token_cloud(
    tokenizer: Tokenizer,
    jets: Jets,
    *,
    codes: Sequence[int] | int = 6,
    contexts: int = 500,
    surroundings: Literal["jets", "random"] = "jets",
    length: int = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """What a code decodes to among different other codes.

    The code takes the place of the hardest constituent, as in arXiv:2403.05618. An unconditional tokenizer gives the
    same point every time, a conditional one a cloud.

    Parameters
    ----------
    tokenizer : Tokenizer
    jets : Jets
        Where the other codes come from.
    codes : sequence of int, or int
        Which codes, or how many: then those that hard constituents have most often, evenly over these.
    contexts : int
        How many surroundings each code is put into.
    surroundings : {"jets", "random"}
        The codes of a real jet after its hardest constituent, or `length` codes drawn from all constituents, as in the
        paper.
    length : int
        Number of random codes.
    seed : int
        Of the choice of surroundings.

    Returns
    -------
    pandas.DataFrame
        One row a code and surrounding: ``code``, ``context``, ``pt`` [GeV], ``deta``, ``dphi``.

    Raises
    ------
    JetLabError
        If a code lies outside the codebook.
    InvalidJetsError
        If no jet has at least two constituents.
    """
    import pandas as pd

    tokens = tokenizer.encode(jets)
    rng = np.random.default_rng(seed)
    chosen = _frequent_leaders(tokens, codes) if isinstance(codes, int) else np.asarray(codes, np.int64)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < tokens.codebook_size:
        msg = f"codes run from {chosen.min()} to {chosen.max()}, expected 0 to {tokens.codebook_size - 1}"
        raise JetLabError(msg)
    others = _surroundings(tokens, contexts, surroundings, length, rng)
    sequences = [np.concatenate([[code], other]) for code in chosen for other in others]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sequences])])
    made = replace(tokens, codes=np.concatenate(sequences), offsets=offsets, label=None)
    first = tokenizer.decode_inputs(made)[offsets[:-1]]
    table = pd.DataFrame({"code": np.repeat(chosen, contexts), "context": np.tile(np.arange(contexts), len(chosen))})
    for i, feature in enumerate(tokenizer.recipe.features):
        if feature.field in ("pt", "deta", "dphi"):
            table[feature.field] = feature.inverse(first[:, i])
    return table


def cloud_spread(cloud: pd.DataFrame) -> pd.DataFrame:
    """Middle and interquartile range of what each code decodes to.

    Parameters
    ----------
    cloud : pandas.DataFrame
        From `token_cloud`.

    Returns
    -------
    pandas.DataFrame
        One row a code: ``pt``, ``deta``, ``dphi`` (medians), each with ``_iqr``; that of ``pt`` is relative to it.
    """
    grouped = cloud.groupby("code", sort=False)[["pt", "deta", "dphi"]]
    table = grouped.median()
    for name, width in (grouped.quantile(0.75) - grouped.quantile(0.25)).items():
        table[f"{name}_iqr"] = width / table["pt"] if name == "pt" else width
    return table


def _frequent_leaders(tokens: Any, number: int) -> IntArray:
    """Codes of hardest constituents: the most frequent ones of the quantiles of their frequency-ordered list."""
    filled = np.flatnonzero(np.diff(tokens.offsets) > 0)
    counts = np.bincount(tokens.codes[tokens.offsets[filled]], minlength=tokens.codebook_size)
    ranked = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    return ranked[np.linspace(0, (len(ranked) - 1) // 2, min(number, len(ranked))).astype(np.int64)]


def _surroundings(tokens: Any, contexts: int, kind: str, length: int, rng: np.random.Generator) -> list[IntArray]:
    if kind == "random":
        return list(tokens.codes[rng.integers(0, len(tokens.codes), (contexts, length))])
    if kind != "jets":
        msg = f"surroundings = {kind!r} is unknown; expected 'jets' or 'random'"
        raise JetLabError(msg)
    long = np.flatnonzero(np.diff(tokens.offsets) > 1)
    if not long.size:
        msg = "no jet has two constituents, so there are no surroundings to put a code into"
        raise InvalidJetsError(msg)
    return [tokens.codes[tokens.offsets[i] + 1 : tokens.offsets[i + 1]] for i in rng.choice(long, contexts)]
