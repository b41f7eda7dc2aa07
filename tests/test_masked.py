"""Masked particle modelling: what is hidden, what is seen, what is learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleBatch
from jetlab.errors import JetLabError
from jetlab.features import PET2_RECIPES
from jetlab.models.constituent_grid import GRID
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.masked import MaskedModel, MaskedModelConfig
from jetlab.objectives import MaskedParticles
from jetlab.objectives.masked import draw_hidden
from jetlab.tasks.finetune import backbone_of
from jetlab.train import fit
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import toy_jets

JETS = toy_jets(60)
SMALL = JetEncoderConfig(width=16, depth=2, heads=2, told=3)


def toy_model() -> MaskedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MaskedModel(MaskedModelConfig(SMALL, grid=replace(GRID, bins=(4, 4, 4))))
    model.learn_scale(model.prepare(JETS))
    return model.eval()


@pytest.fixture(scope="module")
def batch() -> ParticleBatch:
    return toy_model().prepare(JETS).batch(np.arange(12))


def test_the_share_is_hidden_of_every_jet() -> None:
    mask = torch.arange(40) < torch.tensor([[40], [10], [3], [2], [1], [0]])
    hidden = torch.stack([draw_hidden(mask, 0.4, torch.Generator().manual_seed(s)) for s in range(200)])
    assert hidden.sum(2).unique(dim=0).tolist() == [[16, 4, 1, 1, 0, 0]]
    assert not hidden[:, ~mask].any()
    torch.testing.assert_close(hidden[:, 0].float().mean(0), torch.full((40,), 0.4), atol=0.15, rtol=0)  # any of them
    assert draw_hidden(mask, 0.99).sum(1).tolist() == [39, 9, 2, 1, 0, 0]


def test_guesses_do_not_know_what_is_hidden(batch: ParticleBatch) -> None:
    model = toy_model()
    hidden = draw_hidden(batch.mask, 0.4, torch.Generator().manual_seed(0))
    guess = model(batch, hidden)
    x = batch.x.clone().requires_grad_()
    out = model(replace(batch, x=x), hidden)
    (out.inputs.square().sum() + out.logits.square().sum()).backward()
    assert not x.grad[hidden].any()
    assert x.grad[batch.mask & ~hidden].any(-1).all()
    told = model(replace(batch, cond=torch.randn(12, 3)), hidden)
    torch.testing.assert_close(told.inputs, guess.inputs)
    real = guess.true_inputs * model.spread + model.mean
    torch.testing.assert_close(real, batch.x[hidden], atol=1e-5, rtol=1e-5)


def test_hidden_particles_differ_by_their_rank(batch: ParticleBatch) -> None:
    model = toy_model()
    hidden = torch.zeros_like(batch.mask)
    hidden[:, :2] = batch.mask[:, :2]
    guess = model(batch, hidden).inputs.unflatten(0, (-1, 2))
    assert (guess[:, 0] - guess[:, 1]).abs().amax(-1).min() > 1e-4


def test_padding_changes_nothing(batch: ParticleBatch) -> None:
    model = toy_model()
    hidden = draw_hidden(batch.mask, 0.4, torch.Generator().manual_seed(0))
    n = int(batch.mask[3].sum())
    alone = ParticleBatch(batch.x[3:4, :n], batch.mask[3:4, :n])
    one = model(alone, hidden[3:4, :n])
    before, count = int(hidden[:3].sum()), int(hidden[3].sum())
    whole = model(batch, hidden)
    torch.testing.assert_close(one.inputs, whole.inputs[before : before + count], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("targets", ["regression", "tokens", "both"])
def test_each_kind_of_target_has_its_terms(batch: ParticleBatch, targets: str) -> None:
    loss, terms = MaskedParticles(targets)(toy_model(), batch, torch.Generator().manual_seed(0))
    parts = {"regression", "tokens"} & set(terms)
    assert parts == ({"regression", "tokens"} if targets == "both" else {targets})
    torch.testing.assert_close(loss.detach(), torch.stack([terms[p] for p in parts]).sum())
    if "tokens" in parts:
        assert terms["tokens"] == pytest.approx(np.log(64), abs=0.6)


def test_training_learns_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    def train(model: MaskedModel, **options: object) -> None:
        return fit(
            model, MaskedParticles(), model.prepare(JETS), steps=40, batch_size=20, lr=5e-3, progress=False, **options
        )  # fmt: skip

    whole, part = toy_model(), toy_model()
    losses = train(whole).history["loss"].dropna()
    assert losses.iloc[-5:].mean() < losses.iloc[:5].mean() - 0.1
    asked = iter([False] * 15 + [True])
    assert not train(part, out=tmp_path, stop=lambda: next(asked)).finished
    rest = toy_model()
    train(rest, out=tmp_path)
    for one, other in zip(whole.parameters(), rest.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_a_jet_of_one_particle_has_nothing_to_guess() -> None:
    model = toy_model()
    lonely = ParticleBatch(torch.zeros(2, 1, 4), torch.tensor([[True], [False]]))
    loss, terms = MaskedParticles()(model, lonely)
    assert loss == 0
    assert terms["weight"] == 1
    loss.backward()


def test_a_saved_model_is_the_same_and_has_a_backbone(tmp_path: Path, batch: ParticleBatch) -> None:
    model = toy_model()
    again = from_pretrained(save_pretrained(model, tmp_path / "model")).eval()
    hidden = draw_hidden(batch.mask, 0.4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(batch, hidden).logits, again(batch, hidden).logits)
    assert again.config == model.config
    assert isinstance(backbone_of(model), JetEncoder)


def test_what_makes_no_sense_is_refused(batch: ParticleBatch) -> None:
    with pytest.raises(JetLabError, match=r"targets is 'guess' and share 0\.4, expected one of regression"):
        MaskedParticles("guess")
    with pytest.raises(JetLabError, match="share between 0 and 1"):
        MaskedParticles(share=1.0)
    with pytest.raises(TypeError, match="trains a MaskedModel, found Linear"):
        MaskedParticles()(torch.nn.Linear(1, 1), batch)
    with pytest.raises(ValueError, match="the encoder reads groups; take tokens='particles'"):
        MaskedModelConfig(replace(SMALL, tokens="groups"))
    with pytest.raises(ValueError, match="do not give the inputs of pet2-types"):
        MaskedModelConfig(replace(SMALL, recipe=PET2_RECIPES["types"]))
