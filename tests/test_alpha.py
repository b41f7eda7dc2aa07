from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.models.alpha import OmniJetAlpha, OmniJetAlphaConfig, mean_inputs
from jetlab.models.gpt import GPT, GPTConfig
from jetlab.models.tokenizers import VQVAE, BinnedConfig, VQVAEConfig
from jetlab.models.tokens import NO_TARGET, SequenceSet, TokenSequences, TokenSet, Vocabulary
from jetlab.objectives import masked_particles, next_token, next_token_and_masked
from jetlab.samplers import generate, sample_tokens
from jetlab.tasks.alpha import alpha_token_set, tokenizer_of, train_alpha
from jetlab.vocabulary import CLASSES
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import toy_jets, toy_omnijet

CODES = 16
FORMS = {
    "published": {"norm": "post", "positions": "none", "activation": "relu", "bias": False},
    "rank": {},
    "rope": {"positions": "rope"},
    "registers": {"positions": "rank", "registers": 3},
    "modern": {"positions": "rope", "registers": 2, "features": 3, "masked": True, "activation": "silu"},
}


def toy_tokenizer() -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VQVAE(VQVAEConfig(width=16, depth=1, heads=2, codebook_size=CODES)).eval()


def toy_gpt_config(form: str, **options: object) -> GPTConfig:
    v = Vocabulary(CODES)
    return GPTConfig(v.inputs, v.outputs, 16, 2, 2, max_length=40, **{**FORMS[form], **options})


def toy_alpha(form: str = "rank", *, classes: tuple[str, ...] = CLASSES) -> OmniJetAlpha:
    tokenizer = toy_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = OmniJetAlpha(OmniJetAlphaConfig(toy_gpt_config(form), tokenizer.config, classes))
    model.use(tokenizer)
    alpha_token_set(model, toy_jets(60), learn_means=True)
    return model.eval()


@pytest.fixture(autouse=True)
def small_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    def preset(name: str, *, inputs: int, outputs: int, features: int = 3) -> GPTConfig:
        options = {**FORMS[{"tiny": "rank", "modern": "modern"}.get(name, name)]}
        return GPTConfig(inputs, outputs, 16, 2, 2, **options)

    monkeypatch.setattr(GPTConfig, "preset", staticmethod(preset))


# ---- transformer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_steps_with_a_cache_equal_the_full_pass(form: str) -> None:
    model = toy_alpha(form)
    batch = TokenSet(model.tokenizer.encode(toy_jets(8))).batch(np.arange(8))
    real, state = batch.targets != NO_TARGET, model.begin(batch.label)
    with torch.no_grad():
        full = torch.zeros(*real.shape, model.vocabulary.outputs)
        full[real] = model(batch)
        for t in range(batch.ids.shape[1]):
            logits = model.step(batch.ids[:, t], state)
            torch.testing.assert_close(logits[real[:, t]], full[real[:, t], t], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_padding_changes_nothing_with_or_without_the_causal_mask(form: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gpt = GPT(toy_gpt_config(form)).eval()
    jets = toy_jets(6)
    if gpt.config.features:
        data = ParticleSet(jets, toy_tokenizer().recipe)
    else:
        data = SequenceSet(toy_tokenizer().encode(jets))
    longest = int(np.argmax(data.lengths))
    for causal in (True, False):
        with torch.no_grad():
            alone = gpt.encode(data.batch(np.array([0])), causal=causal)
            beside = gpt.encode(data.batch(np.array([0, longest])), causal=causal)
        n = int(data.lengths[0])
        torch.testing.assert_close(alone.particles[0], beside.particles[0, :n], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone.jet[0], beside.jet[0], atol=1e-5, rtol=1e-4)
        assert (beside.particles[0, n:] == 0).all()


def test_only_the_causal_mask_hides_what_comes_later() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gpt = GPT(toy_gpt_config("rope")).eval()
    ids = torch.arange(10)[None]
    changed = ids.clone()
    changed[0, 9] = 12
    with torch.no_grad():
        assert torch.equal(gpt(ids)[:, :9], gpt(changed)[:, :9])
        assert (gpt(ids, causal=False) - gpt(changed, causal=False))[:, 0].abs().max() > 1e-5


def test_without_positions_order_matters_only_through_the_causal_mask() -> None:
    ids, order = torch.arange(8)[None], torch.randperm(8, generator=torch.Generator().manual_seed(0))
    for form, blind in (("published", True), ("rope", False), ("rank", False)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            gpt = GPT(toy_gpt_config(form)).eval()
        with torch.no_grad():
            same = torch.allclose(gpt(ids, causal=False)[:, order], gpt(ids[:, order], causal=False), atol=1e-5)
        assert same is blind


def test_rotary_positions_are_relative() -> None:
    """Without registers, shifting a sequence that attends to itself only changes nothing."""
    from jetlab.models.blocks import Rotation

    q, k = torch.randn(2, 1, 1, 5, 8, generator=torch.Generator().manual_seed(0))
    near, far = (Rotation.of(torch.arange(5) + shift, 8) for shift in (0, 40))
    torch.testing.assert_close(
        near.turn(q) @ near.turn(k).transpose(-2, -1), far.turn(q) @ far.turn(k).transpose(-2, -1), atol=1e-5, rtol=1e-4
    )


def test_published_size() -> None:
    """6,570,498 parameters in the official checkpoint: ours read two ids more, start and padding each their own."""
    v = Vocabulary(8192)
    config = GPTConfig(v.inputs, v.outputs + 1, 256, 3, 8, norm="post", positions="none", activation="relu", bias=False)
    assert sum(p.numel() for p in GPT(config).parameters()) == 6_570_498 + 256


def test_wrong_options_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="positions is 'sine', expected one of none, rank, rope"):
        toy_gpt_config("rank", positions="sine")
    with pytest.raises(ValueError, match="without positions are all the same"):
        toy_gpt_config("published", masked=True)
    gpt = GPT(toy_gpt_config("modern"))
    with pytest.raises(TypeError, match="reads 3 continuous inputs of each constituent, found none"):
        gpt(torch.zeros(1, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match="reads a ParticleBatch, found a SequenceBatch"):
        gpt.encode(SequenceSet(toy_tokenizer().encode(toy_jets(2))).batch(np.arange(2)))


# ---- sequences --------------------------------------------------------------------------------------------------


def test_sequences_begin_with_start_and_end_with_stop() -> None:
    data = SequenceSet(TokenSequences(np.array([5, 6, 7]), np.array([0, 1, 3]), CODES, np.array([1, 0])))
    v, batch = data.vocabulary, data.batch(np.array([0, 1]))
    assert batch.ids.tolist() == [[v.start, 5, v.stop, v.padding], [v.start, 6, 7, v.stop]]
    assert batch.mask.tolist() == [[True, True, True, False], [True] * 4]
    assert (data.lengths.tolist(), batch.label.tolist()) == ([3, 4], [1, 0])
    short = SequenceSet(data.tokens, max_ids=3)
    assert short.batch(np.array([0, 1])).ids.tolist() == [[v.start, 5, v.stop], [v.start, 6, 7]]
    assert short.lengths.tolist() == [3, 3]


def test_continuous_inputs_stand_where_their_codes_stand() -> None:
    tokens = TokenSequences(np.array([5, 6, 7]), np.array([0, 1, 3]), CODES)
    batch = TokenSet(tokens, x=np.arange(6, dtype=np.float32).reshape(3, 2)).batch(np.array([1, 0]))
    assert batch.x.tolist() == [[[0, 0], [2, 3], [4, 5]], [[0, 0], [0, 1], [0, 0]]]
    assert batch.constituents.tolist() == [[False, True, True], [False, True, False]]
    assert batch.prompt is None
    assert batch.label is None


def test_means_are_those_of_the_inputs_of_each_code() -> None:
    x = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
    table = mean_inputs(x, np.array([1, 1, 3]), Vocabulary(4))
    assert table.tolist() == [[0, 0], [2, 3], [0, 0], [5, 6], [0, 0], [0, 0], [0, 0]]


# ---- objectives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [next_token, next_token_and_masked])
def test_losses_do_not_depend_on_padding(objective: object) -> None:
    model = toy_alpha("modern")
    data = alpha_token_set(model, toy_jets(6))
    batch = data.batch(np.arange(6))
    wide = type(batch)(
        torch.nn.functional.pad(batch.ids, (0, 5), value=model.vocabulary.padding),
        torch.nn.functional.pad(batch.targets, (0, 5), value=NO_TARGET),
        None,
        batch.label,
        torch.nn.functional.pad(batch.x, (0, 0, 0, 5), value=1e3),
    )
    with torch.no_grad():
        if objective is next_token:
            torch.testing.assert_close(next_token(model, batch)[0], next_token(model, wide)[0])
        hidden = batch.constituents & (torch.rand(batch.ids.shape, generator=torch.Generator().manual_seed(0)) < 0.4)
        torch.testing.assert_close(
            model.guess(batch, hidden), model.guess(wide, torch.nn.functional.pad(hidden, (0, 5))), atol=1e-5, rtol=1e-4
        )


def test_hidden_constituents_are_not_seen() -> None:
    model = toy_alpha("modern")
    batch = alpha_token_set(model, toy_jets(5)).batch(np.arange(5))
    hidden = torch.zeros_like(batch.constituents)
    hidden[:, 2] = True
    changed = type(batch)(batch.ids, batch.targets, None, batch.label, batch.x.clone())
    changed.x[:, 2] += 10
    with torch.no_grad():
        assert torch.equal(model.guess(batch, hidden), model.guess(changed, hidden))
        changed.x[:, 1] += 10
        assert (model.guess(batch, hidden) - model.guess(changed, hidden)).abs().max() > 1e-4


def test_the_joint_objective_is_the_sum() -> None:
    model = toy_alpha("modern")
    batch = alpha_token_set(model, toy_jets(30)).batch(np.arange(30))
    with torch.no_grad():
        one, _ = next_token(model, batch)
        two, terms = masked_particles(model, batch, torch.Generator().manual_seed(3))
        both, parts = next_token_and_masked(model, batch, torch.Generator().manual_seed(3))
    torch.testing.assert_close(both, one + two)
    assert set(parts) == {"loss", "next_token", "masked", "weight"}
    assert abs(int(terms["weight"]) / int(batch.constituents.sum()) - 0.4) < 0.1


def test_objectives_say_what_they_train() -> None:
    with pytest.raises(TypeError, match="found OmniJetAlpha without a head"):
        masked_particles(toy_alpha("rank"), None)
    with pytest.raises(TypeError, match="found VQVAE"):
        next_token_and_masked(toy_tokenizer(), None)


# ---- generation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_generates_jets_of_the_classes_asked_for(form: str) -> None:
    jets = generate(toy_alpha(form), 12, classes=["QCD", "Tbqq"], seed=1, batch_size=5, progress=False)
    assert jets.class_counts() == {"QCD": 6, "Tbqq": 6}
    assert 1 <= jets.multiplicity.min() <= jets.multiplicity.max() <= 38


def test_without_classes_it_generates_a_mixture() -> None:
    model = toy_alpha(classes=())
    jets = generate(model, 7, progress=False)
    assert len(jets) == 7
    assert jets.label is None
    assert jets.meta["model"] == "omnijet-alpha"
    with pytest.raises(JetLabError, match="cannot be asked for classes"):
        generate(model, 7, classes="QCD", progress=False)


def test_leaving_the_batch_changes_nothing_for_the_others() -> None:
    model = toy_alpha("modern")
    label = torch.arange(10)
    together = sample_tokens(model, label, temperature=0, max_constituents=30)
    for i in range(10):
        alone = sample_tokens(model, label[i : i + 1], temperature=0, max_constituents=30)
        np.testing.assert_array_equal(together[i], alone[0])


def test_padding_is_never_drawn() -> None:
    """Official checkpoints can predict padding; here they would predict nothing else."""
    v = Vocabulary(CODES)
    model = OmniJetAlpha(OmniJetAlphaConfig(GPTConfig(v.inputs, v.outputs + 1, 16, 2, 2, 20))).eval()
    with torch.no_grad():
        model.gpt.head.bias[-1] = 100
    codes = sample_tokens(model, torch.zeros(50, dtype=torch.int64), generator=torch.Generator().manual_seed(0))
    assert max(c.max() for c in codes) < CODES


def test_kinematics_cannot_be_asked_for() -> None:
    with pytest.raises(JetLabError, match="cannot be asked for pt, mass or multiplicity"):
        generate(toy_alpha(), 3, pt=600, progress=False)


def test_a_generator_without_its_tokenizer() -> None:
    model = OmniJetAlpha(OmniJetAlphaConfig(toy_gpt_config("published"))).eval()
    with pytest.raises(JetLabError, match="came without its tokenizer"):
        generate(model, 3, progress=False)
    with pytest.raises(JetLabError, match="has 8 codes, the generator 16"):
        model.use(VQVAE(VQVAEConfig(width=16, depth=1, heads=2, codebook_size=8)))
    model.use(toy_tokenizer())
    assert len(generate(model, 3, progress=False)) == 3


# ---- training and folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "objective"), [("published", "next"), ("tiny", "next"), ("modern", "joint")])
def test_training_learns_and_the_model_generates(preset: str, objective: str, tmp_path: Path) -> None:
    tokenizer = toy_tokenizer()
    before = {name: values.clone() for name, values in tokenizer.state_dict().items()}
    model, run = train_alpha(
        toy_jets(160),
        toy_jets(40, seed=1),
        tokenizer=tokenizer,
        preset=preset,
        objective=objective,
        steps=20,
        batch_size=32,
        lr=5e-3,
        progress=False,
    )
    assert run.history["valid_loss"].dropna().iloc[-1] < run.history["loss"].iloc[0]
    for name, values in before.items():
        assert torch.equal(values, model.tokenizer.state_dict()[name]), name
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    one, two = (generate(m, 10, seed=4, progress=False) for m in (model, again))
    np.testing.assert_array_equal(one.flat("pt"), two.flat("pt"))


def test_an_interrupted_training_continues_to_the_same_model(tmp_path: Path) -> None:
    jets = toy_jets(120), toy_jets(40, seed=1)
    options = {"tokenizer": toy_omnijet(), "labels": False, "steps": 12, "batch_size": 32, "progress": False}
    whole, _ = train_alpha(*jets, **options)
    calls = iter(range(100))
    _, stopped = train_alpha(*jets, **options, out=tmp_path, stop=lambda: next(calls) > 4)
    resumed, run = train_alpha(*jets, **options, out=tmp_path)
    assert (stopped.finished, run.finished) == (False, True)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name


def test_trainings_that_cannot_be() -> None:
    jets = toy_jets(20)
    bare = type(jets).from_flat(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="or give labels=False"):
        train_alpha(bare, bare, tokenizer=toy_tokenizer())
    with pytest.raises(JetLabError, match="nothing in place of hidden constituents"):
        train_alpha(jets, jets, tokenizer=toy_tokenizer(), objective="joint")
    with pytest.raises(JetLabError, match="objective is 'both', expected one of next, masked, joint"):
        train_alpha(jets, jets, tokenizer=toy_tokenizer(), objective="both")


def test_tokenizers_are_found_in_models() -> None:
    assert tokenizer_of("omnijet-tiny").codebook_size == 2048
    assert tokenizer_of(toy_omnijet()).codebook_size == CODES
    with pytest.raises(JetLabError, match="or a model that has one, found Linear"):
        tokenizer_of(torch.nn.Linear(1, 1))
    with pytest.raises(JetLabError, match="found OmniJetAlpha"):
        tokenizer_of(OmniJetAlpha(OmniJetAlphaConfig(toy_gpt_config("published"))))


@pytest.mark.parametrize("tokenizer", [None, toy_tokenizer().config, BinnedConfig()])
def test_configurations_survive_json(tokenizer: object) -> None:
    codes = CODES if tokenizer is None else tokenizer.codebook_size
    v = Vocabulary(codes)
    config = OmniJetAlphaConfig(GPTConfig(v.inputs, v.outputs, 16, 1, 2), tokenizer, ("QCD", "Tbqq"))
    again = OmniJetAlphaConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
