"""The JEPA encoder that generates: heads, what is told where, and a pretrained encoder as the start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import JET_KINEMATICS
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.jepa_flow import JepaFlow, JepaFlowConfig
from jetlab.models.jepa_start import take_over
from jetlab.models.jetflow import JetFlow
from jetlab.models.tagger import Tagger
from jetlab.objectives import FlowMatching
from jetlab.tasks import classify
from jetlab.tasks.finetune import backbone_of
from jetlab.tasks.jetflow import train_jetflow
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import identified_jets, toy_jetflow, toy_jets

SMALL = JetEncoderConfig(width=16, depth=2, heads=2, told=3)


def toy_flow(**changes: object) -> JepaFlow:
    """A small model whose layers for what is told are not zero any more, as after a training."""
    model = JepaFlow(JepaFlowConfig(SMALL, **changes))
    shake(model)
    return model.eval()


def shake(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)


@pytest.fixture(scope="module")
def batch() -> ParticleBatch:
    jets = toy_jets(12)
    return ParticleSet(jets, SMALL.recipe, conditions=JET_KINEMATICS).batch(np.arange(12))


def test_velocities_are_told_class_kinematics_and_time_and_logits_only_of_noisy_jets(batch: ParticleBatch) -> None:
    model, time = toy_flow(), torch.full((12,), 0.5)
    out = model.denoise(batch, time, batch.label)
    assert out.velocity.shape == batch.x.shape
    assert not out.velocity[~batch.mask].any()
    other = model.denoise(batch, time, (batch.label + 1) % 10)
    assert not torch.allclose(out.velocity, other.velocity)
    torch.testing.assert_close(out.logits, other.logits)  # the classifier must not be told the class
    elsewhere = replace(batch, cond=batch.cond + 1)
    assert not torch.allclose(out.velocity, model.denoise(elsewhere, time, batch.label).velocity)
    assert not torch.allclose(out.velocity, model.denoise(batch, time / 2, batch.label).velocity)
    torch.testing.assert_close(model.classify(batch), model.classify(elsewhere))
    torch.testing.assert_close(model(batch), model.classify(replace(batch, cond=None)))


def test_padding_and_order_change_nothing(batch: ParticleBatch) -> None:
    model, time = toy_flow(), torch.full((12,), 0.3)
    whole = model.denoise(batch, time, batch.label)
    n = int(batch.mask[2].sum())
    alone = ParticleBatch(
        batch.x[2:3, :n], batch.mask[2:3, :n], batch.label[2:3], batch.recipe, batch.cond[2:3]
    )  # fmt: skip
    one = model.denoise(alone, time[:1], alone.label)
    torch.testing.assert_close(one.velocity[0], whole.velocity[2, :n], atol=1e-5, rtol=1e-4)
    order = torch.randperm(n)
    mixed = model.denoise(replace(alone, x=alone.x[:, order]), time[:1], alone.label)
    torch.testing.assert_close(mixed.velocity, one.velocity[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed.logits, one.logits, atol=1e-5, rtol=1e-4)


def test_each_task_has_its_heads(batch: ParticleBatch) -> None:
    time = torch.zeros(12)
    with pytest.raises(JetLabError, match="is for generator; it has no head for classes"):
        toy_flow(task="generator").classify(batch)
    with pytest.raises(JetLabError, match="is for classifier; it has no head for velocities"):
        toy_flow(task="classifier").denoise(batch, time, batch.label)
    with pytest.raises(InvalidJetsError, match="told the class of each jet, one of 10; give label"):
        toy_flow().denoise(batch, time)
    with pytest.raises(InvalidJetsError, match="told 3 numbers about each noisy jet, the batch has none"):
        toy_flow().denoise(replace(batch, cond=None), time, batch.label)
    one_class = toy_flow(task="generator", classes=("QCD",))
    assert one_class.denoise(batch, time).logits is None


def test_configurations_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="task is 'dream', expected one of classifier, generator, pretrain"):
        JepaFlowConfig(SMALL, "dream")
    with pytest.raises(ValueError, match="the encoder reads groups; take tokens='particles'"):
        JepaFlowConfig(replace(SMALL, tokens="groups"))
    assert JepaFlowConfig(replace(SMALL, tokens="groups"), "classifier").classifies
    with pytest.raises(ValueError, match="needs the names of its classes"):
        JepaFlowConfig(SMALL, classes=())


@pytest.mark.parametrize("contrastive", [False, True])
def test_flow_matching_reaches_every_weight(batch: ParticleBatch, contrastive: bool) -> None:
    model = toy_flow()
    loss, terms = FlowMatching(contrastive=contrastive)(model, batch, torch.Generator().manual_seed(0))
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert set(without) <= {"encoder.registers"}
    assert {"class", "velocity", "perturbed_class"} <= set(terms)


def test_an_encoder_takes_over_weights() -> None:
    start, told = JetEncoder(replace(SMALL, told=0)), JetEncoder(SMALL)
    shake(start)
    take_over(told, start)
    for name, weight in start.state_dict().items():
        torch.testing.assert_close(told.state_dict()[name], weight)
    with pytest.raises(JetLabError, match=r"does not fit this model .*depth 2 against 3"):
        take_over(told, JetEncoder(replace(SMALL, depth=3)))
    with pytest.raises(JetLabError, match="told 3 against 2"):
        take_over(told, JetEncoder(replace(SMALL, told=2)))


def test_training_starts_from_a_pretrained_encoder() -> None:
    jets, start = identified_jets(40), JetEncoder(replace(SMALL, told=0, registers=2))
    shake(start)
    options = {"prompt_steps": 1, "batch_size": 20, "progress": False, "network": "jepa", "start": start}
    training = train_jetflow(jets, jets, steps=1, lr=1e-9, **options)
    encoder = training.model.particles.encoder
    assert encoder.config == replace(start.config, told=3)
    for name, weight in start.state_dict().items():
        torch.testing.assert_close(encoder.state_dict()[name], weight, atol=1e-6, rtol=1e-5)
    with pytest.raises(JetLabError, match="the network omnilearned has no JEPA encoder to begin with"):
        train_jetflow(jets, jets, steps=1, **(options | {"network": "omnilearned"}))


def test_training_learns_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    jets = identified_jets(40)
    start = JetEncoder(SMALL)
    options = {"prompt_steps": 2, "steps": 12, "batch_size": 20, "progress": False, "network": "jepa", "start": start}
    whole = train_jetflow(jets, jets, lr=3e-3, **options)
    losses = whole.particles.history["loss"].dropna()
    assert losses.iloc[-3:].mean() < losses.iloc[:3].mean()
    asked = iter([False] * 7 + [True] * 100)
    part = train_jetflow(jets, jets, lr=3e-3, **options, out=tmp_path, stop=lambda: next(asked))
    assert part is None or not part.particles.finished
    rest = train_jetflow(jets, jets, lr=3e-3, **options, out=tmp_path)
    for one, other in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_it_generates_classifies_and_becomes_a_tagger(tmp_path: Path) -> None:
    model = toy_jetflow(network="jepa")
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    assert isinstance(again, JetFlow)
    assert again.config == model.config
    one, two = (jetlab.generate(m, 6, classes="Tbqq", seed=2, steps=2, progress=False) for m in (model, again))
    np.testing.assert_array_equal(one.flat("pt"), two.flat("pt"))
    assert classify(model, toy_jets(10), progress=False).shape[0] == 10
    encoder = backbone_of(model)
    assert isinstance(encoder, JetEncoder)
    assert encoder is not model.particles.encoder
    jets = toy_jets(6)
    tagger = Tagger.on(encoder, ("QCD", "Tbqq")).eval()
    batch = tagger.prepare(jets).batch(np.arange(6))
    torch.testing.assert_close(encoder.encode(batch).jet, model.encode(model.prepare(jets).batch(np.arange(6))).jet)
    assert tagger(batch).shape == (6, 2)


def test_the_command_starts_from_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jets(toy_jets(60), tmp_path / "jets.parquet")
    save_pretrained(toy_flow(), tmp_path / "start")
    words = ["train", "omnilearned", file, "--network", "jepa", "--start", tmp_path / "start", "--steps", 1]
    words += ["--prompt-steps", 1, "--batch-size", 8, "--out", tmp_path / "a"]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code
    capsys.readouterr()
    made = from_pretrained(tmp_path / "a" / "model")
    assert made.particles.config.encoder == SMALL
    card = (tmp_path / "a" / "model" / "README.md").read_text(encoding="utf-8")
    assert "JEPA encoder, 2 blocks of width 16 with 2 heads;" in card
