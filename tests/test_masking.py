"""Masks: their shares, what is near, what they depend on; jets changed before they are drawn; subjets."""

from __future__ import annotations

import json

import fastjet
import numpy as np
import pytest
import torch

import jetlab
from jetlab.batches import ParticleSet
from jetlab.data.subjets import exclusive_subjets
from jetlab.errors import JetLabError
from jetlab.features import PET2_RECIPES
from jetlab.features.augment import Augmentations
from jetlab.jets import Jets
from jetlab.masking import MaskedSet, Masking, Masks, nearest_order
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig

from .toys import toy_jets

RECIPE = PET2_RECIPES["kin"]


def tokens(counts: list[int], *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random places (B, T, 3) of so many tokens in each jet, and their mask (B, T)."""
    rng = np.random.default_rng(seed)
    mask = np.arange(max(counts)) < np.array(counts)[:, None]
    places = np.concatenate([rng.exponential(20, (*mask.shape, 1)), rng.normal(0, 0.2, (*mask.shape, 2))], -1)
    return places, mask


def drawn(masking: Masking, counts: list[int], *, seed: int = 0) -> Masks:
    places, mask = tokens(counts)
    masks = masking.draw(places, mask, np.random.default_rng(seed))
    assert not (masks.context & ~mask).any()
    assert not (masks.targets & ~mask[:, None]).any()
    return masks


# ---- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["contiguous", "random"])
@pytest.mark.parametrize("context", ["contiguous", "random"])
def test_targets_and_context_have_their_shares(kind: str, context: str) -> None:
    count = 100
    masks = drawn(Masking(kind=kind, context=context, separate=False), [count] * 400)
    sizes = masks.targets.sum(2)
    assert sizes.shape == (400, 4)
    assert sizes.min() == 15
    assert sizes.max() == 20
    assert np.unique(sizes[:, 0]).size > 3, "every jet draws its own"
    shown = masks.context.sum(1)
    assert 40 <= shown.min() < 45
    assert 70 < shown.max() <= 75
    assert 0.5 < masks.targets.any(1).mean() * 100 / 50 < 1.2


def test_shown_and_hidden_are_separate() -> None:
    for kind in ("contiguous", "random", "momentum"):
        for context in ("contiguous", "random", "rest"):
            masks = drawn(Masking(kind=kind, context=context), list(range(1, 60)) * 3)
            assert not (masks.context & masks.targets.any(1)).any()
            assert masks.context.any(1).all()
            several = np.arange(1, 60).repeat(1).tolist() * 3
            assert masks.targets.any((1, 2))[np.array(several) > 1].all()
            if context == "rest":
                _, mask = tokens(several)
                np.testing.assert_array_equal(masks.context | masks.targets.any(1), mask)


def test_few_tokens_are_shared_out_sensibly() -> None:
    masks = drawn(Masking(targets=6), [1, 2, 3] * 50)
    assert masks.context.any(1).all()
    assert not masks.targets[::3].any()
    assert (masks.targets[1::3, 0].sum(1) == 1).all()
    assert (masks.context[1::3].sum(1) == 1).all()
    empty = Masking().draw(np.zeros((2, 4, 3)), np.zeros((2, 4), bool), np.random.default_rng(0))
    assert not empty.context.any()
    assert not empty.targets.any()


def test_random_targets_are_uniform() -> None:
    masks = drawn(Masking(kind="random", targets=1, target_share=(0.3, 0.3)), [20] * 2000)
    np.testing.assert_allclose(masks.targets[:, 0].mean(0), 0.3, atol=0.05)


def test_contiguous_targets_are_near_each_other() -> None:
    places, mask = tokens([60] * 200)
    spread = {}
    for kind in ("contiguous", "random"):
        masks = Masking(kind=kind, targets=1).draw(places, mask, np.random.default_rng(0))
        spread[kind] = np.mean([places[i, masks.targets[i, 0], 1:].std(0).mean() for i in range(200)])
    assert spread["contiguous"] < 0.6 * spread["random"]


def test_shares_of_momentum() -> None:
    places, mask = tokens([50] * 300)
    masks = Masking(kind="momentum", targets=1, target_share=(0.3, 0.3)).draw(places, mask, np.random.default_rng(0))
    pt = places[..., 0]
    taken = (pt * masks.targets[:, 0]).sum(1) / pt.sum(1)
    assert (taken >= 0.3).all(), "until the share is reached"
    without_one = [((pt[i] * masks.targets[i, 0]).sum() - pt[i][masks.targets[i, 0]].max()) for i in range(300)]
    assert (np.array(without_one) / pt.sum(1) < 0.3).all(), "and no more"
    assert masks.targets[:, 0].sum(1).std() > 1


def test_the_walk_to_the_nearest() -> None:
    points = np.array([[[0.0, 0.0], [0.3, 0.0], [0.1, 0.0], [-0.05, 0.0], [9.0, 9.0]]])
    order = nearest_order(points, np.array([[True, True, True, True, False]]))
    assert order.tolist() == [[1, 3, 2, 0, 4]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "blocks"}, "kind is 'blocks'"),
        ({"context": "none"}, "context 'none'"),
        ({"targets": 0}, "targets is 0, expected 1 or more"),
        ({"target_share": (0.5, 0.2)}, r"target_share is \(0.5, 0.2\), expected two rising numbers"),
        ({"context_share": (0.0, 0.2)}, "context_share is"),
    ],
)
def test_wrong_masks_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Masking(**wrong)


def test_json() -> None:
    masking = Masking("random", 2, (0.1, 0.3), "rest", separate=False)
    assert Masking.from_dict(json.loads(json.dumps(masking.to_dict()))) == masking
    augment = Augmentations(rotate=False, split=0.2)
    assert Augmentations.from_dict(json.loads(json.dumps(augment.to_dict()))) == augment


# ---- batches with masks ---------------------------------------------------------------------------------------------


def masked(jets: Jets, *, tokens: str = "particles", seed: int = 0, augment: Augmentations | None = None) -> MaskedSet:
    config = JetEncoderConfig(width=8, depth=1, heads=1, tokens=tokens, groups=6)
    particles = ParticleSet(jets, RECIPE, subjets=config.subjets)
    return MaskedSet(particles, Masking(), places=JetEncoder(config).places, seed=seed, augment=augment)


@pytest.mark.parametrize("tokens", ["particles", "groups", "subjets"])
def test_masks_depend_on_seed_and_rows_alone(tokens: str) -> None:
    jets, rows = toy_jets(40, low=5), np.arange(3, 30)
    augment = Augmentations(split=0.2)
    one, same = (masked(jets, tokens=tokens, augment=augment).batch(rows) for _ in range(2))
    assert torch.equal(one.batch.x, same.batch.x)
    assert torch.equal(one.context, same.context)
    assert torch.equal(one.targets, same.targets)
    assert one.targets.shape == (27, 4, one.batch.mask.shape[1] if tokens == "particles" else 6)
    for other in (
        masked(jets, tokens=tokens, seed=1).batch(rows),
        masked(jets, tokens=tokens).batch(rows[::-1].copy()),
    ):
        assert other.targets.shape != one.targets.shape or not torch.equal(other.targets, one.targets)


def test_a_masked_set_is_like_its_particles() -> None:
    jets = toy_jets(12)
    data = masked(jets)
    assert len(data) == 12
    np.testing.assert_array_equal(data.lengths, jets.multiplicity)
    batch = data.batch(np.arange(4)).to("cpu")
    assert torch.equal(batch.batch.x, data.particles.batch(np.arange(4)).x)
    assert batch.label is not None
    assert batch.label.tolist() == [0, 1, 2, 3]
    assert "seed 0" in data.drawn


def test_each_jet_draws_its_own_masks() -> None:
    jets = toy_jets(1, low=18, high=19)
    same = Jets.from_flat(
        np.arange(0, 18 * 30 + 1, 18), {f: np.tile(jets.flat(f), 30) for f in jets.fields}
    )  # thirty times the same jet
    targets = masked(same).batch(np.arange(30)).targets[:, 0]
    assert len({tuple(row.tolist()) for row in targets}) > 10


# ---- changes of jets ------------------------------------------------------------------------------------------------


def changed(jets: Jets, augment: Augmentations, *, seed: int = 0) -> tuple[Jets, Jets]:
    """Jets before and after, of massless particles around the axis."""
    batch = ParticleSet(jets, RECIPE).batch(np.arange(len(jets)))
    x, mask, _ = augment(batch.x, batch.mask, RECIPE, torch.Generator().manual_seed(seed))
    pt = np.where(mask, x[..., 2], -1e3)
    assert (np.diff(pt, axis=1)[mask[:, 1:]] <= 0).all(), "sorted by pT"
    ends = [np.concatenate([[0], np.cumsum(m.sum(1).numpy())]) for m in (batch.mask, mask)]
    return tuple(
        RECIPE.inverse(values[m].double().numpy(), offsets)
        for values, m, offsets in zip((batch.x, x), (batch.mask, mask), ends, strict=True)
    )


OFF = {"rotate": False, "reflect": False, "shift": 0.0, "smear": 0.0}


@pytest.fixture(scope="module")
def jets() -> Jets:
    return jetlab.load_jets("sample")[::200]


@pytest.mark.parametrize("change", [{"rotate": True}, {"reflect": True}, {"shift": 0.1}])
def test_jets_move_as_a_whole(jets: Jets, change: dict) -> None:
    before, after = changed(jets, Augmentations(**(OFF | change)))
    np.testing.assert_allclose(after.flat("pt"), before.flat("pt"), rtol=1e-5)
    assert np.abs(after.flat("eta") - before.flat("eta")).mean() > 0.01
    for row in range(len(jets)):
        one, other = (np.stack([j[row : row + 1].flat(f) for f in ("eta", "phi")], 1) for j in (before, after))
        between = [np.hypot(*(v[:, None] - v[None]).T) for v in (one, other)]
        np.testing.assert_allclose(between[1], between[0], atol=1e-5)


def test_changes_differ_from_jet_to_jet(jets: Jets) -> None:
    before, after = changed(jets, Augmentations(**(OFF | {"rotate": True})))
    hardest = [j.offsets[:-1] for j in (before, after)]
    angle = [np.arctan2(j.flat("eta")[i], j.flat("phi")[i]) for j, i in zip((before, after), hardest, strict=True)]
    turned = (angle[1] - angle[0]) % (2 * np.pi)
    assert turned.std() > 1.5


def test_energies_follow(jets: Jets) -> None:
    """They are those of massless particles around the true axis, on the side that pT and energy tell."""
    light = Jets.from_flat(
        jets.offsets, {f: jets.flat(f) for f in ("pt", "eta", "phi")} | {"mass": 0 * jets.flat("pt")}
    )
    batch = ParticleSet(light, RECIPE).batch(np.arange(len(light)))
    augment = Augmentations(**(OFF | {"reflect": True, "rotate": True, "shift": 0.05}))
    x, mask, _ = augment(batch.x, batch.mask, RECIPE, torch.Generator().manual_seed(0))
    ratio = (x[..., 3] - x[..., 2]).exp()
    true = np.cosh(light.eta[:, None] + x[..., 0].numpy())
    central = (np.abs(light.eta) < 0.1)[:, None]  # the side is not known, and nearly without effect
    np.testing.assert_allclose(ratio[mask], true[mask.numpy()], rtol=0.15)
    np.testing.assert_allclose(ratio[mask & ~torch.from_numpy(central)], true[mask.numpy() & ~central], rtol=3e-3)


def test_smearing_has_its_resolution(jets: Jets) -> None:
    batch = ParticleSet(jets, RECIPE).batch(np.arange(len(jets)))
    augment = Augmentations(**(OFF | {"smear": 0.1}))
    x, mask, origin = augment(batch.x, batch.mask, RECIPE, torch.Generator().manual_seed(0))
    old = batch.x.gather(1, origin[..., None].expand_as(x))
    pt, new = old[..., 2].exp(), x[..., 2].exp()
    pull = ((new / pt - 1) * pt.sqrt() / 0.1)[mask & (pt > 1)]
    assert abs(float(pull.mean())) < 0.05
    assert float(pull.std()) == pytest.approx(1, abs=0.05)
    torch.testing.assert_close((x[..., 3] - x[..., 2])[mask], (old[..., 3] - old[..., 2])[mask], atol=1e-4, rtol=1e-4)


def test_splitting_is_collinear(jets: Jets) -> None:
    before, after = changed(jets, Augmentations(**(OFF | {"split": 0.3})))
    assert after.multiplicity.sum() / before.multiplicity.sum() == pytest.approx(1.3, abs=0.03)
    sums = [np.add.reduceat(j.flat("pt"), j.offsets[:-1]) for j in (before, after)]
    np.testing.assert_allclose(sums[1], sums[0], rtol=1e-4)
    np.testing.assert_allclose(after.mass, before.mass, rtol=0.2)
    assert np.abs(after.pt / before.pt - 1).max() < 0.02


def test_split_particles_stay_in_their_subjets() -> None:
    jets = toy_jets(20, low=10)
    data = masked(jets, tokens="subjets", augment=Augmentations(**(OFF | {"split": 0.5})))
    batch = data.batch(np.arange(20)).batch
    clean = data.particles.batch(np.arange(20))
    assert batch.subjet is not None
    assert clean.subjet is not None
    for number in range(6):
        pt = [(b.x[..., 2].exp() * b.mask * (b.subjet == number)).sum(1) for b in (clean, batch)]
        torch.testing.assert_close(pt[1], pt[0], rtol=1e-4, atol=1e-3)
    assert (batch.subjet[~batch.mask] == -1).all()


def test_what_cannot_be_changed_is_refused() -> None:
    from jetlab.features import PET_RECIPE

    with pytest.raises(ValueError, match=r"recipe omnilearn has .*; augmentations need deta, dphi and pt"):
        Augmentations().check(PET_RECIPE)
    with pytest.raises(ValueError, match="shift is -1"):
        Augmentations(shift=-1)


# ---- subjets --------------------------------------------------------------------------------------------------------


def test_subjets_are_those_of_fastjet(jets: Jets) -> None:
    """Against its classic interface, jet by jet."""
    found = exclusive_subjets(jets, 5)
    definition = fastjet.JetDefinition(fastjet.kt_algorithm, 1.5)
    for row in range(0, len(jets), 7):
        part, own = jets[row : row + 1], found[jets.offsets[row] : jets.offsets[row + 1]]
        energy, px, py, pz = part.flat_p4.astype(float).T
        particles = [fastjet.PseudoJet(*map(float, p)) for p in zip(px, py, pz, energy, strict=True)]
        subjets = fastjet.sorted_by_pt(fastjet.ClusterSequence(particles, definition).exclusive_jets(5))
        for number, subjet in enumerate(subjets):
            mine = own == number
            assert np.hypot(px[mine].sum(), py[mine].sum()) == pytest.approx(subjet.pt(), rel=1e-5)


def test_small_jets_are_their_own_subjets() -> None:
    jets = toy_jets(10, low=2, high=5)
    np.testing.assert_array_equal(
        exclusive_subjets(jets, 5), np.concatenate([np.arange(n) for n in jets.multiplicity.tolist()])
    )
    with pytest.raises(JetLabError, match="0 subjets were asked for"):
        exclusive_subjets(jets, 0)
