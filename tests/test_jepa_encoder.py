"""The encoder of HEP-JEPA: what it is invariant under, what it can be shown and told, its tokens."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import jetlab
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import JETCLASS_RECIPES, PET2_RECIPES, Feature, Recipe
from jetlab.jets import Jets
from jetlab.kernels.groups import farthest_points
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.jepa_pairs import pair_features
from jetlab.models.jepa_tokens import GroupTokens, momenta_of
from jetlab.models.part import interactions
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import identified_jets, toy_jets

SMALL = JetEncoderConfig(width=16, depth=2, heads=2, expansion=2, groups=5)

KINDS = ("particles", "groups", "subjets")


@pytest.fixture(scope="module")
def jets() -> Jets:
    return jetlab.load_jets("sample")[::400]


def seeded(config: JetEncoderConfig, seed: int = 0) -> JetEncoder:
    """An encoder of which no weight is what it was made with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = JetEncoder(config)
        for parameter in encoder.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder.eval()


def batch_of(jets: Jets, config: JetEncoderConfig = SMALL) -> ParticleBatch:
    return ParticleSet(jets, config.recipe, subjets=config.subjets).batch(np.arange(len(jets)))


def moved(jets: Jets, *, eta: float = 0.0, phi: float = 0.0) -> Jets:
    """Jets turned about the beam and boosted along it; constituents without mass keep their pT."""
    columns = {f: jets.flat(f) for f in jets.fields}
    angle = (columns["phi"] + phi + np.pi) % (2 * np.pi) - np.pi
    columns |= {"eta": columns["eta"] + eta, "phi": angle, "mass": np.zeros(len(angle))}
    return Jets.from_flat(jets.offsets, columns, label=jets.label)


# ---- configuration --------------------------------------------------------------------------------------------------


def test_presets_and_json() -> None:
    assert 200_000 < sum(p.numel() for p in JetEncoder(JetEncoderConfig.preset("tiny")).parameters()) < 300_000
    for kind in KINDS:
        config = JetEncoderConfig.preset("small", tokens=kind, physics_bias=False, registers=3, told=4)
        assert JetEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert (config.tokens, config.physics_bias, config.registers, config.told) == (kind, False, 3, 4)
        assert config.subjets == (16 if kind == "subjets" else 0)
        assert not config.needs_p4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 30, "heads": 4}, "width 30 cannot be split into 4 heads"),
        ({"tokens": "words"}, "tokens is 'words', expected one of particles, groups, subjets"),
        ({"centres": "middle"}, "centres is 'middle'"),
        ({"groups": 0}, "there are 0 groups of 8"),
        ({"recipe": Recipe("bare", (Feature("pt"),))}, "recipe bare has pt; expected deta, dphi and pt"),
    ],
)
def test_wrong_configurations_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JetEncoderConfig(**wrong)
    with pytest.raises(ValueError, match="unknown preset 'huge'; expected one of tiny, small, medium"):
        JetEncoderConfig.preset("huge")


# ---- what changes nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registers", [0, 2])
@pytest.mark.parametrize("tokens", KINDS)
def test_the_order_of_particles_does_not_matter(jets: Jets, tokens: str, registers: int) -> None:
    config = replace(SMALL, tokens=tokens, registers=registers)
    encoder, batch = seeded(config), batch_of(jets, config)
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(batch.mask.shape[1] - 1)])
    subjet = None if batch.subjet is None else batch.subjet[:, order]
    mixed = replace(batch, x=batch.x[:, order], mask=batch.mask[:, order], subjet=subjet)
    one, other = encoder.encode(batch), encoder.encode(mixed)
    torch.testing.assert_close(other.jet, one.jet, atol=2e-5, rtol=1e-4)
    if tokens == "particles":
        torch.testing.assert_close(other.particles, one.particles[:, order], atol=2e-5, rtol=1e-4)
        assert not other.particles[~mixed.mask].any()


@pytest.mark.parametrize("tokens", KINDS)
def test_padding_and_other_jets_do_not_matter(jets: Jets, tokens: str) -> None:
    config = replace(SMALL, tokens=tokens, registers=1)
    encoder, batch = seeded(config), batch_of(jets, config)
    together = encoder.encode(batch)
    assert not together.particles[~together.mask].any()
    for row in range(3):
        n = int(batch.mask[row].sum())
        subjet = None if batch.subjet is None else batch.subjet[row : row + 1, :n]
        alone = encoder.encode(replace(batch, x=batch.x[row : row + 1, :n], mask=batch.mask[row : row + 1, :n],
                                       label=None, subjet=subjet))  # fmt: skip
        torch.testing.assert_close(alone.jet[0], together.jet[row], atol=2e-5, rtol=1e-4)
    filled = replace(batch, x=torch.where(batch.mask[..., None], batch.x, 3.0))
    torch.testing.assert_close(encoder.encode(filled).jet, together.jet, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("tokens", KINDS)
def test_turning_jets_in_phi_does_not_matter(jets: Jets, tokens: str) -> None:
    config = replace(SMALL, tokens=tokens)
    encoder = seeded(config)
    still, turned = (encoder.encode(batch_of(moved(jets, phi=phi), config)).jet for phi in (0.0, 2.5))
    torch.testing.assert_close(turned, still, atol=2e-4, rtol=2e-3)
    mirrored = replace(batch := batch_of(jets, config), x=batch.x * torch.tensor([-1.0, 1, 1, 1]))
    assert not torch.allclose(encoder.encode(mirrored).jet, still, atol=1e-2)


@pytest.mark.parametrize("tokens", KINDS)
def test_pairs_do_not_change_in_boosts_along_the_beam(jets: Jets, tokens: str) -> None:
    """The inputs do: energies grow, and the pseudorapidity of a heavy jet moves by less than those of its particles."""
    config = replace(SMALL, tokens=tokens)
    encoder = seeded(config)
    assert encoder.pairs is not None
    still, boosted = (encoder.places(batch_of(moved(jets, eta=eta), config)) for eta in (0.0, 0.7))
    assert not torch.allclose(boosted.momenta[..., 1], still.momenta[..., 1], atol=1e-3)
    one, other = (encoder.pairs(places.momenta, places.mask) for places in (still, boosted))
    torch.testing.assert_close(other, one, atol=2e-3, rtol=2e-3)


def test_empty_jets_are_zero_and_learning_goes_on() -> None:
    for kind in ("particles", "groups"):
        encoder = seeded(replace(SMALL, tokens=kind, registers=2))
        batch = ParticleBatch(torch.randn(3, 6, 4), torch.arange(6) < torch.tensor([[6], [0], [1]]))
        found = encoder.encode(batch)
        assert not found.jet[1].any()
        found.jet.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


# ---- what it is shown and told --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", KINDS)
def test_hidden_tokens_have_no_part_in_what_is_shown(jets: Jets, tokens: str) -> None:
    """Neither values nor gradients of particles in hidden tokens reach the result."""
    config = replace(SMALL, tokens=tokens, registers=1)
    encoder, batch = seeded(config), batch_of(jets, config)
    places = encoder.places(batch)
    visible = torch.rand(places.mask.shape) < 0.5
    hidden = ~visible & places.mask
    x = batch.x.clone().requires_grad_()
    found = encoder.encode(replace(batch, x=x), visible=visible)
    assert torch.equal(found.mask, visible & places.mask)
    assert not found.particles[~found.mask].any()
    found.particles.square().sum().backward()
    of_hidden = particles_in(encoder, batch, hidden)
    assert of_hidden.any()
    assert x.grad is not None
    assert not x.grad[of_hidden].any()
    assert x.grad[particles_in(encoder, batch, found.mask)].any()
    harder = batch.x + of_hidden[..., None] * torch.tensor([0.0, 0.0, 1.0, 1.0])  # nobody moves
    changed = encoder.encode(replace(batch, x=harder), visible=visible)
    assert torch.equal(changed.particles, found.particles)
    assert not torch.equal(encoder.encode(replace(batch, x=harder)).jet, encoder.encode(batch).jet)


def particles_in(encoder: JetEncoder, batch: ParticleBatch, chosen: Tensor) -> Tensor:
    """Particles of these tokens, shape (B, N)."""
    if not isinstance(encoder.tokens, GroupTokens):
        return chosen
    jet, token, particle = encoder.tokens.members(batch, momenta_of(batch.x, encoder.config.recipe))
    found = torch.zeros_like(batch.mask)
    found[jet, particle] = chosen[jet, token]
    return found


def test_showing_all_is_the_same_as_hiding_nothing(jets: Jets) -> None:
    encoder, batch = seeded(SMALL), batch_of(jets)
    shown = encoder.encode(batch, visible=torch.ones_like(batch.mask))
    torch.testing.assert_close(shown.particles, encoder.encode(batch).particles)


def test_a_visible_part_is_encoded_as_a_jet_of_its_own(jets: Jets) -> None:
    encoder, batch = seeded(SMALL), batch_of(jets)
    first = torch.arange(batch.mask.shape[1]) < 5
    shown = encoder.encode(batch, visible=first.expand_as(batch.mask))
    alone = encoder.encode(replace(batch, x=batch.x[:, :5], mask=batch.mask[:, :5]))
    torch.testing.assert_close(shown.particles[:, :5], alone.particles, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("registers", [0, 2])
def test_in_order_particles_see_harder_ones_only(jets: Jets, registers: int) -> None:
    encoder, batch = seeded(replace(SMALL, registers=registers)), batch_of(jets)
    x = batch.x.clone().requires_grad_()
    found = encoder.encode(replace(batch, x=x), causal=True)
    found.particles[:, 4].square().sum().backward()
    assert x.grad is not None
    assert not x.grad[:, 5:].any()
    assert (x.grad[:, :5].abs().amax((0, 2)) > 0).all()
    if registers:
        again = encoder.encode(replace(batch, x=batch.x + 1), causal=True)
        assert found.tokens is not None
        assert torch.equal(again.tokens, found.tokens)
    with pytest.raises(JetLabError, match="this encoder reads groups, which have no order"):
        seeded(replace(SMALL, tokens="groups")).encode(batch, causal=True)


def test_what_it_is_told_starts_without_effect_and_then_has_one(jets: Jets) -> None:
    torch.manual_seed(0)
    config = replace(SMALL, told=3)
    encoder, batch = JetEncoder(config), batch_of(jets)
    time, cond = torch.rand(len(jets)), torch.randn(len(jets), 3)
    silent = encoder.encode(batch).jet
    assert torch.equal(encoder.encode(batch, time, cond).jet, silent)
    encoder.encode(batch, time, cond).jet.square().sum().backward()
    assert all(block.told.weight.grad.any() for block in encoder.blocks)
    trained = seeded(config)
    plain = trained.encode(batch).jet
    told = [
        trained.encode(batch, time).jet,
        trained.encode(batch, None, cond).jet,
        trained.encode(batch, time, cond).jet,
    ]
    for i, one in enumerate(told):
        assert not torch.allclose(one, plain, atol=1e-3)
        assert not any(torch.allclose(one, other, atol=1e-3) for other in told[i + 1 :])
    torch.testing.assert_close(trained.encode(replace(batch, cond=cond)).jet, told[1])
    with pytest.raises(InvalidJetsError, match="can be told 3 numbers about each jet, found 2"):
        trained.encode(batch, cond=cond[:, :2])
    untold = seeded(SMALL)
    assert torch.equal(untold.encode(replace(batch, cond=cond)).jet, untold.encode(batch).jet)


# ---- pairs ----------------------------------------------------------------------------------------------------------


def test_pairs_are_those_of_the_particle_transformer(jets: Jets) -> None:
    batch = batch_of(jets)
    momenta = momenta_of(batch.x, SMALL.recipe)
    pt, eta, phi, _ = momenta.double().unbind(-1)
    p4 = torch.stack([pt * eta.cosh(), pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()], -1)
    apart = batch.mask[:, :, None] & batch.mask[:, None]
    apart &= (momenta[:, :, None, 1:3] - momenta[:, None, :, 1:3]).square().sum(-1) > 1e-6
    found, published = pair_features(momenta[:, :, None], momenta[:, None]), interactions(p4[:, :, None], p4[:, None])
    torch.testing.assert_close(found[apart][:, :3].double(), published[apart][:, :3], atol=1e-4, rtol=1e-4)
    heavy = apart & (published[..., 3] > 0)
    torch.testing.assert_close(found[heavy][:, 3].double(), published[heavy][:, 3], atol=1e-3, rtol=1e-3)


def test_mass_of_pairs_of_groups() -> None:
    """Against the sum of the four-momenta of heavy tokens."""
    pt, y, phi, m2 = torch.tensor([[50.0, 0.2, -0.1, 9.0], [120.0, -0.3, 0.25, 400.0]], dtype=torch.float64).T
    mt = (pt.square() + m2).sqrt()
    energy, px, py, pz = (v.sum() for v in (mt * y.cosh(), pt * phi.cos(), pt * phi.sin(), mt * y.sinh()))
    momenta = torch.stack([pt, y, phi, m2], -1)
    found = pair_features(momenta[0], momenta[1])[3].exp()
    torch.testing.assert_close(found, energy.square() - px.square() - py.square() - pz.square())


def test_the_bias_is_a_choice(jets: Jets) -> None:
    batch = batch_of(jets)
    without = seeded(replace(SMALL, physics_bias=False))
    assert without.pairs is None
    biased = seeded(SMALL)
    assert biased.pairs is not None
    before = biased.encode(batch).jet
    biased.pairs.mlp[0].weight.data.zero_()
    assert not torch.allclose(biased.encode(batch).jet, before, atol=1e-4)


# ---- groups ---------------------------------------------------------------------------------------------------------


def test_farthest_points() -> None:
    points = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [3.0, 0.0], [1.0, 1.0], [9.0, 9.0]]])
    chosen, real = farthest_points(points, torch.tensor([[True, True, True, True, False]]), k=5)
    assert chosen[0, :4].tolist() == [0, 2, 3, 1]
    assert real[0].tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("centres", ["farthest", "hardest"])
def test_groups_share_out_the_particles(jets: Jets, centres: str) -> None:
    config = replace(SMALL, tokens="groups", centres=centres)
    encoder, batch = seeded(config), batch_of(jets)
    momenta = momenta_of(batch.x, config.recipe)
    jet, _, particle = encoder.tokens.members(batch, momenta)
    assert len(set(zip(jet.tolist(), particle.tolist(), strict=True))) == len(jet) == int(batch.mask.sum())
    places = encoder.places(batch)
    assert places.mask.all()
    energies = momenta[..., 0] * momenta[..., 1].cosh() * batch.mask
    mt = (places.momenta[..., 0].square() + places.momenta[..., 3]).sqrt()
    torch.testing.assert_close((mt * places.momenta[..., 1].cosh()).sum(1), energies.sum(1))


def test_overlapping_groups_are_the_nearest_particles(jets: Jets) -> None:
    config = replace(SMALL, tokens="groups", overlap=True, group_size=4)
    encoder, batch = seeded(config), batch_of(jets)
    momenta = momenta_of(batch.x, config.recipe)
    jet, token, particle = encoder.tokens.members(batch, momenta)
    chosen, _ = farthest_points(momenta[..., 1:3], batch.mask, k=5)
    for group in (0, 3):
        own = particle[(jet == 7) & (token == group)]
        distance = (momenta[7, :, 1:3] - momenta[7, chosen[7, group], 1:3]).square().sum(-1)
        nearest = distance.masked_fill(~batch.mask[7], 9.0).argsort()[:4]
        assert set(own.tolist()) == set(nearest.tolist())


def test_small_jets_have_fewer_groups() -> None:
    batch = ParticleBatch(torch.randn(2, 7, 4), torch.arange(7) < torch.tensor([[7], [3]]))
    for overlap in (False, True):
        encoder = seeded(replace(SMALL, tokens="groups", overlap=overlap))
        assert encoder.encode(batch).mask.sum(1).tolist() == [5, 3]


def test_subjets_must_be_there(jets: Jets) -> None:
    encoder = seeded(replace(SMALL, tokens="subjets"))
    with pytest.raises(InvalidJetsError, match="the batch does not tell which particle is in which"):
        encoder.encode(batch_of(jets))


# ---- inputs and heads -----------------------------------------------------------------------------------------------


def test_other_recipes_and_codes() -> None:
    batch = batch_of(identified_jets(), replace(SMALL, recipe=PET2_RECIPES["types"]))
    encoder = seeded(replace(SMALL, recipe=PET2_RECIPES["types"]))
    x = batch.x.clone()
    x[:, :, 4] = 1 + (x[:, :, 4] + 2) % 8
    assert not torch.allclose(encoder.encode(replace(batch, x=x)).jet, encoder.encode(batch).jet, atol=1e-3)
    with pytest.raises(InvalidJetsError, match="particle codes go up to 9, expected 0 to 8"):
        encoder.encode(replace(batch, x=x * 0 + 9))
    for name in ("kin", "full"):
        config = replace(SMALL, recipe=JETCLASS_RECIPES[name])
        found = seeded(config).encode(batch_of(identified_jets(), config))
        assert torch.isfinite(found.jet).all()


def test_momenta_are_those_of_the_jets(jets: Jets) -> None:
    for recipe in (PET2_RECIPES["kin"], JETCLASS_RECIPES["kin"]):
        data = ParticleSet(jets, recipe)
        batch = data.batch(np.arange(len(jets)))
        rows = recipe.kept(jets)
        np.testing.assert_allclose(momenta_of(batch.x, recipe)[batch.mask][:, 0], jets.flat("pt")[rows], rtol=1e-4)
        np.testing.assert_allclose(
            momenta_of(batch.x, recipe)[batch.mask][:, 2], jets.flat("dphi")[rows], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("tokens", KINDS)
@pytest.mark.parametrize("head", ["mlp", "summation", "class-attention"])
def test_every_head_stands_on_it(tmp_path, tokens: str, head: str) -> None:
    hidden = (8,) if head == "mlp" else ()
    tagger = Tagger(TaggerConfig(replace(SMALL, tokens=tokens), hidden=hidden, head=head)).eval()
    batch = tagger.prepare(toy_jets(12)).batch(np.arange(12))
    again = from_pretrained(save_pretrained(tagger, tmp_path / "model"))
    torch.testing.assert_close(again(batch), tagger(batch))
    assert tagger(batch).shape == (12, 10)
