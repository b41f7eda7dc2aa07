"""PET2 and OmniLearned: the same function as with padding, presets, heads, configurations."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import jetlab
from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET2_RECIPES, Constituents
from jetlab.models.dyt import Attention, Block, DynamicTanh, FeedForward
from jetlab.models.lengths import LengthParts
from jetlab.models.mlpgen import MLPGen, MLPGenConfig
from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig
from jetlab.models.pet2 import PET2, PET2Config, place_waves
from jetlab.models.pet2_local import pair_features
from jetlab.models.prior import Prior
from jetlab.models.tagger import Tagger, TaggerConfig

from .toys import toy_jets

SMALL = PET2Config(width=16, depth=2, heads=2, tokens=3, local_depth=1, neighbours=3)
FULL = replace(SMALL, types=9, extra=4, conditions=2, timed=True, recipe=PET2_RECIPES["full"])
COUNTS = (7, 1, 0, 4, 9, 2, 9, 5)


def awake(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """No weight of the model is as it starts: none is 0 or 1."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return model


def made(config: PET2Config | OmniLearnedConfig) -> PET2 | OmniLearned:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind = PET2 if isinstance(config, PET2Config) else OmniLearned
        return awake(kind(config)).eval()  # type: ignore[return-value]


def batch_for(config: PET2Config, *, slots: int = 9, seed: int = 0, counts: tuple[int, ...] = COUNTS) -> ParticleBatch:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(slots) < torch.tensor(counts)[:, None]
    x = torch.randn(len(counts), slots, config.recipe.width, generator=generator)
    x[..., :2] *= 0.3
    if config.types:
        code = torch.randint(config.types, (len(counts), slots), generator=generator)
        x[..., config.features] = code.float()
    cond = torch.randn(len(counts), config.conditions, generator=generator) if config.conditions else None
    label = torch.randint(3, (len(counts),), generator=generator)
    return ParticleBatch(x * mask[..., None], mask, label, cond=cond)


# ---- the same function, with padding --------------------------------------------------------------------------------


def plain_norm(norm: DynamicTanh, x: Tensor) -> Tensor:
    return norm.weight * torch.tanh(norm.alpha * x)


def plain_mlp(mlp: FeedForward, x: Tensor) -> Tensor:
    h = torch.nn.functional.gelu(mlp.first(x))
    return mlp.last(h if mlp.norm is None else plain_norm(mlp.norm, h))


def plain_attention(attention: Attention, x: Tensor, keys: Tensor, bias: Tensor | None = None) -> Tensor:
    """Sets ``(B, N, D)``; `keys` ``(B, N)`` are seen; the bias ``(B, N, N, H)`` is added."""
    heads = []
    width = x.shape[-1] // attention.heads
    q, k, v = attention.qkv(x).chunk(3, -1)
    for h in range(attention.heads):
        part = slice(h * width, (h + 1) * width)
        scores = torch.einsum("bid,bjd->bij", q[..., part], k[..., part]) / math.sqrt(width)
        scores = scores if bias is None else scores + bias[..., h]
        scores = scores.masked_fill(~keys[:, None, :], -1e9)
        heads.append(scores.softmax(-1) @ v[..., part])
    return attention.out(torch.cat(heads, -1))


def plain_block(block: Block, x: Tensor, keys: Tensor, bias: Tensor | None = None) -> Tensor:
    x = x + plain_attention(block.attention, plain_norm(block.norm1, x), keys, bias) * keys[..., None]
    return x + plain_mlp(block.mlp, plain_norm(block.norm2, x)) * keys[..., None]


def plain_local(model: PET2, x: Tensor, mask: Tensor) -> Tensor:
    """Neighbours of every slot, padded ones far away and hidden."""
    c, B, N = model.config, *mask.shape
    place = x[..., : c.coordinates] + 999.0 * ~mask[..., None]
    distance = (place[:, :, None] - place[:, None]).square().sum(-1) + 1e9 * torch.eye(N)
    near = distance.topk(c.neighbours, largest=False).indices  # (B, N, K)
    rows = torch.arange(B)[:, None, None]
    known = mask[rows, near] & mask[..., None]
    features = x[:, :, None] - x[rows, near]
    if c.local_pairs:
        features = torch.cat([features, pair_features(x[:, :, None].expand_as(features), x[rows, near])], -1)
    h = (plain_mlp(model.local.mlp, features) * known[..., None]).flatten(0, 1)
    keys = known.flatten(0, 1)
    for block in model.local.blocks:
        h = plain_block(block, h, keys)  # type: ignore[arg-type]
    return (h.unflatten(0, (B, N)) * known[..., None]).sum(2) / known.sum(2).clamp(min=1)[..., None]


def plain_encode(model: PET2, batch: ParticleBatch, time: Tensor | None) -> tuple[Tensor, Tensor]:
    """Learned tokens and particles, everything computed for every slot."""
    c, mask, (B, N) = model.config, batch.mask, batch.mask.shape
    features, code, further = batch.x.split([c.features, bool(c.types), c.extra], -1)
    h = plain_mlp(model.embed, plain_norm(model.norm_in, features)) + plain_local(model, features, mask)
    h = h + model.codes(code[..., 0].long()) if c.types else h
    h = h + plain_mlp(model.extra, further) if c.extra else h
    before, known = [model.tokens.expand(B, -1, -1)], [torch.ones(B, c.tokens, dtype=torch.bool)]
    if time is not None:
        before.append(plain_mlp(model.time, model.waves(time))[:, None])
        known.append((time != 0)[:, None])
    if c.conditions:
        before.append(plain_mlp(model.condition, batch.cond)[:, None])
        known.append(torch.ones(B, 1, dtype=torch.bool))
    x, keys = torch.cat([*before, h * mask[..., None]], 1), torch.cat([*known, mask], 1)
    first = x.shape[1] - N
    bias = None
    if c.pair_bias:
        pairs = pair_features(features[:, :, None].expand(-1, -1, N, -1), features[:, None].expand(-1, N, -1, -1))
        both = mask[:, :, None] & mask[:, None]
        bias = x.new_zeros(B, x.shape[1], x.shape[1], c.heads)
        bias[:, first:, first:] = plain_mlp(model.pairs.mlp, pairs) * both[..., None]
    for block in model.blocks:
        x = plain_block(block, x, keys, bias)  # type: ignore[arg-type]
    x = plain_norm(model.norm, x) * keys[..., None]
    return x[:, : c.tokens], x[:, first:]


OPTIONS = {
    "bare": replace(SMALL, pair_bias=False, local_pairs=False),
    "bias": replace(SMALL, local_pairs=False),
    "small": SMALL,
    "deep": replace(SMALL, local_depth=2, coordinates=3, expansion=3),
    "flat": replace(SMALL, local_depth=0),
    "full": FULL,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_only_real_particles_are_computed_but_the_function_is_that_with_padding(name: str) -> None:
    model, batch = made(OPTIONS[name]).double(), batch_for(OPTIONS[name], slots=12)
    batch = replace(batch, x=batch.x.double(), cond=None if batch.cond is None else batch.cond.double())
    time = torch.linspace(0, 1, len(batch.mask), dtype=torch.float64) if OPTIONS[name].timed else None
    pull = torch.Generator().manual_seed(5)
    gradients, outputs = [], []
    for slow in (False, True):
        model.zero_grad()
        if slow:
            tokens, particles = plain_encode(model, batch, time)
        else:
            encoding = model.encode(batch, time)
            tokens, particles = encoding.tokens, encoding.particles
        outputs.append((tokens.detach(), particles.detach()))
        pull.manual_seed(5)
        loss = (tokens * torch.randn(tokens.shape, generator=pull)).sum()
        (loss + (particles * torch.randn(particles.shape, generator=pull)).sum()).backward()
        gradients.append({key: weight.grad.clone() for key, weight in model.named_parameters()})
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-10, atol=1e-10)
    for key, slow_gradient in gradients[1].items():
        assert slow_gradient.abs().max() > 0, key
        torch.testing.assert_close(gradients[0][key], slow_gradient, rtol=1e-8, atol=1e-8, msg=key)


def test_padding_and_the_order_of_particles_and_jets_change_nothing() -> None:
    model, batch = made(FULL), batch_for(FULL)
    time = torch.linspace(0, 1, len(batch.mask))
    before = model.encode(batch, time)
    generator = torch.Generator().manual_seed(1)
    slots = torch.stack([torch.randperm(14, generator=generator) for _ in COUNTS])  # padding anywhere
    jets = torch.randperm(len(COUNTS), generator=generator)
    padded = torch.nn.functional.pad(batch.x, (0, 0, 0, 5)), torch.nn.functional.pad(batch.mask, (0, 5))
    x, mask = padded[0].gather(1, slots[..., None].expand(-1, -1, batch.x.shape[-1])), padded[1].gather(1, slots)
    x = torch.where(mask[..., None], x, 3.0)  # what is in padded slots is never read
    after = model.encode(replace(batch, x=x[jets], mask=mask[jets], cond=batch.cond[jets]), time[jets])
    torch.testing.assert_close(after.jet, before.jet[jets], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after.tokens, before.tokens[jets], rtol=1e-5, atol=1e-5)
    wide = torch.nn.functional.pad(before.particles, (0, 0, 0, 5))
    wide = wide.gather(1, slots[..., None].expand(-1, -1, wide.shape[-1]))[jets]
    torch.testing.assert_close(after.particles, wide, rtol=1e-5, atol=1e-5)
    assert (after.particles[~mask[jets]] == 0).all()


@pytest.mark.parametrize("slots", [1, 20, 10_000])
def test_parts_of_any_size_give_the_same(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = made(SMALL), batch_for(SMALL, slots=12)
    before = model.encode(batch)
    monkeypatch.setattr("jetlab.models.lengths.SLOTS", slots)
    monkeypatch.setattr("jetlab.models.pet2_local.PARTICLES", 3)
    monkeypatch.setattr("jetlab.models.pet2_local.PAIRS", 5)
    sizes = [len(part.rows) for part in LengthParts(batch)]
    assert len(sizes) == {1: 8, 10_000: 1}.get(slots, len(sizes))
    torch.testing.assert_close(model.encode(batch), before, rtol=1e-5, atol=1e-6)


def test_parts_are_of_similar_length_and_none_is_too_large() -> None:
    counts = tuple(np.random.default_rng(0).integers(0, 50, 200).tolist())
    batch = ParticleBatch(torch.ones(200, 64, 1), torch.arange(64) < torch.tensor(counts)[:, None])
    parts = LengthParts(batch, slots=256)
    found = list(parts)
    assert max(part.batch.mask.numel() for part in found) <= 256 + 50
    assert sum(part.batch.mask.numel() for part in found) < 1.1 * sum(counts) + 200
    joined = parts.jets([part.batch.mask.sum(1) for part in found])
    assert joined.tolist() == list(counts)
    torch.testing.assert_close(parts.slots([part.batch.x for part in found]), batch.mask[..., None].float())


def test_half_precision_gives_almost_the_same() -> None:
    model, batch = made(FULL), batch_for(FULL)
    time = torch.linspace(0, 1, len(batch.mask))
    before = model.encode(batch, time)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        after = model.encode(batch, time)
    after.jet.square().sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())
    torch.testing.assert_close(after.jet.float(), before.jet, rtol=0.05, atol=0.05)


def test_particles_without_neighbours_have_no_local_embedding() -> None:
    model, batch = made(SMALL), batch_for(SMALL)
    alone = batch.mask.sum(1, keepdim=True).expand_as(batch.mask)[batch.mask] == 1
    local = model.local(batch.x, batch.mask)
    assert (local[alone] == 0).all()
    assert (local[~alone] != 0).any(1).all()


def test_two_particles_at_one_place_are_finite_with_gradients() -> None:
    model, batch = made(SMALL), batch_for(SMALL)
    x = batch.x.clone()
    x[4, 1] = x[4, 0]
    x.requires_grad_()
    model.encode(replace(batch, x=x)).jet.square().sum().backward()
    assert torch.isfinite(x.grad).all()


def test_pair_features_are_mass_distance_and_kt() -> None:
    jets = toy_jets(1, low=6, high=7)
    pt = jets.flat("pt")
    x = torch.from_numpy(np.stack([jets.flat("deta"), jets.flat("dphi"), np.log(pt)], 1))
    found = pair_features(x[:, None], x[None]).numpy()
    i, j = np.triu_indices(len(x), 1)
    p4 = jets.flat_p4.astype(np.float64)
    pair = p4[i] + p4[j]
    np.testing.assert_allclose(found[i, j, 0], np.log(pair[:, 0] ** 2 - (pair[:, 1:] ** 2).sum(1)), atol=1e-2)
    distance = np.hypot(*(x[i] - x[j]).numpy()[:, :2].T)
    np.testing.assert_allclose(found[i, j, 1], np.log(distance), rtol=1e-5)
    np.testing.assert_allclose(found[i, j, 2], np.log(np.minimum(pt[i], pt[j]) * distance), rtol=1e-4)
    assert (found[np.arange(len(x)), np.arange(len(x))] == 0).all()


# ---- options --------------------------------------------------------------------------------------------------------


def test_clean_jets_need_no_time() -> None:
    """At time 0 the token of time is nothing, so it is not attended."""
    model, batch = made(FULL), batch_for(FULL)
    clean = model.encode(batch)
    torch.testing.assert_close(model.encode(batch, torch.zeros(len(batch.mask))), clean)
    assert (model.encode(batch, torch.full((len(batch.mask),), 0.5)).jet - clean.jet).abs().max() > 1e-3


def test_codes_and_further_inputs_are_hidden_in_training_jet_by_jet() -> None:
    model, batch = made(replace(FULL, feature_drop=0.5)), batch_for(FULL, counts=(5,) * 40)
    shown = model.particles(batch)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        dropped = model.particles(batch)
    changed = (dropped != shown).any(-1)[batch.mask].view(40, 5)
    assert (changed.any(1) == changed.all(1)).float().mean() > 0.9  # code 0 is nothing anyway
    assert 0.5 < changed.any(1).float().mean() < 0.95
    torch.testing.assert_close(model.eval().particles(batch), shown)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cond": None}, "is told 2 numbers about each jet, the batch has none"),
        ({"cond": torch.zeros(8, 3)}, "is told 2 numbers about each jet, the batch has 3"),
        ({"x": torch.full((8, 9, 9), 20.0)}, "particle codes are 20 to 20, the network knows 0 to 8"),
    ],
)
def test_what_the_network_is_not_told_is_asked_for(change: dict[str, Tensor | None], message: str) -> None:
    with pytest.raises(InvalidJetsError, match=message):
        made(FULL).encode(replace(batch_for(FULL), **change))


def test_a_network_for_clean_jets_refuses_times() -> None:
    with pytest.raises(InvalidJetsError, match=r"cannot be told a time\. Take a config with timed=True"):
        made(SMALL).encode(batch_for(SMALL), torch.zeros(8))


@pytest.mark.parametrize("inputs", ["kin", "types", "full"])
def test_configurations_survive_json(inputs: str) -> None:
    config = PET2Config.preset("tiny", inputs=inputs, conditions=3, timed=True)  # type: ignore[arg-type]
    assert config.features == 4
    assert PET2Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    whole = OmniLearnedConfig.preset("tiny", inputs=inputs, task="ftag", particle_classes=3)  # type: ignore[arg-type]
    assert OmniLearnedConfig.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole


def test_configurations_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown preset 'huge'; expected one of tiny, small"):
        PET2Config.preset("huge")
    with pytest.raises(ValueError, match="of which 2 are left besides codes and further inputs"):
        PET2Config(extra=2)
    for told, message in (
        ({"task": "everything"}, "task is 'everything', expected one of classifier"),
        ({"classes": ()}, "needs the names of its classes"),
        ({"body": SMALL}, "take a body with timed=True"),
        ({"prior": Prior.standard(3)}, "the prior has 3 features, the particles 4"),
        ({"task": "ftag"}, "needs the number of particle_classes, found 0"),
    ):
        with pytest.raises(ValueError, match=message):
            OmniLearnedConfig(**told)  # type: ignore[arg-type]


def test_a_tagger_stands_on_it() -> None:
    tagger = Tagger(TaggerConfig(PET2Config.preset("tiny", inputs="types"), hidden=(8,), head="class-attention"))
    jets = toy_jets(5)
    with pytest.raises(InvalidJetsError, match="needs"):
        tagger.prepare(jets)  # they have no types
    plain = Tagger(TaggerConfig(PET2Config.preset("tiny"), hidden=(8,))).eval()
    again = Tagger.from_config(json.loads(json.dumps(plain.config_dict())))
    assert again.config == plain.config
    assert plain(plain.prepare(jets).batch(np.arange(5))).shape == (5, 10)


def test_particle_codes_tell_type_and_charge() -> None:
    jets = jetlab.load_jets("sample", n=50)
    code = Constituents.of(jets)["particle_code"]
    kinds = zip(jets.flat("ptype").tolist(), jets.flat("charge").tolist(), strict=True)
    expected = {(0, 1): 1, (0, -1): 2, (1, 0): 3, (2, 0): 4, (3, 1): 5, (3, -1): 6, (4, 1): 7, (4, -1): 8}
    assert code.tolist() == [expected[kind] for kind in kinds]
    assert set(code.tolist()) == set(expected.values())


# ---- OmniLearned ----------------------------------------------------------------------------------------------------

SIZES = {
    "small": (2_705_069, 2_708_917, 1_873_082, 3_339_793, (1_494_064, 1_422_551, 423_178)),
    "medium": (51_466_809, 51_490_377, 38_120_014, 59_911_461, (32_081_988, 21_418_199, 6_411_274)),
    "large": (373_607_539, 373_687_443, 320_210_074, 423_049_589, (279_283_850, 101_568_731, 42_197_008)),
}
"""Parameters of the published code: plain classifier, classifier, generator, pretraining model and its three parts."""


def size(model: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("name", SIZES)
def test_presets_have_the_published_sizes(name: str) -> None:
    with torch.device("meta"):
        pair = OmniLearnedConfig.preset(name, task="classifier", classes=("a", "b"))
        bare = replace(pair, body=replace(pair.body, pair_bias=False, local_pairs=False))
        generator = OmniLearnedConfig.preset(name, task="generator", classes=tuple("abcde"), conditions=4)
        many = tuple(f"class {i}" for i in range(210))
        whole = OmniLearned(OmniLearnedConfig.preset(name, classes=many, inputs="full"))
        found = [size(OmniLearned(config)) for config in (bare, pair, generator)]
    parts = tuple(size(part) for part in (whole.body, whole.classifier, whole.generator))
    assert (*found, size(whole), parts) == SIZES[name]


def learned(task: str, *, body: PET2Config = FULL, **options: object) -> OmniLearned:
    body = replace(body, timed=task in ("generator", "pretrain"))
    config = OmniLearnedConfig(body, task, ("a", "b", "c"), head_depth=1, **options)  # type: ignore[arg-type]
    return made(config)  # type: ignore[return-value]


def test_one_pass_gives_velocity_and_logits() -> None:
    model, batch = learned("pretrain"), batch_for(FULL, slots=11)
    time = torch.linspace(0.1, 1, len(batch.mask))
    calls: list[int] = []
    tokenize = model.body.tokenize
    model.body.tokenize = lambda *told: calls.append(len(told[0].mask)) or tokenize(*told)  # type: ignore[method-assign]
    out = model.denoise(batch, time, batch.label)
    assert sum(calls) == len(batch.mask)
    assert out.velocity.shape == (8, 11, 4)
    assert (out.velocity[~batch.mask] == 0).all()
    assert (out.velocity[batch.mask] != 0).all()
    assert out.logits is not None
    assert out.logits.shape == (8, 3)
    other = model.denoise(batch, time, (batch.label + 1) % 3)
    assert (other.velocity - out.velocity)[batch.mask].abs().max() > 1e-3
    torch.testing.assert_close(other.logits, out.logits)  # they are not told the class
    torch.testing.assert_close(model.denoise(batch, torch.zeros(8), batch.label).logits, model.classify(batch))


def test_heads_that_are_not_there_are_refused() -> None:
    batch, time = batch_for(FULL), torch.full((8,), 0.5)
    generator, classifier, regression = learned("generator"), learned("classifier"), learned("regression")
    assert generator.denoise(batch, time, batch.label).logits is None
    with pytest.raises(JetLabError, match="is for generator; it has no classifier head"):
        generator.classify(batch)
    with pytest.raises(JetLabError, match="is for classifier; it has no generator head"):
        classifier.denoise(batch, time, batch.label)
    with pytest.raises(JetLabError, match=r"estimates a, b, c; it has no classes\. Call regress"):
        regression.classify(batch)
    with pytest.raises(JetLabError, match="is for classifier; it estimates no numbers"):
        classifier.regress(batch)
    with pytest.raises(JetLabError, match="is for classifier; it classifies no particles"):
        classifier.segment(batch)
    with pytest.raises(InvalidJetsError, match="is told the class of each jet, one of 3; give label"):
        generator.denoise(batch, time)
    assert regression.regress(batch).shape == (8, 3)


@pytest.mark.parametrize("task", ["segmentation", "ftag"])
def test_particles_are_classified(task: str) -> None:
    model, batch = learned(task, particle_classes=6), batch_for(FULL)
    found = model.segment(batch, batch.label)
    assert found.shape == (8, 9, 6)
    assert (found[~batch.mask] == 0).all()
    assert (model.classifier is not None) == (task == "ftag")


def test_other_features_than_the_published_four_can_be_generated() -> None:
    recipe = replace(PET2_RECIPES["kin"], features=PET2_RECIPES["kin"].features[:3])
    body = replace(SMALL, timed=True, recipe=recipe)
    model = learned("generator", body=body, prior=Prior.standard(3))
    batch = batch_for(body)
    assert model.denoise(batch, torch.full((8,), 0.5), batch.label).velocity.shape == (8, 9, 3)
    assert model.features_generated == 3


def test_empty_jets_are_finite() -> None:
    model, batch = learned("pretrain", body=replace(FULL, conditions=0)), batch_for(FULL, counts=(0, 0))
    out = model.denoise(batch, torch.tensor([0.0, 0.5]), batch.label)
    assert torch.isfinite(out.velocity).all()
    assert torch.isfinite(out.logits).all()


def test_a_batch_without_jets_gives_nothing() -> None:
    model, batch = learned("pretrain"), batch_for(FULL)
    nothing = ParticleBatch(batch.x[:0], batch.mask[:0], batch.label[:0], cond=batch.cond[:0])
    out = model.denoise(nothing, torch.zeros(0), nothing.label)
    assert out.velocity.shape == (0, 9, 4)
    assert out.logits.shape == model.classify(nothing).shape == (0, 3)
    assert model.encode(nothing).particles.shape == (0, 9, 16)


def test_running_averages_generate_and_can_be_forgotten() -> None:
    model = learned("pretrain", averaged=True)
    assert model.generating is model.averaged
    assert not any(weight.requires_grad for weight in model.averaged.parameters())
    again = OmniLearned.from_config(json.loads(json.dumps(model.config_dict())))
    again.load_state_dict(model.state_dict())
    assert model.without_averages().generating is model
    assert not model.config.averaged


def test_new_layers_are_parts_of_the_model() -> None:
    for task in ("classifier", "pretrain"):
        model = learned(task)
        names = [name for name, _ in model.named_parameters()]
        assert all(any(name.startswith(part) for name in names) for part in model.new_layers)
        assert not any(part.startswith("body.blocks") for part in model.new_layers)


# ---- whole jets -----------------------------------------------------------------------------------------------------


def test_the_generator_of_jets_survives_json_and_tells_jets_apart() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = awake(MLPGen(MLPGenConfig(width=16, conditions=2)))
    again = MLPGen.from_config(json.loads(json.dumps(model.config_dict())))
    again.load_state_dict(model.state_dict())
    x, time, cond = torch.randn(5, 4), torch.linspace(0, 1, 5), torch.randn(5, 2)
    out = model(x, time, cond)
    assert out.shape == (5, 4)
    torch.testing.assert_close(again(x, time, cond), out)
    for told in ((x + 1, time, cond), (x, time + 0.5, cond), (x, time, cond + 1)):
        assert (model(*told) - out).abs().max() > 1e-3


def test_waves_of_the_direction_are_inputs_if_asked_for() -> None:
    places = torch.tensor([[0.4, -0.2], [0.0, 0.8]])
    waves = place_waves(places, 3)
    assert waves.shape == (2, 12)
    angles = 2 * math.pi / 3.2 * places[..., None] * torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(waves, torch.cat([angles.flatten(1).sin(), angles.flatten(1).cos()], 1))
    assert PET2Config.preset("tiny").waves
    assert not any(PET2Config.preset(name).waves for name in ("small", "medium", "large"))
    with_waves, without = (PET2(PET2Config(width=16, depth=1, heads=2, waves=k)) for k in (2, 0))
    names = [{name for name, _ in model.named_parameters()} for model in (with_waves, without)]
    assert {name.partition(".")[0] for name in names[0] - names[1]} == {"places"}
    x = torch.randn(1, 3, 4)
    batch = ParticleBatch(x, torch.ones(1, 3, dtype=torch.bool))
    plain = with_waves.encode(batch).jet
    with torch.no_grad():
        with_waves.places.last.weight.add_(1.0)
    assert not torch.allclose(with_waves.encode(batch).jet, plain)
