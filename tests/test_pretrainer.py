"""Several models on one encoder, and mixtures of what they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.masking import MaskedBatch
from jetlab.models.constituent_grid import GRID
from jetlab.models.jepa import Jepa, JepaConfig
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.jepa_flow import JepaFlow, JepaFlowConfig
from jetlab.models.masked import MaskedModel, MaskedModelConfig
from jetlab.models.pretrainer import Pretrainer
from jetlab.models.prompts import PromptConfig
from jetlab.models.token_writer import TokenWriter, TokenWriterConfig
from jetlab.objectives import FlowMatching, MaskedParticles, Mixture, NextParticle
from jetlab.objectives.jepa import JEPA
from jetlab.tasks.finetune import backbone_of
from jetlab.tasks.pretraining_methods import METHODS, learner, needs_labels
from jetlab.train import fit

from .toys import toy_jets

JETS = toy_jets(60)
SMALL = JetEncoderConfig(width=16, depth=2, heads=2, told=3)
COARSE = replace(GRID, bins=(4, 4, 4))
EVERYTHING = Mixture(
    {
        "jepa": (JEPA(steps=20), 1.0),
        "masked": (MaskedParticles(), 0.5),
        "tokens": (NextParticle(), 1.0),
        "flow": (FlowMatching(mean_over="particles"), 2.0),
    }
)


def toy_pretrainer(*names: str) -> Pretrainer:
    torch.manual_seed(0)
    parts = {
        "jepa": lambda: Jepa(JepaConfig(SMALL, width=8, depth=1, heads=2)),
        "masked": lambda: MaskedModel(MaskedModelConfig(SMALL, 1, COARSE)),
        "tokens": lambda: TokenWriter(TokenWriterConfig(SMALL, PromptConfig(1, bins=8, width=8), COARSE, ())),
        "flow": lambda: JepaFlow(JepaFlowConfig(SMALL, head_depth=1)),
    }
    model = Pretrainer({name: parts[name]() for name in names or parts})
    model.learn_scale(ParticleSet(JETS, SMALL.recipe))
    return model


def test_all_parts_stand_on_one_encoder() -> None:
    model = toy_pretrainer()
    p = model.parts
    assert p["jepa"].context is p["masked"].encoder is p["tokens"].encoder is p["flow"].encoder is model.shared
    for one, other in zip(p["jepa"].target.parameters(), model.shared.parameters(), strict=True):
        torch.testing.assert_close(one, other)
        assert not one.requires_grad
    trained = [id(q) for q in model.parameters()]
    assert len(trained) == len(set(trained))
    assert model.encoder is p["jepa"].target
    assert toy_pretrainer("masked", "flow").encoder is not None
    backbone = backbone_of(model)
    assert isinstance(backbone, JetEncoder)
    assert all(q.requires_grad for q in backbone.parameters())  # also of a copy of the averaged encoder


def test_a_mixture_is_the_weighted_sum_of_its_parts() -> None:
    model = toy_pretrainer().eval()
    batch = model.prepare(JETS, seed=1).batch(np.arange(16))
    assert isinstance(batch, MaskedBatch)
    loss, terms = EVERYTHING(model, batch, torch.Generator().manual_seed(0))
    weighted = sum(weight * terms[name] for name, (_, weight) in EVERYTHING.parts.items())
    torch.testing.assert_close(loss.detach(), weighted)
    assert {"flow_class", "flow_velocity", "masked_tokens", "jepa_spread", "weight"} <= set(terms)
    alone, _ = MaskedParticles()(model.parts["masked"], batch.batch, torch.Generator().manual_seed(0))
    one, found = Mixture({"masked": (MaskedParticles(), 3.0)})(model, batch.batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(one, 3 * alone)
    torch.testing.assert_close(found["masked"], alone.detach())


def test_every_part_moves_the_shared_encoder() -> None:
    model = toy_pretrainer()
    batch = model.prepare(JETS).batch(np.arange(16))
    for name, (objective, _) in EVERYTHING.parts.items():
        model.zero_grad()
        Mixture({name: (objective, 1.0)})(model, batch, torch.Generator().manual_seed(0))[0].backward()
        assert model.shared.blocks[0].qkv.weight.grad.abs().sum() > 0, name


def test_a_jepa_is_told_nothing_and_needs_masks() -> None:
    model = toy_pretrainer()
    batch = model.prepare(JETS).batch(np.arange(8))
    assert batch.batch.cond is not None
    assert model.batch_for("jepa", batch).batch.cond is None
    assert model.batch_for("flow", batch).cond is not None
    with pytest.raises(InvalidJetsError, match="learns from batches with masks, found one without"):
        model.batch_for("jepa", batch.batch)
    assert isinstance(toy_pretrainer("flow").prepare(JETS).batch(np.arange(8)), ParticleBatch)


def test_training_learns_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    def train(model: Pretrainer, **options: object) -> None:
        return fit(
            model, EVERYTHING, model.prepare(JETS), steps=20, batch_size=20, optimizer="muon", lr=5e-3, progress=False,
            **options,
        )  # fmt: skip

    whole, part = toy_pretrainer(), toy_pretrainer()
    history = train(whole).history
    for term in ("flow", "masked", "tokens"):
        assert history[term].iloc[-4:].mean() < history[term].iloc[:4].mean(), term
    asked = iter([False] * 8 + [True])
    assert not train(part, out=tmp_path, stop=lambda: next(asked)).finished
    rest = toy_pretrainer()
    train(rest, out=tmp_path)
    for one, other in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    other = JepaFlow(JepaFlowConfig(replace(SMALL, depth=1)))
    with pytest.raises(JetLabError, match="masked, flow have encoders of different configurations"):
        Pretrainer({"masked": MaskedModel(MaskedModelConfig(SMALL, 1, COARSE)), "flow": other})
    with pytest.raises(JetLabError, match="or there are none"):
        Pretrainer({})
    with pytest.raises(JetLabError, match="found masked 0"):
        Mixture({"masked": (MaskedParticles(), 0)})
    model = toy_pretrainer("flow")
    batch = model.prepare(JETS).batch(np.arange(4))
    with pytest.raises(JetLabError, match="no part jepa, masked, tokens; it has flow"):
        EVERYTHING(model, batch)
    with pytest.raises(TypeError, match="trains a Pretrainer, found Linear"):
        EVERYTHING(torch.nn.Linear(1, 1), batch)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "none"])
def test_each_way_to_pretrain_learns_without_labels_unless_it_says_so(method: str) -> None:
    model, objective = learner(method, SMALL, classes=JETS.classes, steps=10)
    model.learn_scale(ParticleSet(JETS, SMALL.recipe))
    batch = model.prepare(JETS).batch(np.arange(8))
    loss, _ = objective(model, batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert torch.isfinite(loss)
    bare = replace(batch, batch=replace(batch.batch, label=None)) if "jepa" in method else replace(batch, label=None)
    if needs_labels(method):
        with pytest.raises(InvalidJetsError, match="needs labelled jets"):
            objective(model, bare, torch.Generator().manual_seed(0))
    else:
        model, _ = learner(method, SMALL, classes=JETS.classes, steps=10)
        model.learn_scale(ParticleSet(JETS, SMALL.recipe))
        torch.testing.assert_close(objective(model, bare, torch.Generator().manual_seed(0))[0], loss)


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(JetLabError, match="cannot pretrain by 'none'; expected one of jepa, masked"):
        learner("none", SMALL, classes=("QCD",), steps=1)
