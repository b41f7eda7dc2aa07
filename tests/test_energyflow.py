"""Energy flow polynomials against sums over all choices of constituents."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from jetlab.observables.energyflow import CONNECTED_GRAPHS, GRAPHS, energy_flow_polynomials, polynomials

from .toys import toy_jets


def written_out(graph: tuple[tuple[int, int], ...], share: np.ndarray, place: np.ndarray) -> float:
    """The definition: sum over all choices of one constituent for each vertex."""
    theta = np.hypot(*(place[:, :, None] - place[:, None, :]))
    vertices = 1 + max((v for edge in graph for v in edge), default=0)
    return sum(
        np.prod([share[k] for k in chosen]) * np.prod([theta[chosen[a], chosen[b]] for a, b in graph])
        for chosen in product(range(len(share)), repeat=vertices)
    )


def random_points(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.exponential(0.3, n), rng.normal(0, 0.3, (2, n))


@pytest.mark.parametrize("name", CONNECTED_GRAPHS)
def test_connected_polynomials_are_the_sums_they_stand_for(name: str) -> None:
    share, place = random_points()
    found = polynomials(share[None], *place[:, None])[0, GRAPHS.index(name)]
    assert found == pytest.approx(written_out(CONNECTED_GRAPHS[name], share, place), rel=1e-12)


def test_other_polynomials_are_products() -> None:
    share, place = random_points()
    values = dict(zip(GRAPHS, polynomials(share[None], *place[:, None])[0], strict=True))
    composite = [name for name in GRAPHS if " · " in name]
    assert len(composite) == 15
    assert len(set(GRAPHS)) == 36
    for name in composite:
        assert values[name] == pytest.approx(np.prod([values[part] for part in name.split(" · ")]), rel=1e-12)


def test_jets_of_any_length_give_what_each_gives_alone() -> None:
    jets = toy_jets(40)
    values = energy_flow_polynomials(jets)
    assert values.shape == (40, 36)
    for i in (0, 7, 39):
        rows = slice(jets.offsets[i], jets.offsets[i + 1])
        share, eta, phi = jets.flat("pt")[rows] / jets.pt[i], jets.flat("deta")[rows], jets.flat("dphi")[rows]
        alone = polynomials(share[None].astype(float), eta[None].astype(float), phi[None].astype(float))[0]
        np.testing.assert_allclose(values[i], alone, rtol=1e-6, atol=1e-12)


def test_short_jets_have_the_point_alone() -> None:
    jets = toy_jets(5).leading(1)
    values = energy_flow_polynomials(jets)
    np.testing.assert_allclose(values[:, 0], 1, rtol=1e-6)
    np.testing.assert_allclose(values[:, 1:], 0, atol=1e-12)
    assert not energy_flow_polynomials(jets.leading(0)).any()
