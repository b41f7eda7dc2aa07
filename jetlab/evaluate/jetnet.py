"""The measures of JetNet for generated jets [1]_ [2]_, class by class, each beside its truth-vs-truth floor.

Wasserstein distances of the relative mass (W1-M), of particle features (W1-P) and of energy flow polynomials (W1-EFP),
FPD and KPD, the Frechet distance of ParticleNet activations (FPND), coverage and matching by energy mover's distance.

The definitions are those of the ``jetnet`` package. What it does otherwise by accident is not reproduced: batches come
from a global random state without seed; W1-P counts particles without pT if their place is not zero; W1-M asked for
without its error returns the mean twice; coverage and matching come without an error; and batches are drawn with
replacement, so that a jet may be in a batch many times (`JetNetPlan.published` does this too, with floors that know).

References
----------
.. [1] R. Kansal et al., arXiv:2106.11535.
.. [2] R. Kansal et al., arXiv:2211.10295.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.evaluate.distances import wasserstein
from jetlab.evaluate.emd import coverage_and_matching
from jetlab.evaluate.frechet import FEWEST, Batches, frechet_distance, frechet_distance_to, physics_distances
from jetlab.evaluate.relative import FEATURES, relative_energyflow, relative_mass, relative_particles
from jetlab.jets import Jets
from jetlab.observables.energyflow import GRAPHS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Describer", "JetNetPlan", "jetnet_table"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Pair = tuple[IntArray, IntArray]

FOUR_EDGES = ("star 211", "path 121", "path 211", "square", "triangle with tail")
"""The connected polynomials of four vertices and four edges, whose distances W1-EFP averages."""

PUBLISHED = 50_000
"""Jets in a batch of the published values."""

LETTERS = {"gluon": "g", "quark": "q", "light quark": "q", "top": "t", "W": "w", "Z": "z"}
"""Names of classes and what JetNet calls them."""


class Describer(Protocol):
    """A network for FPND, such as ``jetlab.from_pretrained("pnet_state_dict.pt")`` of the JetNet package."""

    def describe(self, jets: npt.ArrayLike) -> FloatArray:
        """Numbers that describe jets, ``(n, 30, 3)`` to ``(n, D)``."""

    def reference(self, name: str) -> tuple[FloatArray, FloatArray] | None:
        """Published mean and covariance of real jets of a class."""


@dataclass(frozen=True)
class JetNetPlan:
    """Numbers of jets that the measures are taken with.

    Parameters
    ----------
    jets, batches : int
        Most jets in a batch, and number of batches, for W1 and FPND.
    matched, matched_batches : int
        The same for coverage and matching.
    floors : int
        Comparisons of true with true jets for each floor.
    replace : bool
        Draw batches with replacement, `jets` in each however few there are, in place of cutting the samples into
        batches that share no jet.
    """

    jets: int = PUBLISHED
    batches: int = 5
    matched: int = 100
    matched_batches: int = 10
    floors: int = 20
    replace: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that give no uncertainty."""
        least = min(self.batches, self.matched_batches, self.floors, self.jets, self.matched)
        if least < 2:
            msg = f"found {self}; expected at least 2 jets, batches and floors, for an uncertainty"
            raise InvalidJetsError(msg)

    @staticmethod
    def published() -> JetNetPlan:
        """Batches as the ``jetnet`` package draws them: 5 of 50,000 jets and 10 of 100, with replacement."""
        return JetNetPlan(replace=True)


def jetnet_table(
    true: Jets | npt.ArrayLike,
    generated: Jets | npt.ArrayLike,
    *,
    particles: int = 30,
    network: Describer | None = None,
    plan: JetNetPlan | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measure generated jets as JetNet does, each class by itself.

    Parameters
    ----------
    true, generated : Jets, or array_like of shape (n, N, 3 or 4)
        Jets with labels, or without for one class; or etarel, phirel, ptrel (and mask) of one class, as in the files of
        JetNet. See `jetlab.evaluate.relative_particles`; at least 100 jets of each class.
    particles : int
        Hardest particles of a jet that count: 30 or 150.
    network : Describer, optional
        Gives FPND: loaded by ``jetlab.from_pretrained`` from the file ``pnet_state_dict.pt`` of the JetNet package. The
        published one is for 30 particles.
    plan : JetNetPlan, optional
        Numbers of jets; `JetNetPlan.published()` draws as the ``jetnet`` package does.
    seed : int
        Of batches and floors; the same seed gives the same table.
    progress : callable, optional
        Called with (done, total) classes.

    Returns
    -------
    pandas.DataFrame
        One row for each ``class`` and ``measure``: ``w1_m``, ``w1_p`` (mean of ``w1_p_etarel``, ``w1_p_phirel``,
        ``w1_p_ptrel``, which follow), ``w1_efp``, ``fpd``, ``kpd``, ``fpnd``, ``fpnd_published`` (to the published
        statistics of real jets, if the network has them), ``coverage``, ``matching`` (MMD). Columns: ``value``, the
        mean over the batches; ``error``, their standard deviation, as JetNet quotes it (of FPD and KPD see
        `jetlab.evaluate.fpd`); ``floor`` and ``floor_sd``, the same between true jets at the same size of batches;
        ``z``, how much worse than the floor in units of the spread that the value would have for perfect jets;
        ``jets`` in a batch, ``batches``, ``n_true``, ``n_generated``, ``note``.

    Raises
    ------
    InvalidJetsError
        If there are too few jets of a class, the classes differ, or arrays are wrong.
    """
    import pandas as pd

    plan, tables = plan or JetNetPlan(), []
    pairs = _by_class(true, generated)
    for done, (name, *pair) in enumerate(pairs, 1):
        samples = [_Described.of(relative_particles(jets, particles=particles), network) for jets in pair]
        rows = pd.DataFrame(_rows((samples[0], samples[1]), name, network, plan, seed))
        rows.insert(0, "class", name)
        tables.append(rows)
        if progress is not None:
            progress(done, len(pairs))
    return pd.concat(tables, ignore_index=True)


# ---- samples --------------------------------------------------------------------------------------------------------


def _by_class(
    true: Jets | npt.ArrayLike, generated: Jets | npt.ArrayLike
) -> list[tuple[str, Jets | npt.ArrayLike, Jets | npt.ArrayLike]]:
    sets = [list(jets.class_counts()) if isinstance(jets, Jets) else [] for jets in (true, generated)]
    if sets[0] != sets[1]:
        msg = f"found true jets of {sets[0] or 'no classes'} and generated ones of {sets[1] or 'no classes'}; expected"
        raise InvalidJetsError(msg + " the same. Select the classes that both have")
    names = sets[0]
    if not names:
        return [("all", true, generated)]
    return [(name, true[name], generated[name]) for name in names]  # type: ignore[index, call-overload]


@dataclass(frozen=True)
class _Described:
    """What the measures need of jets."""

    particles: FloatArray  # (n, N, 3)
    mass: FloatArray  # (n,)
    energyflow: FloatArray  # (n, 36)
    activations: FloatArray | None  # (n, D)

    @staticmethod
    def of(particles: FloatArray, network: Describer | None) -> _Described:
        """Compute it."""
        if len(particles) < FEWEST:
            msg = f"found {len(particles)} jets of a class, expected at least {FEWEST} true and as many generated ones"
            raise InvalidJetsError(msg)
        activations = None if network is None else network.describe(particles)
        return _Described(particles, relative_mass(particles), relative_energyflow(particles), activations)

    def __len__(self) -> int:
        return len(self.mass)

    def take(self, rows: IntArray) -> _Described:
        """These jets."""
        activations = None if self.activations is None else self.activations[rows]
        return _Described(self.particles[rows], self.mass[rows], self.energyflow[rows], activations)


# ---- batches --------------------------------------------------------------------------------------------------------


class _Draws(NamedTuple):
    """Pairs of batches, as rows of the two samples: of true and generated jets, and of true and true ones."""

    values: list[Pair]
    floors: list[list[Pair]]  # each gives one value of the floor


def _draws(rng: np.random.Generator, sizes: tuple[int, int], most: tuple[int, int], plan: JetNetPlan) -> _Draws:
    """Batches for samples of n true and m generated jets, with at most so many jets in so many batches.

    Without replacement, the floor compares two batches of true jets that share none. With replacement, it compares two
    samples of n and m jets, drawn from the true ones, as true and generated jets are compared.
    """
    (n, m), (jets, batches) = sizes, most
    if plan.replace:
        values = [(rng.integers(0, n, jets), rng.integers(0, m, jets)) for _ in range(batches)]
        floors = []
        for _ in range(plan.floors):
            first, second = rng.integers(0, n, n), rng.integers(0, n, m)
            floors.append([(first[rng.integers(0, n, jets)], second[rng.integers(0, m, jets)]) for _ in range(batches)])
        return _Draws(values, floors)
    size = min(jets, min(n, m) // batches)
    parts = [rng.permutation(count)[: size * batches].reshape(batches, size) for count in (n, m)]
    pairs = [rng.permutation(n)[: 2 * size] for _ in range(plan.floors)]
    return _Draws(list(zip(*parts, strict=True)), [[(pair[:size], pair[size:])] for pair in pairs])


# ---- measures -------------------------------------------------------------------------------------------------------

Row = dict[str, object]
Measure = Callable[[_Described, _Described, Sequence[Pair]], list[dict[str, float]]]


def _rows(
    pair: tuple[_Described, _Described], name: str, network: Describer | None, plan: JetNetPlan, seed: int
) -> list[Row]:
    """Rows of the table for one class."""
    true, generated = pair
    rng = np.random.default_rng(seed)
    sizes = len(true), len(generated)
    many = _draws(rng, sizes, (plan.jets, plan.batches), plan)
    few = _draws(rng, sizes, (plan.matched, plan.matched_batches), plan)
    rows = _measured(true, generated, _of_batches, many, plan)
    at = 1 + next(k for k, row in enumerate(rows) if row["measure"] == "w1_efp")
    rows[at:at] = _physics(true, generated, plan, seed)
    if network is not None:
        rows += _published(true, generated, network, name)
    rows += _measured(true, generated, _matched, few, plan)
    return [{**row, "n_true": sizes[0], "n_generated": sizes[1]} for row in rows]


def _measured(true: _Described, generated: _Described, measure: Measure, draws: _Draws, plan: JetNetPlan) -> list[Row]:
    """Values with errors and floors of what a function measures of batches."""
    found = measure(true, generated, draws.values)
    null = iter(measure(true, true, [pair for pairs in draws.floors for pair in pairs]))
    floors = [[next(null) for _ in pairs] for pairs in draws.floors]
    size, batches = len(draws.values[0][0]), len(draws.values)
    rows: list[Row] = []
    for name in found[0]:
        values = [batch[name] for batch in found]
        means = [float(np.mean([batch[name] for batch in pairs])) for pairs in floors]
        floor, spread = float(np.mean(means)), float(np.std(means, ddof=1))
        worse = (floor - np.mean(values)) if name == "coverage" else (np.mean(values) - floor)
        unit = spread * np.sqrt(1 / len(means) + (1 if plan.replace else 1 / batches))
        rows.append({
            "measure": name, "value": float(np.mean(values)), "error": float(np.std(values, ddof=1)), "floor": floor,
            "floor_sd": spread, "z": float(worse / unit) if unit > 0 else float("nan"), "jets": size,
            "batches": batches, "note": _note(name, size, plan),
        })  # fmt: skip
    return rows


def _of_batches(first: _Described, second: _Described, pairs: Sequence[Pair]) -> list[dict[str, float]]:
    """Wasserstein distances, and FPND where there are activations, of pairs of batches."""
    columns = [GRAPHS.index(name) for name in FOUR_EDGES]
    found = []
    for rows in pairs:
        a, b = first.take(rows[0]), second.take(rows[1])
        parts = [d.particles[d.particles[..., 2] > 0] for d in (a, b)]
        features = {f"w1_p_{name}": wasserstein(parts[0][:, k], parts[1][:, k]) for k, name in enumerate(FEATURES)}
        values = {"w1_m": wasserstein(a.mass, b.mass), "w1_p": float(np.mean(list(features.values()))), **features}
        values["w1_efp"] = float(np.mean([wasserstein(a.energyflow[:, k], b.energyflow[:, k]) for k in columns]))
        if a.activations is not None and b.activations is not None:
            values["fpnd"] = frechet_distance(a.activations, b.activations)
        found.append(values)
    return found


def _matched(first: _Described, second: _Described, pairs: Sequence[Pair]) -> list[dict[str, float]]:
    """Coverage and matching of pairs of batches."""
    x, y = (np.stack([jets.particles[rows[k]] for rows in pairs]) for k, jets in enumerate((first, second)))
    found = zip(*coverage_and_matching(x, y), strict=True)
    return [{"coverage": float(covered), "matching": float(matching)} for covered, matching in found]


def _physics(true: _Described, generated: _Described, plan: JetNetPlan, seed: int) -> list[Row]:
    """FPD and KPD, whose batches are their own."""
    table = physics_distances(true.energyflow, generated.energyflow, seed=seed, floors=plan.floors)
    used = Batches().for_jets(min(len(true), len(generated)))
    drawn = {"fpd": (used.largest, used.repeats), "kpd": (used.kernel, used.kernel_repeats)}
    columns = ("value", "error", "floor", "floor_sd", "z")
    return [
        {"measure": name, **{column: float(table.at[name, column]) for column in columns}, "jets": size,
         "batches": batches, "note": str(table.at[name, "note"])}
        for name, (size, batches) in drawn.items()
    ]  # fmt: skip


def _published(true: _Described, generated: _Described, network: Describer, name: str) -> list[Row]:
    """FPND as JetNet has it: all jets, up to 50,000, to the published statistics of real jets."""
    held = network.reference(LETTERS.get(name, name))
    if held is None or true.activations is None or generated.activations is None:
        return []
    size = min(len(true), len(generated), PUBLISHED)
    value, floor = (frechet_distance_to(*held, d.activations[:size]) for d in (generated, true))  # type: ignore[index]
    nan = float("nan")
    return [{
        "measure": "fpnd_published", "value": value, "error": nan, "floor": floor, "floor_sd": nan, "z": nan,
        "jets": size, "batches": 1, "note": _note("fpnd", size, JetNetPlan()),
    }]  # fmt: skip


def _note(name: str, size: int, plan: JetNetPlan) -> str:
    if name in ("coverage", "matching"):
        return "" if size == 100 else f"batches of {size:,} jets in place of the usual 100"
    usual = "" if size == PUBLISHED else f"batches of {size:,} jets in place of the usual {PUBLISHED:,}"
    return "; ".join(filter(None, [usual, "drawn with replacement" if plan.replace else ""]))
