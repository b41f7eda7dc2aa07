"""Energy flow polynomials: for a multigraph, a sum over all ways to put constituents on its vertices.

Each vertex gives the factor z_i (the constituent's share of the jet pT), each edge the factor theta_ij (the distance
of its two constituents). The 36 graphs with at most four edges are the features of the Frechet and kernel physics
distances of JetNet. All connected ones follow from products of the matrix of distances with vectors, and one product of
it with itself; the others are products of connected ones.

References
----------
P. Komiske, E. Metodiev, J. Thaler, arXiv:1712.07124; R. Kansal et al., arXiv:2211.10295.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.jets import Jets

__all__ = ["CONNECTED_GRAPHS", "GRAPHS", "energy_flow_polynomials", "polynomials"]

FloatArray = npt.NDArray[np.float64]
Graph = tuple[tuple[int, int], ...]

CONNECTED_GRAPHS: dict[str, Graph] = {
    "point": (),
    "edge": ((0, 1),),
    "edge²": ((0, 1),) * 2,
    "path 11": ((0, 1), (0, 2)),
    "edge³": ((0, 1),) * 3,
    "path 21": ((0, 1), (0, 1), (0, 2)),
    "star 111": ((0, 1), (0, 2), (0, 3)),
    "path 111": ((0, 1), (0, 2), (1, 3)),
    "triangle": ((0, 1), (0, 2), (1, 2)),
    "edge⁴": ((0, 1),) * 4,
    "path 31": ((0, 1), (0, 1), (0, 1), (0, 2)),
    "path 22": ((0, 1), (0, 1), (0, 2), (0, 2)),
    "triangle 211": ((0, 1), (0, 1), (0, 2), (1, 2)),
    "star 211": ((0, 1), (0, 1), (0, 2), (0, 3)),
    "path 121": ((0, 1), (0, 1), (0, 2), (1, 3)),
    "path 211": ((0, 1), (0, 2), (0, 2), (1, 3)),
    "square": ((0, 1), (0, 2), (1, 3), (2, 3)),
    "triangle with tail": ((0, 1), (0, 2), (1, 2), (0, 3)),
    "star 1111": ((0, 1), (0, 2), (0, 3), (0, 4)),
    "fork": ((0, 1), (0, 2), (0, 3), (1, 4)),
    "path 1111": ((0, 1), (0, 2), (1, 3), (2, 4)),
}
"""The connected multigraphs with at most four edges: pairs of vertices, an edge each. Digits are numbers of parallel
edges along a path, around a star or a triangle."""

_PRODUCTS = (
    ("edge", "edge"), ("edge", "edge²"), ("edge", "path 11"), ("edge", "edge", "edge"),
    ("edge", "edge³"), ("edge", "path 21"), ("edge", "star 111"), ("edge", "path 111"), ("edge", "triangle"),
    ("edge²", "edge²"), ("edge²", "path 11"), ("path 11", "path 11"),
    ("edge", "edge", "edge²"), ("edge", "edge", "path 11"), ("edge", "edge", "edge", "edge"),
)  # fmt: skip

GRAPHS = (*CONNECTED_GRAPHS, *(" · ".join(parts) for parts in _PRODUCTS))
"""Names of all 36 multigraphs with at most four edges and no loose vertex, in the order of the columns."""

_CELLS = 200_000
"""Entries of the matrices of distances that are computed together, so that they stay in the processor's cache."""


def energy_flow_polynomials(jets: Jets) -> FloatArray:
    """The 36 energy flow polynomials with at most four edges of each jet, as JetNet defines them.

    Shares are pT / jet pT and are not scaled to add up to one; distances are those in (eta, phi) to the first power.
    The polynomial of the point is the sum of the shares. A jet without constituents has zeros.

    Parameters
    ----------
    jets : Jets
        The jets.

    Returns
    -------
    array of float64, shape (n, 36)
        Columns in the order of `GRAPHS`.
    """
    counts = jets.multiplicity
    share = jets.flat("pt") / np.repeat(np.maximum(jets.pt, 1e-12), counts)
    columns = np.stack([share, jets.flat("deta"), jets.flat("dphi")], axis=1).astype(np.float64)
    values = np.zeros((len(jets), len(GRAPHS)))
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    start = 0
    while start < len(order):
        ahead = counts[order[start:]].astype(np.int64) ** 2 * np.arange(1, len(order) - start + 1)
        rows = order[start : start + max(1, int(np.searchsorted(ahead, _CELLS, side="right")))]
        padded = np.zeros((len(rows), int(counts[rows[-1]]), 3))
        for slots, row in zip(padded, rows, strict=True):
            slots[: counts[row]] = columns[jets.offsets[row] : jets.offsets[row + 1]]
        values[rows] = polynomials(padded[..., 0], padded[..., 1], padded[..., 2])
        start += len(rows)
    return values


def polynomials(share: FloatArray, eta: FloatArray, phi: FloatArray) -> FloatArray:
    """The polynomials of padded jets.

    Parameters
    ----------
    share : ndarray, shape (B, N)
        Weights z of the constituents, zero where padded.
    eta, phi : ndarray, shape (B, N)
        Places of the constituents; phi without jumps.

    Returns
    -------
    array of float64, shape (B, 36)
        Columns in the order of `GRAPHS`.
    """
    known = _connected(share, _squared_distances(eta, phi))
    composite = [np.prod([known[name] for name in parts], axis=0) for parts in _PRODUCTS]
    return np.stack([*(known[name] for name in CONNECTED_GRAPHS), *composite], axis=1)


def _squared_distances(eta: FloatArray, phi: FloatArray) -> FloatArray:
    """Shape ``(B, N)`` to ``(B, N, N)``."""
    squared = np.square(eta[:, :, None] - eta[:, None, :])
    squared += np.square(phi[:, :, None] - phi[:, None, :])
    return squared


def _connected(z: FloatArray, squared: FloatArray) -> dict[str, FloatArray]:
    """Connected polynomials, shape ``(B,)`` each, from weights ``(B, N)`` and squared distances ``(B, N, N)``."""
    theta = np.sqrt(squared)
    two = (theta * z[:, None, :]) @ theta  # (B, N, N): from i to j over any constituent between

    def seen(matrix: FloatArray, weights: FloatArray = z) -> FloatArray:  # (B, N): what each constituent sees
        return (matrix @ weights[..., None])[..., 0]

    def total(values: FloatArray) -> FloatArray:  # (B,)
        return np.einsum("bi,bi->b", z, values)

    one1, one2, one3 = seen(theta), seen(squared), seen(theta * squared)
    return {
        "point": z.sum(axis=1),
        "edge": total(one1),
        "edge²": total(one2),
        "path 11": total(one1**2),
        "edge³": total(one3),
        "path 21": total(one2 * one1),
        "star 111": total(one1**3),
        "path 111": total(one1 * seen(theta, z * one1)),
        "triangle": total(seen(theta * two)),
        "edge⁴": total(seen(squared * squared)),
        "path 31": total(one3 * one1),
        "path 22": total(one2**2),
        "triangle 211": total(seen(squared * two)),
        "star 211": total(one2 * one1**2),
        "path 121": total(one1 * seen(squared, z * one1)),
        "path 211": total(one2 * seen(theta, z * one1)),
        "square": total(seen(two * two)),
        "triangle with tail": total(one1 * seen(theta * two)),
        "star 1111": total(one1**4),
        "fork": total(one1**2 * seen(theta, z * one1)),
        "path 1111": total(seen(theta, z * one1) ** 2),
    }
