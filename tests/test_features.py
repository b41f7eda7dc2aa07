from __future__ import annotations

import numpy as np
import pytest

from jetlab.errors import InvalidJetsError, UnitsError
from jetlab.features import OMNIJET_RECIPE, Recipe
from jetlab.jets import Jets, wrap_phi

from .toys import toy_jets


def test_inputs_are_those_of_the_paper() -> None:
    jets = toy_jets(5)
    x = OMNIJET_RECIPE.transform(jets).x
    np.testing.assert_allclose(x[:, 0], np.log(jets.flat("pt")) - 1.8, rtol=1e-5)
    np.testing.assert_allclose(x[:, 1], 3 * jets.flat("deta"), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x[:, 2], 3 * jets.flat("dphi"), rtol=1e-5, atol=1e-6)


def test_the_inverse_is_exact() -> None:
    jets = toy_jets(200)
    features = OMNIJET_RECIPE.transform(jets)
    back = OMNIJET_RECIPE.inverse(features.x, features.offsets, axis_eta=jets.eta, axis_phi=jets.phi, label=jets.label)
    np.testing.assert_array_equal(back.offsets, jets.offsets)
    np.testing.assert_allclose(back.flat("pt"), jets.flat("pt"), rtol=1e-5)
    np.testing.assert_allclose(back.flat("eta"), jets.flat("eta"), atol=1e-5)
    np.testing.assert_allclose(wrap_phi(back.flat("phi") - jets.flat("phi")), 0, atol=1e-5)
    np.testing.assert_allclose(back.mass, jets.mass, rtol=1e-4)


def test_rotating_a_jet_across_the_seam_changes_no_input() -> None:
    jets = toy_jets(20)
    columns = {f: jets.flat(f) for f in jets.fields}
    turned = Jets.from_flat(jets.offsets, columns | {"phi": wrap_phi(columns["phi"] + np.pi - 0.01)})
    np.testing.assert_allclose(OMNIJET_RECIPE.transform(turned).x, OMNIJET_RECIPE.transform(jets).x, atol=1e-4)


def test_far_constituents_are_left_out_before_the_length_is_cut() -> None:
    jets = toy_jets(1, low=10, high=11)
    columns = {f: jets.flat(f).copy() for f in jets.fields}
    columns["eta"][3] += 1.5
    far = Jets.from_flat(jets.offsets, columns)
    kept = np.abs(far.flat("deta")) < 0.8
    assert not kept.all()
    short = Recipe("short", OMNIJET_RECIPE.features, max_particles=5)
    with pytest.warns(UserWarning, match="1 of 1 jets have more than 5 constituents"):
        x = short.transform(far).x
    np.testing.assert_allclose(x, OMNIJET_RECIPE.transform(far).x[:5])


def test_more_than_128_constituents_warn_with_what_is_lost() -> None:
    jets = toy_jets(3, low=150, high=151)
    with pytest.warns(UserWarning, match=r"3 of 3 jets have more than 128 constituents.*at most \d\.\d+%"):
        features = OMNIJET_RECIPE.transform(jets)
    assert (np.diff(features.offsets) == 128).all()


def test_relative_pt_is_refused() -> None:
    jets = toy_jets(4)
    columns = {f: jets.flat(f) for f in jets.fields} | {"pt": jets.flat("pt") / 700}
    relative = Jets.from_flat(jets.offsets, columns, check=False)
    with pytest.raises(UnitsError, match=r"expected GeV.*relative to the jet"):
        OMNIJET_RECIPE.transform(relative)


def test_no_jets_are_refused_and_an_empty_jet_is_kept_empty() -> None:
    with pytest.raises(InvalidJetsError, match="no jets"):
        OMNIJET_RECIPE.transform(toy_jets(3)[:0])
    jets = toy_jets(3)
    hollow = Jets.from_flat([0, *jets.offsets], {f: jets.flat(f) for f in jets.fields})
    assert np.diff(OMNIJET_RECIPE.transform(hollow).offsets)[0] == 0


def test_recipe_survives_json() -> None:
    import json

    assert Recipe.from_dict(json.loads(json.dumps(OMNIJET_RECIPE.to_dict()))) == OMNIJET_RECIPE
