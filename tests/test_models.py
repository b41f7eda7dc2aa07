from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError
from jetlab.models.blocks import SelfAttention
from jetlab.models.gpt import GPT, GPTConfig
from jetlab.models.omnijet import OmniJet, OmniJetConfig, code_momenta
from jetlab.models.places import CodePlaces, places_of
from jetlab.models.prompts import PromptConfig, PromptModel, PromptSet, prompts_of
from jetlab.models.tokenizers import VQVAE, VectorQuantizer, VQVAEConfig
from jetlab.models.tokens import NO_TARGET, TokenSequences, TokenSet, Vocabulary

from .toys import toy_config, toy_jets, toy_omnijet


def small_vqvae(codes: int = 16) -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VQVAE(VQVAEConfig(width=16, depth=2, heads=2, codebook_size=codes)).eval()


# ---- tokens -----------------------------------------------------------------------------------------------------


def test_every_special_id_has_its_own_meaning() -> None:
    v = Vocabulary(10)
    assert len({*range(10), v.stop, v.start, v.padding}) == v.inputs == 13
    assert v.stop == v.outputs - 1


def test_shifted_codes_are_refused() -> None:
    with pytest.raises(InvalidJetsError, match=r"codes run from 1 to 16, expected 0 to 15.*without a shift"):
        TokenSequences(np.arange(1, 17), np.array([0, 16]), 16)


def test_token_batch_shifts_by_one_and_ends_with_stop() -> None:
    tokens = TokenSequences(np.array([5, 6, 7, 8]), np.array([0, 1, 4]), 16, np.array([0, 3]))
    data = TokenSet(tokens, pt=np.array([500.0, 600.0]), mass=np.array([10.0, 80.0]))
    v = data.vocabulary
    batch = data.batch(np.array([1, 0]))
    assert batch.ids.tolist() == [[v.start, 6, 7, 8], [v.start, 5, v.padding, v.padding]]
    assert batch.targets.tolist() == [[6, 7, 8, v.stop], [5, v.stop, NO_TARGET, NO_TARGET]]
    assert batch.prompt.multiplicity.tolist() == [3, 1]
    assert batch.prompt.pt.tolist() == [600, 500]
    assert data.lengths.tolist() == [2, 4]


def test_unlabelled_tokens_cannot_be_learned_from() -> None:
    tokens = TokenSequences(np.array([5]), np.array([0, 1]), 16)
    with pytest.raises(InvalidJetsError, match="need labels"):
        TokenSet(tokens, pt=np.ones(1), mass=np.ones(1))


# ---- quantizer and tokenizer ------------------------------------------------------------------------------------


def test_quantizer_finds_clusters_and_moves_dead_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    quantizer = VectorQuantizer(4, 2).train()
    for _ in range(300):
        points = centres[torch.randint(4, (200,), generator=generator)]
        out = quantizer(points + 0.1 * torch.randn(points.shape, generator=generator), generator)
    assert out.commitment < 0.03
    assert len(torch.unique(out.codes)) == 4
    torch.testing.assert_close(quantizer.codebook[out.codes], points, atol=0.15, rtol=0)


def test_quantizer_passes_gradients_straight_through() -> None:
    quantizer = VectorQuantizer(4, 2).eval()
    points = torch.randn(7, 2, requires_grad=True)
    (quantizer(points).points * torch.arange(14.0).reshape(7, 2)).sum().backward()
    torch.testing.assert_close(points.grad, torch.arange(14.0).reshape(7, 2))


def test_evaluation_leaves_the_codebook_alone() -> None:
    quantizer = VectorQuantizer(4, 2).eval()
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}
    quantizer(torch.randn(50, 2))
    for name, values in quantizer.state_dict().items():
        assert torch.equal(values, before[name])


def test_tokenizer_ignores_padding_and_order_of_the_batch() -> None:
    model, jets = small_vqvae(), toy_jets(40)
    particles = ParticleSet(jets, model.config.recipe)
    batch = particles.batch(np.arange(8))
    with torch.no_grad():
        plain = model(batch)
        x = torch.cat([batch.x, torch.full((8, 5, 3), 1e3)], 1)
        padded = model(ParticleBatch(x, torch.cat([batch.mask, torch.zeros(8, 5, dtype=torch.bool)], 1)))
    assert torch.equal(plain.codes, padded.codes)
    torch.testing.assert_close(plain.x, padded.x[:, : batch.x.shape[1]], atol=1e-5, rtol=1e-5)
    assert np.array_equal(model.encode(jets, batch_size=7).codes, model.encode(jets, batch_size=64).codes)


def test_tokenizer_is_conditional_and_blind_to_permutation() -> None:
    model = small_vqvae(codes=512)
    particles = ParticleSet(toy_jets(20), model.config.recipe)
    batch = particles.batch(np.argsort(particles.lengths)[-1:])
    order = torch.randperm(batch.x.shape[1], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        z = model.latents(batch.x, batch.mask)
        permuted = model.latents(batch.x[:, order], batch.mask[:, order])
        alone = model.latents(batch.x[:, :1], batch.mask[:, :1])
    torch.testing.assert_close(permuted, z[:, order], atol=1e-5, rtol=1e-5)
    assert (alone - z[:, :1]).abs().max() > 1e-3


def test_encode_decode_keep_counts_labels_and_empty_jets() -> None:
    model, jets = small_vqvae(), toy_jets(30)
    hollow = type(jets).from_flat(
        [0, *jets.offsets], {f: jets.flat(f) for f in jets.fields}, label=[2, *jets.label], classes=jets.classes
    )
    tokens = model.encode(hollow)
    decoded = model.decode(tokens)
    np.testing.assert_array_equal(decoded.multiplicity, hollow.multiplicity)
    np.testing.assert_array_equal(decoded.label, hollow.label)
    assert decoded.multiplicity[0] == 0
    assert (decoded.flat("pt") > 0).all()


def test_codes_of_another_codebook_are_refused() -> None:
    tokens = small_vqvae(codes=16).encode(toy_jets(3))
    with pytest.raises(InvalidJetsError, match="codebook of 16, this tokenizer has 8"):
        small_vqvae(codes=8).decode(tokens)


# ---- GPT --------------------------------------------------------------------------------------------------------


def small_gpt() -> GPT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GPT(GPTConfig(inputs=13, outputs=11, width=16, depth=3, heads=2, max_length=20)).eval()


def test_the_past_never_sees_the_future() -> None:
    gpt = small_gpt()
    ids = torch.randint(0, 10, (2, 12), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 10
    with torch.no_grad():
        assert torch.equal(gpt(ids)[:, :7], gpt(changed)[:, :7])
        assert (gpt(ids)[:, 7:] - gpt(changed)[:, 7:]).abs().max() > 1e-4


def test_cached_steps_equal_the_full_pass() -> None:
    gpt = small_gpt()
    ids = torch.randint(0, 10, (3, 20), generator=torch.Generator().manual_seed(0))
    context = torch.randn(3, 20, 16, generator=torch.Generator().manual_seed(1))
    caches = gpt.caches(3)
    with torch.no_grad():
        full = gpt(ids, context=context)
        steps = [gpt(ids[:, t : t + 1], context=context[:, t : t + 1], caches=caches) for t in range(20)]
    torch.testing.assert_close(torch.cat(steps, 1), full, atol=1e-5, rtol=1e-5)


def test_width_must_fit_the_heads() -> None:
    with pytest.raises(ValueError, match="width 10 cannot be split into 4 heads"):
        SelfAttention(10, 4)


# ---- prompts ----------------------------------------------------------------------------------------------------


def test_prompts_follow_the_training_jets() -> None:
    from jetlab.objectives import prompt_likelihood
    from jetlab.train import fit

    jets = toy_jets(4000, low=5, high=15)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PromptModel(PromptConfig(bins=20, width=32))
    model.set_edges(jets)
    fit(model, prompt_likelihood, PromptSet(jets), steps=150, batch_size=500, lr=1e-2, progress=False)
    drawn = model.sample(torch.from_numpy(jets.label), torch.Generator().manual_seed(0))
    assert drawn.multiplicity.float().quantile(0.02) >= 5
    assert drawn.multiplicity.float().quantile(0.98) <= 14
    np.testing.assert_allclose(drawn.pt.mean(), jets.pt.mean(), atol=10)
    np.testing.assert_allclose(drawn.mass.quantile(0.5), np.median(jets.mass), rtol=0.05)


def test_prompts_of_jets_are_their_kinematics() -> None:
    jets = toy_jets(10)
    prompt = prompts_of(jets)
    np.testing.assert_allclose(prompt.mass, jets.mass, rtol=1e-5)
    assert len(prompt[torch.tensor([1, 2])]) == 2
    with pytest.raises(ValueError, match="need labelled jets"):
        prompts_of(type(jets).from_flat(jets.offsets, {f: jets.flat(f) for f in jets.fields}))


def test_fixed_values_of_prompts_shape_the_others() -> None:
    """What is drawn beside a fixed value is what unconditional draws have that happen to have it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PromptModel(PromptConfig(classes=2, max_multiplicity=6, bins=8, width=16))
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(3)
    jets = toy_jets(2000)
    model.set_edges(jets)
    label, n = torch.ones(100_000, dtype=torch.int64), 20_000
    free = model.sample(label, torch.Generator().manual_seed(1))
    for name in ("pt", "mass", "multiplicity"):
        values = getattr(free, name)
        fixed = values.median().item()
        drawn = model.sample(label[:n], torch.Generator().manual_seed(2), **{name: fixed})
        assert (getattr(drawn, name) == fixed).all()
        alike = values == fixed
        if name != "multiplicity":
            edges = getattr(model, f"{name}_edges")
            low, high = edges[edges <= fixed].max(), edges[edges > fixed].min()
            alike = (values >= low) & (values < high)
        for other in {"pt", "mass", "multiplicity"} - {name}:
            expected, found = getattr(free, other)[alike].float(), getattr(drawn, other).float()
            error = float(expected.std() * (1 / len(expected) + 1 / n) ** 0.5)
            assert abs(float(expected.mean() - found.mean())) < 4.5 * error, (name, other)
    both = model.sample(label[:10], None, pt=600.0, mass=60.0, multiplicity=3)
    assert (both.pt == 600).all()
    assert (both.mass == 60).all()
    assert (both.multiplicity == 3).all()


# ---- OmniJet ----------------------------------------------------------------------------------------------------


def test_step_by_step_equals_training_pass() -> None:
    model = toy_omnijet()
    tokens = model.tokenizer.encode(toy_jets(12))
    data = TokenSet(tokens, pt=np.full(12, 600.0), mass=np.full(12, 60.0))
    batch = data.batch(np.arange(12))
    state = model.begin(batch.prompt)
    with torch.no_grad():
        real = batch.targets != NO_TARGET
        full = torch.zeros(*real.shape, model.vocabulary.outputs)
        full[real] = model.generator(batch)
        for t in range(batch.ids.shape[1]):
            logits = model.step(batch.ids[:, t], state)
            torch.testing.assert_close(logits[real[:, t]], full[real[:, t], t], atol=1e-4, rtol=1e-3)


def test_codes_at_close_places_have_close_vectors() -> None:
    places = CodePlaces(32)
    near, far = torch.tensor([[1.0, 0.2, 0.1]]), torch.tensor([[-1.0, -0.5, 0.9]])
    with torch.no_grad():
        for here, close, away in zip(places(near), places(near + 1e-3), places(far), strict=True):
            assert (here - close).norm() < 0.1 * (here - away).norm()


def test_place_is_the_recipe_of_the_momentum() -> None:
    p4 = torch.tensor([[100 * np.cosh(0.1), 100.0, 0.0, 100 * np.sinh(0.1)]], dtype=torch.float32)
    torch.testing.assert_close(places_of(p4), torch.tensor([[np.log(100) - 1.8, 0.3, 0.0]], dtype=torch.float32))
    assert places_of(torch.zeros(1, 4)).isfinite().all()


def test_the_prompt_changes_what_is_generated() -> None:
    model = toy_omnijet()
    tokens = model.tokenizer.encode(toy_jets(4))
    with torch.no_grad():
        one = model.generator(TokenSet(tokens, pt=np.full(4, 600.0), mass=np.full(4, 60.0)).batch(np.arange(4)))
        two = model.generator(TokenSet(tokens, pt=np.full(4, 600.0), mass=np.full(4, 120.0)).batch(np.arange(4)))
    assert (one - two).abs().max() > 1e-4


def test_code_momenta_are_the_mean_of_what_codes_decode_to() -> None:
    model = toy_omnijet()
    x = np.array([[np.log(100) - 1.8, 0.3, 0.0], [np.log(100) - 1.8, 0.3, 0.0], [0.0, 0.0, 0.6]], dtype=np.float32)
    table = code_momenta(x, np.array([2, 2, 5]), model.tokenizer, model.vocabulary)
    np.testing.assert_allclose(table[2], [100 * np.cosh(0.1), 100, 0, 100 * np.sinh(0.1)], rtol=1e-5, atol=1e-4)
    assert (table[model.vocabulary.codes :] == 0).all()


def test_configuration_survives_json() -> None:
    config = toy_config()
    again = OmniJet.from_config(json.loads(json.dumps(OmniJet(config).config_dict())))
    assert again.config == config
    assert OmniJetConfig.preset("tiny").tokenizer.codebook_size == 2048
    with pytest.raises(ValueError, match="unknown preset 'huge'"):
        OmniJetConfig.preset("huge")
