"""PET and OmniLearn: sizes, what the two functions depend on, heads, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import jetlab
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET_JET_RECIPE, PET_RECIPE, Recipe
from jetlab.jets import Jets
from jetlab.models.omnilearn import OmniLearn, OmniLearnConfig
from jetlab.models.pet import PET, PETConfig
from jetlab.models.pet_layers import JetAttention, JetNorm, LocalEmbedding, TimeEmbedding, dropped
from jetlab.models.prior import Prior
from jetlab.models.tagger import Tagger, TaggerConfig

from .toys import identified_jets, toy_jets

KINEMATIC = Recipe("kinematic", PET_RECIPE.features[:7], max_distance=None, fill=0.0)


def seeded(model: type[torch.nn.Module], config: object, *, seed: int = 0) -> torch.nn.Module:
    """A model in which nothing starts at zero or one, so that every part shows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = model(config)  # type: ignore[call-arg]
        for parameter in made.parameters():
            if parameter.ndim < 2:
                parameter.data += 0.3 * torch.randn(parameter.shape)
    return made.eval()


def jets() -> Jets:
    """Short and long jets of particles with charge and type."""
    return identified_jets(6)


def batch_of(config: PETConfig | OmniLearnConfig, sample: Jets | None = None) -> ParticleBatch:
    sample = jets() if sample is None else sample
    return ParticleSet(sample, config.recipe, conditions=PET_JET_RECIPE).batch(np.arange(len(sample)))


def widened(batch: ParticleBatch, slots: int, *, value: float = 0.0) -> ParticleBatch:
    """The same jets with more padded slots."""
    pad = torch.nn.functional.pad
    return replace(batch, x=pad(batch.x, (0, 0, 0, slots), value=value), mask=pad(batch.mask, (0, slots)))


TINY = PETConfig.preset("tiny")
PUBLISHED = replace(TINY, normalise_padding=True, slots=24)


def omnilearn(**options: object) -> OmniLearn:
    return seeded(OmniLearn, replace(OmniLearnConfig.preset("tiny"), **options))  # type: ignore[arg-type, return-value]


# ---- sizes ----------------------------------------------------------------------------------------------------------


def test_the_published_model_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = OmniLearn(OmniLearnConfig.preset("published"))
    parts = (model.body, model.classifier, model.generator)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [1_318_784, 269_326, 417_165]
    assert model.recipe.width == 13
    assert model.features_generated == 3


def test_configurations_survive_json() -> None:
    for name in ("published", "small", "tiny"):
        config = OmniLearnConfig.preset(name)
        assert OmniLearnConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    bare = replace(config, conditions=None, body=replace(config.body, talking_heads=True))
    assert OmniLearnConfig.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


def test_models_are_saved_and_loaded(tmp_path) -> None:
    model = omnilearn()
    found = jetlab.from_pretrained(jetlab.save_pretrained(model, tmp_path / "mine"))
    assert isinstance(found, OmniLearn)
    batch = batch_of(model.config)
    with torch.no_grad():
        torch.testing.assert_close(found.classify(batch), model.classify(batch))


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of published, small, tiny"):
        PETConfig.preset("huge")
    with pytest.raises(ValueError, match="need slots, more than the 5 neighbours; found None"):
        replace(TINY, normalise_padding=True)
    with pytest.raises(ValueError, match="found neither"):
        OmniLearnConfig(TINY, classifier=False, generator=False)
    with pytest.raises(ValueError, match="14 features are to be generated, the body has 13 inputs"):
        OmniLearnConfig(TINY, prior=Prior.standard(14))
    with pytest.raises(ValueError, match="one positive deviation a feature"):
        Prior((0.0,), (0.0,))


# ---- the two functions ----------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("talking", [False, True])
def test_real_particles_alone_matter(talking: bool) -> None:
    """Neither slots, nor what is in them, nor the order of particles, nor the other jets of the batch."""
    body = seeded(PET, replace(TINY, talking_heads=talking))
    batch = batch_of(TINY)
    expected = body.encode(batch)
    wide = body.encode(widened(batch, 7, value=3.0))
    torch.testing.assert_close(wide.jet, expected.jet, rtol=1e-4, atol=1e-5)
    assert not wide.particles[:, expected.particles.shape[1] :].any()
    turned = body.encode(replace(batch, x=batch.x.flip(1), mask=batch.mask.flip(1)))
    torch.testing.assert_close(turned.particles.flip(1), expected.particles, rtol=1e-4, atol=1e-5)
    few = int(batch.mask[0].sum())
    alone = body.encode(ParticleBatch(batch.x[:1, :few], batch.mask[:1, :few]))
    torch.testing.assert_close(alone.jet, expected.jet[:1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_published_function_depends_on_its_slots_and_not_on_those_of_the_batch() -> None:
    body, batch = seeded(PET, PUBLISHED), batch_of(PUBLISHED)
    expected = body.encode(batch).jet
    torch.testing.assert_close(body.encode(widened(batch, 5)).jet, expected)
    torch.testing.assert_close(body.encode(widened(batch, 30)).jet, expected)
    longer = seeded(PET, replace(PUBLISHED, slots=40))
    longer.load_state_dict(body.state_dict())
    assert (longer.encode(batch).jet - expected).abs().max() > 1e-2
    ours = seeded(PET, TINY)
    ours.load_state_dict(body.state_dict())
    assert (ours.encode(batch).jet - expected).abs().max() > 1e-2


@torch.no_grad()
def test_without_padding_both_are_the_same_function() -> None:
    sample = toy_jets(4, low=12, high=13)
    published = seeded(PET, replace(TINY, recipe=KINEMATIC, normalise_padding=True, slots=12))
    ours = seeded(PET, replace(TINY, recipe=KINEMATIC))
    ours.load_state_dict(published.state_dict())
    batch, time = batch_of(ours.config, sample), torch.rand(4)
    expected = published.encode(batch, time).particles
    torch.testing.assert_close(ours.encode(batch, time).particles, expected, rtol=1e-4, atol=1e-4)


def test_more_particles_than_slots_are_refused() -> None:
    body = seeded(PET, replace(PUBLISHED, slots=8))
    with pytest.raises(InvalidJetsError, match=r"a jet reaches to slot \d+, but this model was made for 8"):
        body.encode(batch_of(PUBLISHED))


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, PUBLISHED])
def test_empty_jets_and_single_particles_are_finite(config: PETConfig) -> None:
    model = seeded(OmniLearn, OmniLearnConfig(config))
    batch = batch_of(model.config)
    mask = batch.mask.clone()
    mask[0], mask[1, 1:] = False, False
    batch = replace(batch, mask=mask)
    out = model.denoise(batch, torch.rand(6), batch.label)
    assert model.classify(batch).isfinite().all()
    assert out.velocity.isfinite().all()
    assert not model.encode(batch).jet[0].any()


@torch.no_grad()
def test_time_zero_is_no_time_and_others_change_the_particles() -> None:
    body, batch = seeded(PET, TINY), batch_of(TINY)
    clean = body.encode(batch).particles
    torch.testing.assert_close(body.encode(batch, torch.zeros(6)).particles, clean)
    assert (body.encode(batch, torch.full((6,), 0.5)).particles - clean).abs().max() > 1e-2


def test_gradients_reach_every_weight() -> None:
    model = seeded(OmniLearn, OmniLearnConfig(replace(TINY, talking_heads=True))).train()
    batch = batch_of(model.config)
    judged, out = model.judge(batch), model.denoise(batch, torch.rand(6), batch.label)
    (judged.logits.square().sum() + judged.cond.square().sum() + out.velocity.square().sum()).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    # the bias of keys moves all scores of a query alike; talking heads mix them before the softmax, with the same end
    assert {name for name in idle if "key.bias" not in name and "before.bias" not in name} == set()


def test_a_tagger_stands_on_it() -> None:
    tagger = Tagger(TaggerConfig(TINY, hidden=())).eval()
    assert Tagger.from_config(json.loads(json.dumps(tagger.config_dict()))).config == tagger.config
    assert tagger(ParticleSet(jets(), tagger.recipe).batch(np.arange(6))).shape == (6, 10)


def test_numbers_about_the_jet_are_for_the_heads() -> None:
    with pytest.raises(JetLabError, match="its heads do"):
        seeded(PET, TINY).encode(batch_of(TINY), cond=torch.zeros(6, 4))


# ---- layers ---------------------------------------------------------------------------------------------------------


def test_the_norm_is_over_particles_and_channels() -> None:
    norm, x = JetNorm(4), torch.randn(3, 5, 4)
    expected = torch.nn.functional.layer_norm(x, (5, 4), eps=1e-3)
    torch.testing.assert_close(norm(x), expected)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    part = norm(x, mask)
    torch.testing.assert_close(part[1:2, :3], torch.nn.functional.layer_norm(x[1:2, :3], (3, 4), eps=1e-3))
    torch.testing.assert_close(part[:1], expected[:1])


def test_talking_heads_that_do_not_mix_are_plain_ones() -> None:
    attention = JetAttention(8, 2, talking=True)
    for mix in (attention.before, attention.after):
        torch.nn.init.eye_(mix.weight)
        torch.nn.init.zeros_(mix.bias)
    plain = JetAttention(8, 2)
    plain.load_state_dict({n: v for n, v in attention.state_dict().items() if n in plain.state_dict()})
    x, mask = torch.randn(3, 5, 8), torch.arange(5) < torch.tensor([[5], [3], [1]])
    for seen in (None, mask):
        torch.testing.assert_close(attention(x, seen), plain(x, seen), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="width 8 cannot be split into 3 heads"):
        JetAttention(8, 3)


@torch.no_grad()
def test_neighbourhoods_are_means_over_pairs() -> None:
    layer, mask = LocalEmbedding(3, 4, 2), torch.tensor([[True] * 4, [True, True, False, False]])
    x, points = torch.randn(2, 4, 3), torch.randn(2, 4, 2)
    found = layer(points, x, mask, mask)
    for jet, count in ((0, 4), (1, 2)):
        distance = torch.cdist(points[jet, :count], points[jet, :count])
        for i in range(count):
            near = [int(j) for j in distance[i].argsort() if j != i][:2]
            pairs = torch.stack([torch.cat([x[jet, j] - x[jet, i], x[jet, i]]) for j in near])
            gelu = torch.nn.functional.gelu
            expected = gelu(layer.last(gelu(layer.first(pairs)))).mean(0)
            torch.testing.assert_close(found[jet, i], expected, rtol=1e-5, atol=1e-6)
    assert not found[1, 2:].any()
    torch.testing.assert_close(layer(points, x, mask)[0], found[0], rtol=1e-5, atol=1e-6)


def test_frequencies_fall_from_a_thousand_to_a_tenth() -> None:
    embedding = TimeEmbedding(8)
    embedding.layers = torch.nn.Identity()
    time = torch.tensor([0.0, 2e-4])
    waves = embedding(time)
    assert not waves[0].any()
    torch.testing.assert_close(waves[1, 0], torch.sin(torch.tensor(0.2)) * 2e-4)
    torch.testing.assert_close(waves[1, 31], torch.sin(torch.tensor(2e-5)) * 2e-4)
    torch.testing.assert_close(waves[1, 63], torch.tensor(2e-4))


def test_dropped_rows_are_whole_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 3, 2)
    kept = dropped(x, 0.25, training=True)
    assert kept.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert torch.equal(kept[:, :1, :1].expand_as(kept), kept)
    assert kept.mean() == pytest.approx(1, abs=0.03)
    assert torch.equal(dropped(x, 0.25, training=False), x)


# ---- heads ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_denoising_reads_only_what_is_generated() -> None:
    model = omnilearn()
    batch, time = batch_of(model.config), torch.rand(6)
    out = model.denoise(batch, time, batch.label)
    assert out.velocity.shape == (*batch.mask.shape, 3)
    assert out.logits.shape == (6, 10)
    assert out.cond.shape == (6, 4)
    assert not out.velocity[~batch.mask].any()
    bare = replace(batch, x=batch.x[..., :3])
    torch.testing.assert_close(model.denoise(bare, time, batch.label).velocity, out.velocity)
    clean = model.judge(replace(batch, x=torch.nn.functional.pad(batch.x[..., :3], (0, 10))))
    torch.testing.assert_close(model.denoise(batch, torch.zeros(6)).logits, clean.logits)


@torch.no_grad()
def test_guidance_goes_from_any_class_beyond_the_one_that_is_asked_for() -> None:
    model = omnilearn()
    batch, time = batch_of(model.config), torch.rand(6)
    told, anyone = model.denoise(batch, time, batch.label).velocity, model.denoise(batch, time).velocity
    assert (told - anyone).abs().max() > 1e-2
    guided = model.denoise(batch, time, batch.label, guidance=1.5).velocity
    torch.testing.assert_close(guided, 2.5 * told - 1.5 * anyone, rtol=1e-4, atol=1e-5)
    back = model.denoise(batch, time, batch.label, guidance=-1.0).velocity
    torch.testing.assert_close(back, anyone, rtol=1e-4, atol=1e-5)
    with pytest.raises(JetLabError, match=r"guidance is 1\.5, but there are no classes"):
        model.denoise(batch, time, guidance=1.5)


def test_classes_and_features_are_dropped_in_training_only() -> None:
    model = omnilearn(label_drop=0.999999, body=replace(TINY, feature_drop=0.0))
    batch, time = batch_of(model.config), torch.rand(6)
    with torch.no_grad():
        anyone = model.denoise(batch, time).velocity
        torch.testing.assert_close(model.train().denoise(batch, time, batch.label).velocity, anyone)
    body, x = seeded(PET, replace(TINY, feature_drop=0.999999)), batch.x
    with torch.no_grad():
        hidden = body.encode(replace(batch, x=torch.cat([x[..., :7], torch.zeros_like(x[..., 7:])], -1))).jet
        assert (body.encode(batch).jet - hidden).abs().max() > 1e-3
        torch.testing.assert_close(body.train().encode(batch).jet, hidden)


@torch.no_grad()
def test_numbers_about_the_jet_change_both_heads() -> None:
    model = omnilearn()
    batch, time = batch_of(model.config), torch.rand(6)
    other = replace(batch, cond=batch.cond + 1)
    assert (model.classify(other) - model.classify(batch)).abs().max() > 1e-3
    assert (model.denoise(other, time).velocity - model.denoise(batch, time).velocity).abs().max() > 1e-3
    alone = omnilearn(conditions=None)
    assert alone.judge(replace(batch, cond=None)).cond is None
    with pytest.raises(InvalidJetsError, match="told 4 numbers about every jet, the batch has none"):
        model.classify(replace(batch, cond=None))
    with pytest.raises(InvalidJetsError, match=r"the batch has cond of shape \(6, 3\)"):
        model.classify(replace(batch, cond=batch.cond[:, :3]))


def test_heads_that_are_not_there_are_named() -> None:
    batch = batch_of(TINY)
    with pytest.raises(JetLabError, match="no classifier head: it generates only"):
        omnilearn(classifier=False).classify(batch)
    with pytest.raises(JetLabError, match="no generator head: it classifies only"):
        omnilearn(generator=False).denoise(batch, torch.rand(6))
    assert omnilearn(classifier=False).denoise(batch, torch.rand(6)).logits is None


def test_averages_generate_and_are_not_trained() -> None:
    model = omnilearn(averaged=True)
    assert model.generating is not model
    assert model.generating.classifier is None
    assert not any(p.requires_grad for p in model.averaged.parameters())
    assert model.new_layers == ("classifier", "generator")
    plain = model.without_averages()
    assert plain.generating is plain
    assert not any(name.startswith("averaged") for name in plain.state_dict())
    assert not plain.config_dict()["averaged"]


@pytest.mark.parametrize("columns", [13, 3])
def test_generated_inputs_become_constituents_again(columns: int) -> None:
    sample = jets()
    features = PET_RECIPE.transform(sample)
    x = features.x[:, :columns].astype(float)
    back = PET_RECIPE.inverse(x, features.offsets, axis_eta=sample.eta, axis_phi=sample.phi, jet_pt=sample.pt)
    np.testing.assert_allclose(back.flat("pt"), sample.flat("pt"), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(back.flat("deta"), sample.flat("deta"), atol=1e-3)
    if columns == 3:
        with pytest.raises(InvalidJetsError, match="tell only what constituents leave of the pT of the jet"):
            PET_RECIPE.inverse(x, features.offsets)
        with pytest.raises(InvalidJetsError, match="tell neither pt nor ptrest"):
            PET_RECIPE.inverse(x[:, :2], features.offsets, jet_pt=sample.pt)


def test_the_inputs_are_those_of_the_paper() -> None:
    sample = identified_jets(5)
    x = PET_RECIPE.transform(sample).x
    pt, jet = sample.flat("pt"), np.repeat(sample.pt, np.diff(sample.offsets))
    np.testing.assert_allclose(x[:, 0], sample.flat("deta") / 0.215, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x[:, 2], (np.log(1e-6 + 1 - pt / jet) + 0.0278) / 0.07, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x[:, 3], (np.log(pt) - 1.8999407) / 1.2212526, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(x[:, 7], sample.flat("charge"))
    np.testing.assert_allclose(PET_JET_RECIPE.transform(sample)[:, 0], (sample.pt - 618.22492) / 106.71761, rtol=1e-4)
