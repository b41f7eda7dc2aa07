"""Energy mover's distance: the least work that turns one jet into another, with coverage and matching built on it.

Particles are pT at places in (eta, phi). The work is the sum of moved pT times distance / R, plus the difference of the
total pT [1]_. It is a transport problem, solved here exactly by shortest augmenting paths [2]_, for many pairs of jets
side by side; nothing is smoothed or approximated.

References
----------
.. [1] P. Komiske, E. Metodiev, J. Thaler, arXiv:1902.02346.
.. [2] R. Ahuja, T. Magnanti, J. Orlin, Network Flows, Prentice Hall 1993, chapter 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError

__all__ = ["coverage_and_matching", "emd", "emds"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_TINY = 1e-12
"""Share of the larger pT of a pair that counts as nothing."""

_AT_ONCE = 4_000_000
"""Entries of the matrices of distances that are held together."""

_FEW = 2000
"""Distances that are computed together without asking which are needed: side by side they cost little more."""

_CROWD = 0.7
"""Share of unsolved problems below which the solved ones are put aside."""


def emd(a: npt.ArrayLike, b: npt.ArrayLike, *, radius: float = 1.0) -> float:
    """Energy mover's distance of two jets.

    Parameters
    ----------
    a, b : array_like, shapes (N, 3) and (M, 3)
        Particles as eta, phi, pT, in this order; particles without pT count as absent.
    radius : float
        Distance R over which moving pT costs as much as making it; at least half the largest distance of particles.

    Returns
    -------
    float
        In the unit of pT.

    Raises
    ------
    InvalidJetsError
        If a pT is negative, a number is not finite, or the shapes are others.
    """
    return float(emds(np.asarray(a)[None], np.asarray(b)[None], radius=radius)[0])


def emds(a: npt.ArrayLike, b: npt.ArrayLike, *, radius: float = 1.0) -> FloatArray:
    """Energy mover's distances of pairs of jets, the first with the first and so on.

    Parameters
    ----------
    a, b : array_like, shapes (B, N, 3) and (B, M, 3)
        Particles as eta, phi, pT, padded with particles without pT.
    radius : float
        As for `emd`.

    Returns
    -------
    ndarray, shape (B,)
        In the unit of pT.

    Raises
    ------
    InvalidJetsError
        As for `emd`, or if the numbers of jets differ.
    """
    x, y = _checked(a), _checked(b)
    if len(x) != len(y):
        msg = f"found {len(x)} and {len(y)} jets, expected pairs"
        raise InvalidJetsError(msg)
    parts = [_transport(_problem(x[p], y[p], radius)) for p in _parts(len(x), x.shape[1], y.shape[1])]
    return np.concatenate(parts) if parts else np.empty(0)


def coverage_and_matching(
    true: npt.ArrayLike, generated: npt.ArrayLike, *, radius: float = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Coverage and mean matching distance of pairs of samples of jets, by energy mover's distance.

    Distances are found exactly where they can matter: those that a bound from below keeps from being the smallest of
    their true and of their generated jet are not computed. Many pairs of samples at once take less time than alone.

    Parameters
    ----------
    true, generated : array_like, shapes (K, n, N, 3) and (K, m, M, 3)
        Particles as eta, phi, pT, padded with particles without pT, of K pairs of samples.
    radius : float
        As for `emd`.

    Returns
    -------
    coverage : ndarray, shape (K,)
        Share of the true jets that are nearest to some generated jet. It stays well below 1 for perfect jets too.
    matching : ndarray, shape (K,)
        Mean over the true jets of the distance to the nearest generated jet, called MMD by JetNet.

    Raises
    ------
    InvalidJetsError
        As for `emd`, or if samples are empty or their numbers differ.
    """
    x, y = np.asarray(true, np.float64), np.asarray(generated, np.float64)
    if x.ndim != 4 or y.ndim != 4 or len(x) != len(y) or not (x.shape[1] and y.shape[1]):
        msg = f"found samples of shapes {x.shape} and {y.shape}, expected (K, n, N, 3) and (K, m, M, 3) with n, m > 0"
        raise InvalidJetsError(msg)
    shapes = x.shape, y.shape
    distance = _nearest_distances(
        _checked(x.reshape(-1, *x.shape[2:])), _checked(y.reshape(-1, *y.shape[2:])), shapes, radius
    )
    covered = np.array([len(np.unique(d.argmin(axis=0))) for d in distance]) / x.shape[1]
    return covered, distance.min(axis=2).mean(axis=1)


# ---- the search for the nearest -------------------------------------------------------------------------------------


def _nearest_distances(
    x: FloatArray, y: FloatArray, shapes: tuple[tuple[int, ...], tuple[int, ...]], radius: float
) -> FloatArray:
    """Distances ``(K, n, m)``, infinite where a bound shows that neither of the two jets is nearest to the other."""
    size = shapes[0][0], shapes[0][1], shapes[1][1]

    def measured(measure: Callable[[_Problem], FloatArray], where: npt.NDArray[np.bool_]) -> FloatArray:
        sample, row, column = np.nonzero(where)
        a, b = sample * size[1] + row, sample * size[2] + column
        parts = _parts(len(a), x.shape[1], y.shape[1])
        return np.concatenate([measure(_problem(x[a[p]], y[b[p]], radius)) for p in parts])

    waiting = measured(_bound, np.ones(size, bool)).reshape(size)
    distance = np.full(size, np.inf)
    while np.isfinite(waiting).any():
        chosen = np.zeros(size, bool)
        for axis in (1, 2):
            np.put_along_axis(chosen, waiting.argmin(axis, keepdims=True), True, axis)
        left = np.isfinite(waiting)
        chosen = left if left.sum() <= _FEW else chosen & left
        distance[chosen], waiting[chosen] = measured(_transport, chosen), np.inf
        best = np.maximum(distance.min(axis=1, keepdims=True), distance.min(axis=2, keepdims=True))
        waiting[waiting >= best] = np.inf
    return distance


def _parts(count: int, n: int, m: int) -> list[slice]:
    """Parts of so many pairs of jets with n and m particles, whose matrices fit into memory."""
    step = max(1, _AT_ONCE // ((n + 1) * (m + 1)))
    return [slice(i, i + step) for i in range(0, count, step)]


# ---- the transport problem ------------------------------------------------------------------------------------------


class _Problem(NamedTuple):
    """Cost of moving a unit ``(B, n, m)``, what there is ``(B, n)`` and what is wanted ``(B, m)``: equal in total."""

    cost: FloatArray
    supply: FloatArray
    demand: FloatArray
    tiny: FloatArray  # (B,): what counts as nothing


def _checked(jets: npt.ArrayLike) -> FloatArray:
    """Particles in float64, the places of those without pT set to zero."""
    x = np.array(jets, np.float64)
    if x.ndim != 3 or x.shape[2] != 3:
        msg = f"found particles of shape {x.shape[1:]} for a jet, expected (N, 3): eta, phi, pT"
        raise InvalidJetsError(msg)
    if not np.isfinite(x).all():
        msg = "found NaN or infinite numbers among eta, phi, pT; energy mover's distances need finite ones"
        raise InvalidJetsError(msg)
    if (x[..., 2] < 0).any():
        msg = f"found pT = {x[..., 2].min():.3g}; energy mover's distances need pT >= 0. Set negative ones to 0"
        raise InvalidJetsError(msg)
    x[x[..., 2] == 0] = 0
    return x


def _problem(x: FloatArray, y: FloatArray, radius: float) -> _Problem:
    """The transport problem of pairs of jets; the lighter one gets a particle, at distance R from all, of the rest."""
    x, y = (jets[:, (jets[..., 2] > 0).any(axis=0)] for jets in (x, y))  # slots that some jet uses
    apart = np.hypot(x[:, :, None, 0] - y[:, None, :, 0], x[:, :, None, 1] - y[:, None, :, 1]) / radius
    cost = np.pad(apart, ((0, 0), (0, 1), (0, 1)), constant_values=1.0)
    excess = x[..., 2].sum(axis=1) - y[..., 2].sum(axis=1)
    supply = np.concatenate([x[..., 2], np.maximum(-excess, 0)[:, None]], axis=1)
    demand = np.concatenate([y[..., 2], np.maximum(excess, 0)[:, None]], axis=1)
    return _Problem(cost, supply, demand, _TINY * supply.sum(axis=1))


def _bound(problem: _Problem) -> FloatArray:
    """A bound of the least work from below, shape ``(B,)``: prices at which no move earns anything."""
    cost, supply, demand, tiny = problem
    used = np.where(supply > tiny[:, None], 0, np.inf)[:, :, None], np.where(demand > tiny[:, None], 0, np.inf)
    cost = cost + used[0] + used[1][:, None, :]
    found = np.zeros(len(cost))
    for c, first, second in ((cost, supply, demand), (cost.swapaxes(1, 2), demand, supply)):
        least = _finite(c.min(axis=2))  # (B, n)
        rest = _finite((c - least[:, :, None]).min(axis=1))  # (B, m)
        found = np.maximum(found, (least * first).sum(axis=1) + (rest * second).sum(axis=1))
    return found * (1 - 1e-9)


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, 0)


def _transport(problem: _Problem) -> FloatArray:
    """Least work of each problem, shape ``(B,)``, by shortest augmenting paths.

    The nodes of a problem are its sources and then its sinks. Each step settles the nearest node that is not settled
    yet in every problem; where that is a sink that wants something, as much as possible is moved along the path to it,
    and the search starts again. Prices keep the lengths of all edges from becoming negative.
    """
    cost, supply, demand, tiny = problem
    work, row = np.zeros(len(cost)), np.arange(len(cost))
    search = _Search.start(cost, supply.copy(), demand.copy(), tiny)
    while True:
        unsolved = search.wanted()
        if unsolved.mean() < _CROWD:
            work[row] = search.work()
            if not unsolved.any():
                return work
            row, search = row[unsolved], search.of(unsolved)
        search.step()


class _Search(NamedTuple):
    """Searches for shortest paths in ``B`` problems with ``n`` sources and ``m`` sinks."""

    cost: FloatArray  # (B, n, m)
    supply: FloatArray  # (B, n): what is left
    demand: FloatArray  # (B, m): what is left
    tiny: FloatArray  # (B,)
    moved: FloatArray  # (B, n, m)
    price: FloatArray  # (B, n + m)
    length: FloatArray  # (B, n + m): of the shortest path known, from the source where the search starts
    settled: npt.NDArray[np.bool_]  # (B, n + m)
    before: IntArray  # (B, n + m): node before on the path; -1 where it starts

    @staticmethod
    def start(cost: FloatArray, supply: FloatArray, demand: FloatArray, tiny: FloatArray) -> _Search:
        """Nothing is moved yet."""
        b, n, m = cost.shape
        to_sinks = cost.min(axis=1)
        price = np.concatenate([(cost - to_sinks[:, None, :]).min(axis=2), to_sinks], axis=1)
        length, before = np.zeros((b, n + m)), np.zeros((b, n + m), np.int64)
        search = _Search(cost, supply, demand, tiny, np.zeros_like(cost), price, length, length > 0, before)
        search.restart(np.arange(b))
        return search

    def of(self, where: npt.NDArray[np.bool_]) -> _Search:
        """These problems alone."""
        return _Search._make(values[where] for values in self)

    def wanted(self) -> npt.NDArray[np.bool_]:
        """Whether something is left to be moved, ``(B,)``."""
        least = self.tiny
        return (self.demand.max(axis=1) > least) & (self.supply.max(axis=1) > least)

    def work(self) -> FloatArray:
        """Cost of what was moved, ``(B,)``."""
        return np.einsum("bij,bij->b", self.cost, self.moved)

    def restart(self, rows: IntArray) -> None:
        """Search again from the source that has most left."""
        self.length[rows] = np.inf
        self.length[rows, self.supply[rows].argmax(axis=1)] = 0
        self.settled[rows], self.before[rows] = False, -1

    def step(self) -> None:
        """Settle the nearest node of each problem."""
        n, rows = self.supply.shape[1], np.arange(len(self.cost))
        node = np.where(self.settled, np.inf, self.length).argmin(axis=1)
        self.settled[rows, node] = True
        sink = node >= n
        at = np.where(sink, node - n, 0)
        full = self.demand[rows, at] <= self.tiny
        self._leave_sources(rows[~sink], node[~sink])
        self._leave_sinks(rows[sink & full], at[sink & full])
        self._arrive(rows[sink & ~full], at[sink & ~full])

    def _leave_sources(self, rows: IntArray, source: IntArray) -> None:
        """Lengths of paths over sources that were settled, to all sinks."""
        n = self.supply.shape[1]
        edge = self.cost[rows, source] - self.price[rows, source, None] - self.price[rows, n:]  # (b, m)
        length = self.length[rows, source, None] + np.maximum(edge, 0)
        better = (length < self.length[rows, n:]) & ~self.settled[rows, n:]
        which, sink = np.nonzero(better)
        self.length[rows[which], n + sink] = length[which, sink]
        self.before[rows[which], n + sink] = source[which]

    def _leave_sinks(self, rows: IntArray, sink: IntArray) -> None:
        """Sources that have moved something to sinks that were settled are as near: the move can be taken back."""
        n = self.supply.shape[1]
        farther = self.length[rows, :n] > self.length[rows, n + sink, None]
        which, source = np.nonzero((self.moved[rows, :, sink] > 0) & farther)  # (b, n)
        self.length[rows[which], source] = self.length[rows[which], n + sink[which]]
        self.before[rows[which], source] = n + sink[which]

    def _arrive(self, rows: IntArray, sink: IntArray) -> None:
        """Move as much as possible to sinks that want something, and search again."""
        n = self.supply.shape[1]
        node = n + sink
        saved = np.where(self.settled[rows], self.length[rows, node][:, None] - self.length[rows], 0)
        self.price[rows, :n] += saved[:, :n]
        self.price[rows, n:] -= saved[:, n:]
        amount = self.demand[rows, sink]
        for row, source, _, back in self._path(rows, node):
            left = np.where(back < 0, self.supply[row, source], self.moved[row, source, back])
            amount[np.searchsorted(rows, row)] = np.minimum(amount[np.searchsorted(rows, row)], left)
        self._take(self.demand, rows, sink, amount)
        for row, source, to, back in self._path(rows, node):
            share = amount[np.searchsorted(rows, row)]
            self.moved[row, source, to] += share
            first = back < 0
            self._take(self.supply, row[first], source[first], share[first])
            self._take(self.moved, row[~first], (source[~first], back[~first]), share[~first])
        self.restart(rows)

    def _path(self, rows: IntArray, node: IntArray) -> Iterator[tuple[IntArray, IntArray, IntArray, IntArray]]:
        """Problems, sources, the sinks they send to, and the sinks that they take back from, -1 for none; end first."""
        n = self.supply.shape[1]
        while len(rows):
            source = self.before[rows, node]
            back = self.before[rows, source]
            yield rows, source, node - n, np.where(back < 0, -1, back - n)
            rows, node = rows[back >= 0], back[back >= 0]

    def _take(
        self, store: FloatArray, rows: IntArray, where: IntArray | tuple[IntArray, IntArray], amount: FloatArray
    ) -> None:
        """Take from a store; next to nothing becomes nothing."""
        at = (rows, *where) if isinstance(where, tuple) else (rows, where)
        left = store[at] - amount
        store[at] = np.where(left > self.tiny[rows], left, 0)
