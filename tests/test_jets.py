"""The container: construction, validation, four-momenta, selection, joining."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import vector

from jetlab.errors import InvalidJetsError, JetLabError, UnitsError
from jetlab.jets import Jets, concatenate, wrap_phi
from jetlab.vocabulary import CLASSES

COUNTS = np.array([3, 0, 1, 5, 2])
OFFSETS = np.concatenate([[0], np.cumsum(COUNTS)])


def columns(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    m = OFFSETS[-1]
    return {
        "pt": rng.uniform(50, 300, m),
        "eta": rng.normal(0, 0.3, m),
        "phi": rng.uniform(-np.pi, np.pi, m),
        "mass": rng.choice([0.0, 0.13957], m),
        "charge": rng.integers(-1, 2, m),
        "ptype": rng.integers(-1, 5, m),
        "d0": rng.normal(0, 1, m),
    }


def five_jets(**changes: object) -> Jets:
    options: dict = {"label": [0, 1, 1, 9, 8], "info": {"split": [0, 1, 2, 0, 1]}, "meta": {"source": "test"}} | changes
    return Jets.from_flat(OFFSETS, columns(), **options)


# ---- construction ----------------------------------------------------------------------------------------------------


def test_constituents_are_sorted_by_falling_pt_with_all_their_fields() -> None:
    given, jets = columns(), five_jets()
    for i in range(5):
        rows = slice(OFFSETS[i], OFFSETS[i + 1])
        order = np.argsort(-given["pt"][rows], kind="stable")
        for field in ("pt", "eta", "mass", "charge", "ptype", "d0"):
            np.testing.assert_allclose(jets[i].flat(field), given[field][rows][order], rtol=1e-6)


def test_from_records_and_from_flat_columns_agree() -> None:
    records = ak.zip({name: ak.unflatten(values, COUNTS) for name, values in columns().items()})
    jets = Jets(records, label=[0, 1, 1, 9, 8])
    for field in jets.fields:
        np.testing.assert_array_equal(jets.flat(field), five_jets().flat(field))


def test_columns_are_read_only_and_small() -> None:
    jets = five_jets()
    assert jets.flat("pt").dtype == np.float32
    assert jets.flat("charge").dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        jets.flat("pt")[0] = 1.0


def test_equal_pt_keeps_the_given_order() -> None:
    same = {"pt": [10.0, 10, 10], "eta": [0.1, 0.2, 0.3], "phi": [0.0, 0, 0], "mass": [0.0, 0, 0]}
    np.testing.assert_allclose(Jets.from_flat([0, 3], same).flat("eta"), [0.1, 0.2, 0.3], rtol=1e-6)


# ---- angles ----------------------------------------------------------------------------------------------------------


def test_wrap_phi_is_the_identity_inside_and_lands_inside() -> None:
    inside = np.array([1e-6, -3.14159, 3.14159, 0.3], dtype=np.float32)
    np.testing.assert_array_equal(wrap_phi(inside), inside)
    outside = np.array([-np.pi, np.pi + 0.1, 7.0, -20.0, 3 * np.pi])
    wrapped = wrap_phi(outside)
    assert ((wrapped > -np.pi) & (wrapped <= np.pi)).all()
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * outside), atol=1e-12)
    assert np.isnan(wrap_phi([np.nan, 4.0])[0])
    assert wrap_phi(4) == pytest.approx(4 - 2 * np.pi)


def test_relative_angles_cross_the_seam() -> None:
    jets = Jets.from_flat([0, 2], {"pt": [100.0, 90], "eta": [0.0, 0.1], "phi": [3.1, -3.1], "mass": [0.0, 0]})
    assert np.abs(jets.flat("dphi")).max() < 0.05
    assert abs(jets.phi[0]) > 3.1


# ---- four-momenta ----------------------------------------------------------------------------------------------------


def test_momenta_agree_with_vector() -> None:
    jets = five_jets()
    vector.register_awkward()
    particles = ak.zip({f: ak.values_astype(jets.particles[f], np.float64) for f in ("pt", "eta", "phi", "mass")})
    total = ak.sum(ak.with_name(particles, "Momentum4D"), axis=1)
    for name in ("pt", "phi", "mass", "energy"):
        np.testing.assert_allclose(getattr(jets, name), ak.to_numpy(getattr(total, name)), rtol=1e-9, atol=2e-5)
    filled = COUNTS > 0
    np.testing.assert_allclose(jets.eta[filled], ak.to_numpy(total.eta)[filled], rtol=1e-9)
    np.testing.assert_allclose(jets.flat("energy"), ak.to_numpy(ak.flatten(jets.particles.energy)), rtol=1e-6)


def test_a_jet_without_constituents_has_no_momentum() -> None:
    empty = five_jets()[1]
    assert empty.multiplicity.tolist() == [0]
    assert [float(v[0]) for v in (empty.pt, empty.eta, empty.phi, empty.mass, empty.energy)] == [0] * 5


def test_unknown_field_lists_the_known() -> None:
    with pytest.raises(KeyError, match=r"no field 'pdgid'.*pt, eta.*deta"):
        five_jets().flat("pdgid")


# ---- selection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [slice(1, 4), [4, 0], np.array([True, False, True, False, True]), 3, -1, "Hbb"])
def test_selection_keeps_rows_together(where: object) -> None:
    jets = five_jets()
    index = np.array([1, 2]) if isinstance(where, str) else np.atleast_1d(np.arange(5)[where])
    chosen = jets[where]
    assert chosen.multiplicity.tolist() == COUNTS[index].tolist()
    assert chosen.label.tolist() == jets.label[index].tolist()
    assert chosen.info["split"].tolist() == jets.info["split"][index].tolist()
    np.testing.assert_allclose(chosen.p4, jets.p4[index])


def test_unknown_class_is_named() -> None:
    with pytest.raises(KeyError, match=r"'Higgs'.*Hbb"):
        five_jets().of_class("Higgs")
    with pytest.raises(KeyError, match="carry no labels"):
        five_jets(label=None).of_class("Hbb")


def test_leading_constituents() -> None:
    jets = five_jets()
    assert jets.leading(2).multiplicity.tolist() == [2, 0, 1, 2, 2]
    np.testing.assert_array_equal(jets.leading(100).flat("pt"), jets.flat("pt"))
    assert jets.leading(2)[3].flat("pt").tolist() == jets[3].flat("pt")[:2].tolist()


def test_added_columns_and_provenance_leave_the_original_alone() -> None:
    jets = five_jets()
    more = jets.with_info(score=np.arange(5)).with_meta(seed=3)
    assert set(more.info) == {"split", "score"}
    assert more.meta == {"source": "test", "seed": 3}
    assert set(jets.info) == {"split"}
    assert jets.meta == {"source": "test"}
    with pytest.raises(InvalidJetsError, match=r"score has shape \(3,\).*5 jets"):
        jets.with_info(score=[1, 2, 3])


def test_representation_names_size_classes_and_source() -> None:
    text = repr(five_jets())
    assert "5 jets, 11 constituents" in text
    assert "test" in text
    assert "Hbb 2" in text
    assert repr(five_jets()[:0]) == "<Jets: none>"


# ---- joining ---------------------------------------------------------------------------------------------------------


def test_concatenation_keeps_what_all_have() -> None:
    jets = five_jets()
    plain = Jets.from_flat([0, 2], {k: v[:2] for k, v in columns(1).items() if k != "d0"}, label=[3])
    joined = concatenate([jets, plain])
    assert len(joined) == 6
    assert "d0" not in joined.fields
    assert joined.info == {}
    np.testing.assert_allclose(joined.p4, np.concatenate([jets.p4, plain.p4]))
    assert concatenate([jets[:2], jets[2:]]).info["split"].tolist() == [0, 1, 2, 0, 1]
    assert concatenate([jets, five_jets(label=None)]).label is None


def test_nothing_and_other_classes_cannot_be_joined() -> None:
    with pytest.raises(InvalidJetsError, match="at least one"):
        concatenate([])
    with pytest.raises(InvalidJetsError, match="different class lists"):
        concatenate([five_jets(), five_jets(label=[0, 1, 1, 0, 0], classes=["a", "b"])])


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("pt", v) for v in (np.nan, -1.0, 0.0, 1e300)),
        *(("eta", v) for v in (np.inf, 50.0)),
        *(("phi", np.nan), ("mass", -2.0), ("d0", np.inf), ("ptype", 7), ("ptype", -2)),
    ],
)
def test_unphysical_numbers_are_named_by_field_jet_and_value(field: str, value: float) -> None:
    bad = columns()
    bad[field] = bad[field].astype(float)
    bad[field][3] = value
    with pytest.raises(InvalidJetsError, match=rf"constituent 0 of jet 2 has {field} = "):
        Jets.from_flat(OFFSETS, bad)


@pytest.mark.parametrize("value", [np.nan, 0.5, 300.0])
def test_charges_must_be_small_whole_numbers(value: float) -> None:
    bad = columns() | {"charge": np.full(OFFSETS[-1], value)}
    with pytest.raises(InvalidJetsError, match=r"charge of the constituents.*whole numbers"):
        Jets.from_flat(OFFSETS, bad)


@pytest.mark.parametrize("odd", [10, -1, 0.5, np.nan, "a"])
def test_labels_must_index_the_classes(odd: object) -> None:
    with pytest.raises(InvalidJetsError, match="label"):
        five_jets(label=[0, 1, 2, 3, odd])


@pytest.mark.parametrize(("name", "n"), [("label", 4), ("split", 6)])
def test_one_value_a_jet(name: str, n: int) -> None:
    change = {"label": np.zeros(n, int)} if name == "label" else {"info": {"split": np.zeros(n, int)}}
    with pytest.raises(InvalidJetsError, match=rf"{name} has shape \({n},\).*5 jets"):
        five_jets(**change)


@pytest.mark.parametrize("offsets", [[1, 11], [0, 7, 3, 11], [0.0, 11.0], [], [[0, 11]]])
def test_offsets_must_rise_from_zero(offsets: list) -> None:
    with pytest.raises(InvalidJetsError, match="offsets must be"):
        Jets.from_flat(offsets, columns())


def test_offsets_and_columns_must_agree() -> None:
    with pytest.raises(InvalidJetsError, match=r"column eta has shape \(10,\).*end at 11"):
        Jets.from_flat(OFFSETS, columns() | {"eta": columns()["eta"][1:]})


def test_missing_fields_and_shapes_are_named() -> None:
    with pytest.raises(InvalidJetsError, match="lack the fields phi; found pt, eta, mass"):
        Jets.from_flat(OFFSETS, {k: columns()[k] for k in ("pt", "eta", "mass")})
    with pytest.raises(InvalidJetsError, match="found ndarray"):
        Jets(np.zeros((3, 4)))  # type: ignore[arg-type]
    with pytest.raises(InvalidJetsError, match="1 dimensions"):
        Jets(ak.Array([{"pt": 1.0}]))


@pytest.mark.parametrize("mass", [[[0.0], [None]], [["a"], ["b"]], [[[1.0]], [[2.0]]], [[0.0], [True, 1.0]]])
def test_fields_must_be_plain_numbers(mass: list) -> None:
    good = ak.Array([[100.0], [200.0]])
    parts = {"pt": good, "eta": good * 0, "phi": good * 0, "mass": ak.Array(mass)}
    with pytest.raises((InvalidJetsError, ValueError), match=r"mass|broadcast"):
        Jets(ak.zip(parts, depth_limit=2))


def test_relative_and_mev_momenta_are_refused() -> None:
    relative = columns() | {"pt": columns()["pt"] / 1000}
    with pytest.raises(UnitsError, match=r"relative to the jet\?"):
        Jets.from_flat(OFFSETS, relative)
    with pytest.raises(UnitsError, match="MeV"):
        Jets.from_flat(OFFSETS, columns() | {"pt": columns()["pt"] * 1000})


def test_checks_can_be_left_out_and_errors_share_a_base() -> None:
    Jets.from_flat(OFFSETS, columns() | {"pt": columns()["pt"] / 1000}, check=False)
    assert issubclass(UnitsError, InvalidJetsError)
    assert issubclass(InvalidJetsError, JetLabError)
    assert five_jets().classes == CLASSES
