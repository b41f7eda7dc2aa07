from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, UnitsError
from jetlab.features import (
    JET_KINEMATICS,
    JETCLASS_COLUMNS,
    JETCLASS_JET_COLUMNS,
    JETCLASS_RECIPES,
    OMNIJET_RECIPE,
    Feature,
    JetRecipe,
    Recipe,
)
from jetlab.jets import Jets, wrap_phi
from jetlab.vocabulary import PARTICLE_TYPES

from .toys import identified_jets, toy_jets

PARITY = next(
    (p / "shared" / "parity" / "particlenet" for p in Path(__file__).parents if (p / "shared").is_dir()), None
)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the golden inputs of the JetClass networks are not here")


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


@pytest.mark.parametrize("recipe", [OMNIJET_RECIPE, *JETCLASS_RECIPES.values()], ids=lambda r: r.name)
def test_recipe_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict(), allow_nan=False))) == recipe


@pytest.mark.parametrize("name", JETCLASS_RECIPES)
def test_jetclass_inputs_are_those_of_the_published_settings(name: str) -> None:
    jets, recipe = identified_jets(), JETCLASS_RECIPES[name]
    x = recipe.transform(jets).x
    assert x.shape == (jets.offsets[-1], {"full": 17, "kinpid": 13, "kin": 7}[name])
    pt, jet_pt = jets.flat("pt"), np.repeat(jets.pt, jets.multiplicity)
    side = np.repeat(np.sign(jets.eta), jets.multiplicity)
    expected = {
        "pt": np.clip((np.log(pt) - 1.7) * 0.7, -5, 5),
        "energy": np.clip((np.log(jets.flat("energy")) - 2.0) * 0.7, -5, 5),
        "ptrel": np.clip((np.log(pt / jet_pt) + 4.7) * 0.7, -5, 5),
        "energyrel": np.clip(
            (np.log(jets.flat("energy") / np.repeat(jets.energy, jets.multiplicity)) + 4.7) * 0.7, -5, 5
        ),
        "distance": (np.hypot(jets.flat("deta"), jets.flat("dphi")) - 0.2) * 4,
        "deta_outward": jets.flat("deta") * side,
        "dphi": jets.flat("dphi"),
        "charge": jets.flat("charge"),
        "d0": np.tanh(jets.flat("d0")),
        "dzerr": np.clip(jets.flat("dzerr"), 0, 1),
    } | {kind: jets.flat("ptype") == code for code, kind in enumerate(PARTICLE_TYPES)}
    for i, feature in enumerate(recipe.features):
        if feature.field in expected:
            np.testing.assert_allclose(x[:, i], expected[feature.field], rtol=1e-5, atol=2e-6, err_msg=feature.field)


def test_the_inverse_of_the_full_recipe_gives_the_constituents_back() -> None:
    jets, recipe = identified_jets(), JETCLASS_RECIPES["full"]
    features = recipe.transform(jets)
    back = recipe.inverse(features.x, features.offsets, axis_eta=jets.eta, axis_phi=jets.phi, label=jets.label)
    np.testing.assert_array_equal(back.flat("ptype"), jets.flat("ptype"))
    np.testing.assert_array_equal(back.flat("charge"), jets.flat("charge"))
    np.testing.assert_allclose(back.flat("pt"), jets.flat("pt"), rtol=1e-5)
    for field in ("eta", "d0", "d0err", "dz", "dzerr"):
        np.testing.assert_allclose(back.flat(field), jets.flat(field), atol=1e-5, err_msg=field)
    np.testing.assert_allclose(wrap_phi(back.flat("phi") - jets.flat("phi")), 0, atol=1e-5)


def test_a_tanh_that_is_lost_comes_back_finite() -> None:
    d0 = next(f for f in JETCLASS_RECIPES["full"].features if f.field == "d0")
    far = d0.inverse(d0.forward(np.array([-40.0, 40.0], np.float32)))
    assert np.isfinite(far).all()
    assert far[1] == -far[0] > 8


def test_fields_that_a_recipe_lacks_are_named() -> None:
    with pytest.raises(InvalidJetsError, match=r"jetclass-full needs charge, ptype, d0, d0err, dz, dzerr, which.*pt"):
        JETCLASS_RECIPES["full"].transform(toy_jets(3))
    assert JETCLASS_RECIPES["kin"].transform(toy_jets(3)).x.shape[1] == 7


@needs_parity
@pytest.mark.parametrize("name", JETCLASS_RECIPES)
@pytest.mark.parametrize("prefix", ["", "edge_"])
def test_raw_columns_give_the_golden_inputs(name: str, prefix: str) -> None:
    golden = np.load(PARITY / name / "io.npz")
    features = JETCLASS_RECIPES[name].from_columns(
        golden[f"{prefix}raw_offsets"],
        {quantity: golden[f"{prefix}raw_{column}"] for column, quantity in JETCLASS_COLUMNS.items()},
        jets={quantity: golden[f"{prefix}raw_{column}"] for column, quantity in JETCLASS_JET_COLUMNS.items()},
    )
    mask = golden[f"{prefix}mask"][:, 0] > 0
    np.testing.assert_array_equal(np.diff(features.offsets), mask.sum(1))
    expected = golden[f"{prefix}features"].transpose(0, 2, 1)[mask]
    np.testing.assert_allclose(features.x, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(features.x[:, -2:], golden[f"{prefix}points"].transpose(0, 2, 1)[mask])


def test_inputs_leave_constituents_out_by_limits_of_their_own() -> None:
    """Limits are of physical values and excluded; one that fails takes the constituent with all its inputs."""
    recipe = Recipe(
        "cut",
        (Feature("pt", function="log", above=1.0), Feature("deta", above=-0.2, below=0.3), Feature("dphi")),
        max_particles=2,
        max_distance=None,
    )
    columns = {
        "pt": np.array([9.0, 8.0, 7.0, 6.0, 1.0, 5.0]),
        "deta": np.array([-0.2, -0.1, 0.3, 0.29, 0.0, 0.0]),
        "dphi": np.array([0.0, 2.0, 0.0, -2.0, 0.0, 0.0]),
    }
    found = recipe.from_columns(np.array([0, 5, 6]), columns, jets={})
    assert found.offsets.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found.x[:, 0], np.log([8.0, 6.0, 5.0]), rtol=1e-6)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_limits_of_a_quantity_that_is_not_there_are_named() -> None:
    recipe = Recipe("cut", (Feature("d0", below=1.0),), max_distance=None)
    with pytest.raises(InvalidJetsError, match="recipe cut needs d0, which these constituents do not have"):
        recipe.from_columns(np.array([0, 1]), {"pt": np.ones(1)}, jets={})


@pytest.mark.parametrize("function", ["log", "exp", "tanh", "signed_log", "identity"])
def test_functions_of_inputs_have_inverses(function: Literal["log", "exp", "tanh", "signed_log", "identity"]) -> None:
    feature = Feature("d0", subtract=0.3, multiply=2.0, function=function)
    values = np.array([0.1, 0.5, 2.0] if function == "log" else [-2.0, -0.1, 0.3, 1.5])
    np.testing.assert_allclose(feature.inverse(feature.forward(values)), values, rtol=1e-5, atol=1e-6)


def test_jet_recipe_tells_a_model_what_jets_are_like():
    jets = toy_jets(20)
    conditions = JET_KINEMATICS.transform(jets)
    assert conditions.shape == (len(jets), 3)
    assert conditions.dtype == np.float32
    back = JET_KINEMATICS.inverse(conditions)
    for name in ("pt", "mass", "multiplicity"):
        np.testing.assert_allclose(back[name], getattr(jets, name), rtol=1e-4, atol=1e-4)
    assert JetRecipe.from_dict(json.loads(json.dumps(JET_KINEMATICS.to_dict()))) == JET_KINEMATICS
    batch = ParticleSet(jets, OMNIJET_RECIPE, conditions=JET_KINEMATICS).batch(np.array([1, 0]))
    np.testing.assert_array_equal(batch.cond, conditions[[1, 0]])
    with pytest.raises(InvalidJetsError, match="jets have no colour; expected quantities among pt"):
        JetRecipe("wrong", (Feature("colour"),))
