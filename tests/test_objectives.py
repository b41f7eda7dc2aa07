from __future__ import annotations

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError
from jetlab.models.particlenet import ParticleNetConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.models.tokens import TokenSet
from jetlab.objectives import classification, next_token, prompt_likelihood, reconstruction

from .toys import toy_jets, toy_omnijet


def test_next_token_loss_is_the_mean_over_real_positions_only() -> None:
    model = toy_omnijet()
    data = TokenSet(model.tokenizer.encode(toy_jets(6)), pt=np.full(6, 600.0), mass=np.full(6, 60.0))
    with torch.no_grad():
        together, terms = next_token(model.generator, data.batch(np.arange(6)))
        singly = [next_token(model.generator, data.batch(np.array([i]))) for i in range(6)]
    weights = torch.stack([t["weight"] for _, t in singly]).double()
    mean = (torch.stack([loss for loss, _ in singly]) * weights).sum() / weights.sum()
    torch.testing.assert_close(together.double(), mean, atol=1e-5, rtol=1e-5)
    assert int(terms["weight"]) == int(data.lengths.sum())


def test_reconstruction_does_not_depend_on_padding() -> None:
    model = toy_omnijet()
    particles = ParticleSet(toy_jets(40), model.tokenizer.config.recipe)
    order = np.argsort(particles.lengths)
    short = order[:5]
    with torch.no_grad():
        alone, _ = reconstruction(model.tokenizer, particles.batch(short))
        batch = particles.batch(np.append(short, order[-1]))
        cut = type(batch)(batch.x[:5], batch.mask[:5], batch.label[:5], batch.recipe)
        padded, terms = reconstruction(model.tokenizer, cut)
    torch.testing.assert_close(alone, padded, atol=1e-5, rtol=1e-5)
    assert int(terms["weight"]) == particles.lengths[short].sum()
    assert 1 <= terms["perplexity"] <= 16


def test_classification_is_the_cross_entropy_of_the_true_class() -> None:
    tagger = Tagger(TaggerConfig(ParticleNetConfig.preset("tiny"), hidden=(8,))).eval()
    batch = ParticleSet(toy_jets(12), tagger.recipe).batch(np.arange(12))
    with torch.no_grad():
        loss, terms = classification(tagger, batch)
        chance = tagger(batch).softmax(1)
    torch.testing.assert_close(loss, -chance[torch.arange(12), batch.label].log().mean())
    assert terms["accuracy"] == pytest.approx((chance.argmax(1) == batch.label).float().mean().item())
    assert int(terms["weight"]) == 12
    with pytest.raises(InvalidJetsError, match="without labels"):
        classification(tagger, type(batch)(batch.x, batch.mask))


def test_each_objective_names_the_model_it_trains() -> None:
    model = toy_omnijet()
    for objective in (reconstruction, next_token, prompt_likelihood, classification):
        with pytest.raises(TypeError, match="found OmniJet"):
            objective(model, None)
