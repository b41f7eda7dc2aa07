"""A generator's transformer as the backbone of a tagger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleSet
from jetlab.errors import JetLabError
from jetlab.models.alpha import OmniJetAlpha, OmniJetAlphaConfig
from jetlab.models.gpt import GPTConfig
from jetlab.models.sequences import SequenceBackbone, SequenceConfig
from jetlab.models.tagger import Tagger
from jetlab.models.tokenizers import VQVAEConfig
from jetlab.models.tokens import SequenceBatch, Vocabulary
from jetlab.tasks import classify
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import toy_jets

JETS = toy_jets(12)
IDS = Vocabulary(16)


def toy_alpha(*, classes: tuple[str, ...] = (), **options: object) -> OmniJetAlpha:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gpt = GPTConfig(IDS.inputs, IDS.outputs, width=16, depth=2, heads=2, max_length=40, **options)
        return OmniJetAlpha(
            OmniJetAlphaConfig(gpt, VQVAEConfig(width=16, depth=1, heads=2, codebook_size=16), classes)
        ).eval()


def test_the_encoding_is_that_of_the_generator() -> None:
    model = toy_alpha()
    backbone = SequenceBackbone.of(model).eval()
    batch = backbone.prepare(JETS).batch(np.arange(12))
    assert torch.equal(backbone.encode(batch).particles, model.gpt.encode(batch).particles)
    assert (batch.ids[:, 0] == IDS.start).all()
    assert ((batch.ids == IDS.stop).sum(1) == 1).all()
    assert not any("head" in name for name in backbone.state_dict())


def test_particles_are_tokenized_on_the_way() -> None:
    backbone = SequenceBackbone.of(toy_alpha()).eval()
    particles = ParticleSet(JETS, backbone.config.recipe).batch(np.arange(12))
    tokens = backbone.prepare(JETS).batch(np.arange(12))
    torch.testing.assert_close(backbone.encode(particles).particles, backbone.encode(tokens).particles)


def test_continuous_inputs_are_read_as_they_are() -> None:
    backbone = SequenceBackbone.of(toy_alpha(features=3, masked=True)).eval()
    batch = backbone.prepare(JETS).batch(np.arange(12))
    encoding = backbone.encode(batch)
    assert encoding.particles.shape == (12, batch.x.shape[1], 16)


def test_seeing_all_differs_from_seeing_the_harder_ones() -> None:
    model = toy_alpha()
    causal, both = SequenceBackbone.of(model).eval(), SequenceBackbone.of(model, causal=False).eval()
    batch = causal.prepare(JETS).batch(np.arange(12))
    changed = replace(batch, ids=batch.ids.clone())
    changed.ids[:, 2] = (changed.ids[:, 2] + 1) % 16
    for backbone, sees in ((causal, False), (both, True)):
        start = [backbone.encode(b).particles[:, 0] for b in (batch, changed)]
        assert torch.allclose(*start) != sees


def test_untrained_keeps_only_the_tokenizer() -> None:
    backbone = SequenceBackbone.of(toy_alpha())
    fresh = backbone.untrained()
    same = {name: torch.equal(v, fresh.state_dict()[name]) for name, v in backbone.state_dict().items()}
    assert all(same[name] for name in same if name.startswith("tokenizer."))
    assert not same["gpt.embed.weight"]
    assert not any(p.requires_grad for p in fresh.tokenizer.parameters())
    assert all(p.requires_grad for p in fresh.gpt.parameters())


def test_a_tagger_on_it_is_saved_and_classifies(tmp_path: Path) -> None:
    tagger = Tagger.on(SequenceBackbone.of(toy_alpha()), ("QCD", "Tbqq"), hidden=(8,)).eval()
    read = from_pretrained(save_pretrained(tagger, tmp_path / "tagger"))
    before, after = (classify(t, JETS, progress=False) for t in (tagger, read))
    assert list(after.columns) == ["QCD", "Tbqq"]
    np.testing.assert_array_equal(before, after)
    with torch.no_grad():
        expected = tagger(tagger.prepare(JETS).batch(np.arange(12))).softmax(1)
    np.testing.assert_allclose(before, expected, rtol=1e-4, atol=1e-6)


def test_sequences_can_be_cut_as_the_published_classifiers_do() -> None:
    config = SequenceBackbone.of(toy_alpha()).config
    backbone = SequenceBackbone(replace(config, max_ids=6)).eval()
    batch = backbone.prepare(JETS).batch(np.arange(12))
    assert batch.ids.shape == (12, 6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(JetLabError, match="was told the class"):
        SequenceBackbone.of(toy_alpha(classes=("QCD", "Tbqq")))
    gpt = GPTConfig(IDS.inputs, IDS.outputs, width=16, depth=1, heads=2, max_length=40)
    bare = SequenceBackbone(SequenceConfig(OmniJetAlphaConfig(gpt)))
    with pytest.raises(JetLabError, match="came without its tokenizer"):
        bare.prepare(JETS)
    ids = torch.tensor([[IDS.start, 3, IDS.stop]])
    assert bare.encode(SequenceBatch(ids, ids < IDS.padding)).jet.shape == (1, 16)
