"""Learning on events: hidden jets are predicted without being told, trainings resume, few labels are enough to begin.

Most events here are pairs of jets of the sample, put side by side: no physics binds them. Those of the Delphes file are
physics, but they are few.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab
from jetlab.errors import CheckpointError, InvalidJetsError, JetLabError
from jetlab.jets import Events, concatenate
from jetlab.masking import Masking
from jetlab.models.event_batches import HiddenBatch
from jetlab.models.event_encoder import EventEncoder, EventEncoderConfig
from jetlab.models.event_jepa import EventJepa, EventJepaConfig
from jetlab.models.jepa import Jepa, JepaConfig
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.particlenet import ParticleNet, ParticleNetConfig
from jetlab.models.tagger import Tagger
from jetlab.objectives import JEPA
from jetlab.tasks import Learning, classify_events, fine_tune_events, fit_events
from jetlab.tasks.event_jepa import train_event_jepa
from jetlab.tasks.events import event_encoder_of
from jetlab.tasks.finetune import FROZEN, MODES, backbone_of
from jetlab.zoo import from_pretrained, save_pretrained

from .event_toys import pairs_of_jets, toy_events, turned
from .test_events import dijet_rows, labels, write_fixed

DELPHES = Path(__file__).parents[2] / "shared" / "data" / "coffea" / "delphes.root"

JET = JetEncoderConfig(width=16, depth=1, heads=2, expansion=2, tokens="groups", groups=6)
ENCODER = EventEncoderConfig(JET, n_jets=4, width=16, depth=1, heads=2, expansion=2)
SMALL = EventJepaConfig(ENCODER, width=8, depth=1, heads=2)

QUIET = {"progress": False}
SHORT = Learning(6, 16, device="cpu")


def made(config: EventJepaConfig = SMALL, seed: int = 0) -> EventJepa:
    """A model of which no weight is what it was made with; its encoders differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EventJepa(config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def hidden_batch(model: EventJepa, events: Events) -> HiddenBatch:
    return model.prepare(events).batch(np.arange(len(events)))


def same_weights(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


# ---- hidden jets ----------------------------------------------------------------------------------------------------


def test_json() -> None:
    config = replace(SMALL, masking=Masking("momentum", 2, (0.2, 0.3), "rest"))
    assert EventJepaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="predictor width 9 cannot be split into 2 heads"):
        replace(SMALL, width=9)


def test_some_jets_of_each_event_are_hidden_and_the_others_shown() -> None:
    events = toy_events((2, 3, 4, 1, 0) * 10)
    data = made().prepare(events)
    rows = np.arange(len(events))
    batch = data.batch(rows)
    hidden, shown = batch.targets[:, 0], batch.context
    assert torch.equal(hidden | shown, batch.batch.mask)
    assert not (hidden & shown).any()
    counts = np.minimum(events.n_jets, 4)
    assert (hidden.sum(1).numpy()[counts > 1] >= 1).all()
    assert (shown.sum(1).numpy()[counts > 1] >= 1).all()
    assert hidden[counts == 4].sum(1).unique().tolist() == [1, 2]
    assert not hidden[counts < 2].any()
    assert torch.equal(data.batch(rows).targets, batch.targets)
    assert not torch.equal(made().prepare(events, seed=1).batch(rows).targets, batch.targets)
    assert hidden[counts == 2].float().mean(0)[:2].tolist() != [1.0, 0.0]  # either of two
    assert data.lengths.tolist() == data.events.lengths.tolist()


def test_it_is_not_told_what_it_predicts() -> None:
    """Hidden jets that change, but stay where they are, change no prediction, only what is to be predicted."""
    model = made()
    masked = hidden_batch(model, toy_events((4, 3, 2, 4)))
    batch = masked.batch
    hidden = batch.mask & ~masked.context
    among = hidden[batch.mask]
    x, momenta = batch.jets.x.clone().requires_grad_(), batch.momenta.clone().requires_grad_()
    seen = replace(masked, batch=replace(batch, jets=replace(batch.jets, x=x), momenta=momenta))
    found = model(seen)
    assert not found.target.requires_grad
    found.context.square().sum().backward(retain_graph=True)
    assert not x.grad[among].any()
    assert not momenta.grad[hidden].any()
    found.predicted.square().sum().backward()
    assert not x.grad[among].any()
    assert x.grad[~among].any()
    assert not momenta.grad[hidden][:, [0, 3]].any()  # neither pT nor mass
    assert momenta.grad[hidden][:, 1:3].any()
    harder = batch.momenta * torch.where(hidden[..., None], torch.tensor([30.0, 1.0, 1.0, 4.0]), 1.0)
    other_x = torch.where(among[:, None, None], batch.jets.x.flip(1) + 0.3, batch.jets.x)
    changed = model(replace(masked, batch=replace(batch, jets=replace(batch.jets, x=other_x), momenta=harder)))
    assert torch.equal(changed.context, found.context)
    assert torch.equal(changed.predicted, found.predicted)
    assert not torch.allclose(changed.target, found.target, atol=1e-2)


def test_predictions_know_where_they_are_to_be_but_not_where_the_event_lies() -> None:
    model, events = made(), toy_events((4, 3, 2, 4))
    masked = hidden_batch(model, events)
    found = model(masked)
    aside = masked.batch.momenta + (masked.batch.mask & ~masked.context)[..., None] * torch.tensor([0.0, 0.0, 0.5, 0.0])
    other = model(replace(masked, batch=replace(masked.batch, momenta=aside)))
    assert torch.equal(other.context, found.context)
    assert not torch.allclose(other.predicted, found.predicted, atol=1e-3)
    by = model(hidden_batch(model, Events(turned(events.jets, 1.3), events.offsets)))
    for after, before in zip(by, found, strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)


def test_hidden_jets_that_are_nearly_opposite_are_predicted_alike() -> None:
    predictor = made().predictor
    where = predictor.where(torch.tensor([[[0.3, np.pi - 1e-4], [0.3, -np.pi + 1e-4], [0.3, 0.0]]]))[0]
    torch.testing.assert_close(where[1], where[0], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(where[2], where[0], atol=1e-2)


def test_what_is_predicted_are_encodings_of_the_whole_event() -> None:
    model = made()
    masked = hidden_batch(model, toy_events())
    whole = model.encode(masked.batch).particles
    torch.testing.assert_close(model(masked).target, whole[masked.targets[:, 0]])


def test_events_of_one_jet_and_none_are_harmless() -> None:
    model = made().train()
    data = model.prepare(toy_events((1, 0, 3, 1)))
    for rows in (np.array([0, 1]), np.array([1]), np.arange(4)):
        loss, terms = JEPA()(model, data.batch(rows))
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        assert terms["weight"] >= 1


# ---- training without labels ----------------------------------------------------------------------------------------


def trained(events: Events, **options):
    settings = {"config": ENCODER, "steps": 6, "batch_size": 8, "device": "cpu", "progress": False}
    return train_event_jepa(events, events[:8], **(settings | options))


def test_the_second_encoder_follows_in_training_only() -> None:
    model, objective = made(), JEPA(momentum=(0.9, 1.0), steps=4)
    masked = hidden_batch(model, toy_events())
    before = [p.clone() for p in model.target.parameters()]
    objective(model, masked)
    assert all(torch.equal(p, old) for p, old in zip(model.target.parameters(), before, strict=True))
    model.train()
    expected = [0.9 * old + 0.1 * new for old, new in zip(before, model.context.parameters(), strict=True)]
    loss, _ = objective(model, masked)
    loss.backward()
    for found, wanted in zip(model.target.parameters(), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert int(model.updates) == 1
    assert all(p.grad is None for p in model.target.parameters())
    learning = [p for n, p in model.context.named_parameters() if "told" not in n and "time" not in n]
    assert all(p.grad is not None for p in learning)


def test_a_resumed_training_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    events = toy_events((2, 3, 4, 1) * 6)
    whole = trained(events)
    asked = iter([False, False, True])
    half = trained(events, out=tmp_path, stop=lambda: next(asked))
    assert (half.run.steps, int(half.model.updates)) == (3, 3)
    resumed = trained(events, out=tmp_path)
    for name, values in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], values), name
    with pytest.raises(CheckpointError, match="contiguous"):
        trained(events, out=tmp_path, masking=Masking())


def test_a_short_training_learns_and_does_not_collapse() -> None:
    """The loss falls on pairs it does not learn from, and their encodings stay apart."""
    events = pairs_of_jets("Tbqq", 160)
    done = train_event_jepa(events[20:140], concatenate([events[:20], events[140:]]), config=ENCODER, steps=60,
                            batch_size=32, lr=3e-3, device="cpu", **QUIET)  # fmt: skip
    before, _ = JEPA()(made(), hidden_batch(made(), events[:20]))
    history = done.run.history
    assert history["loss"].iloc[-10:].mean() < 0.7 * history["loss"].iloc[:5].mean()
    assert history["valid_loss"].dropna().iloc[-1] < 0.7 * float(before.detach())
    encoded = done.model.encode(done.model.prepare(events).events.batch(np.arange(160)))
    assert float(encoded.jet.std(0).mean().detach()) > 0.2


@pytest.mark.skipif(not DELPHES.exists(), reason="the sample files are not here")
def test_a_short_training_on_physics_events_learns() -> None:
    jets = jetlab.load_jets(DELPHES)
    _, counts = np.unique(jets.info["event"], return_counts=True)
    events = Events(jets, np.cumsum([0, *counts]))
    done = trained(events, steps=40, batch_size=25, lr=3e-3)
    losses = done.run.history["loss"].to_numpy()
    assert losses[-5:].mean() < 0.8 * losses[:3].mean()


def test_it_starts_where_a_model_of_jets_ended() -> None:
    torch.manual_seed(0)
    jepa = Jepa(JepaConfig(JET, width=8, depth=1, heads=2))
    for parameter in jepa.target.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    done = trained(pairs_of_jets("Tbqq", 8), start=jepa, steps=1, lr=1e-9, objective=JEPA(momentum=(1.0, 1.0)))
    assert same_weights(done.model.target.jet, jepa.target)
    assert done.model.config.encoder.jet == JET
    assert done.model.config.encoder.width == 64  # of the preset
    again = trained(pairs_of_jets("Tbqq", 8), start=done.model, steps=1, objective=JEPA(momentum=(1.0, 1.0)))
    assert same_weights(again.model.target, done.model.target)


def test_it_is_saved(tmp_path: Path) -> None:
    model = made()
    model.updates += 3
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    masked = hidden_batch(model, toy_events())
    assert int(again.updates) == 3
    for found, kept in zip(again(masked), model(masked), strict=True):
        assert torch.equal(found, kept)


# ---- few labels -----------------------------------------------------------------------------------------------------


def test_few_labels_are_better_than_chance() -> None:
    """Forty labelled pairs of jets of top quarks and of QCD; the accuracy is that on 200 others."""
    train, valid, test = (pairs_of_jets("Tbqq", n, first=first) for first, n in ((0, 40), (100, 60), (300, 200)))
    tagger, outcome = fit_events(
        train, valid, config=ENCODER, learning=Learning(60, 20, lr=5e-3, device="cpu"), **QUIET
    )
    found = classify_events(tagger, test, progress=False)
    assert outcome.complete
    assert list(found.columns) == ["background", "signal"]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.to_numpy().argmax(1) == test.label).mean() > 0.75  # 0.5 by chance, with a spread of 0.035


def test_where_jets_lie_to_each_other_is_learned() -> None:
    """The same jets, back to back or not: no jet by itself tells which."""
    jets = pairs_of_jets("Tbqq", 200).jets
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    phi = rng.uniform(-np.pi, np.pi, 200)
    away = np.where(label == 1, np.pi, 0) + rng.uniform(-1, 1, 200)
    wanted = np.stack([phi, phi + away], 1).ravel()
    events = Events(turned(jets, wanted - jets.phi), np.arange(0, 401, 2), label=label)
    tagger, _ = fit_events(
        events[:120], events[120:150], config=ENCODER, learning=Learning(60, 30, lr=5e-3, device="cpu"), **QUIET
    )
    found = classify_events(tagger, events[150:], progress=False).to_numpy().argmax(1)
    assert (found == events.label[150:]).mean() > 0.85


@pytest.mark.parametrize("mode", MODES)
def test_what_learns_in_each_mode(mode: str) -> None:
    events = pairs_of_jets("Tbqq", 16)
    jepa, on_events = Jepa(JepaConfig(JET, width=8, depth=1, heads=2)), made()
    kept = [p.clone() for p in (*jepa.parameters(), *on_events.parameters())]
    of_jets, first = fine_tune_events(jepa, events, events, mode=mode, n_jets=2, learning=SHORT, **QUIET)
    of_events, second = fine_tune_events(on_events, events, events, mode=mode, learning=SHORT, **QUIET)
    assert first.run.steps == second.run.steps == 6
    assert same_weights(of_jets.backbone.jet, jepa.target) == (mode in FROZEN)
    assert same_weights(of_events.backbone, on_events.target) == (mode in FROZEN)
    assert (of_jets.config.hidden == ()) == (of_events.config.hidden == ()) == (mode == "linear")
    fresh = event_encoder_of(jepa, n_jets=2)
    assert not same_weights(of_jets.backbone.blocks, fresh.blocks)  # learns in every mode
    assert of_jets.config.backbone.n_jets == 2
    assert of_events.config.backbone == ENCODER
    now = (*jepa.parameters(), *on_events.parameters())
    assert all(torch.equal(p, old) for p, old in zip(now, kept, strict=True))


def test_a_training_can_be_stopped_watched_and_repeated() -> None:
    events = pairs_of_jets("Tbqq", 16)
    seen: list[tuple[int, int]] = []
    options = {"config": ENCODER, "learning": SHORT}
    one, _ = fit_events(events, events, progress=lambda *done: seen.append(done), seed=3, **options)
    two, _ = fit_events(events, events, seed=3, **QUIET, **options)
    other, _ = fit_events(events, events, seed=4, **QUIET, **options)
    assert same_weights(one, two)
    assert not same_weights(one, other)
    assert seen[-1] == (6, 6)
    asked = iter([False] + [True] * 9)
    _, outcome = fit_events(events, events, stop=lambda: next(asked), **QUIET, **options)
    assert not outcome.complete
    assert outcome.run.steps == 2


def test_a_tagger_of_events_is_saved_and_brings_its_encoder_along(tmp_path: Path) -> None:
    events = toy_events()
    tagger, _ = fit_events(events, events, config=ENCODER, learning=SHORT, **QUIET)
    again = from_pretrained(save_pretrained(tagger, tmp_path / "model"))
    table = classify_events(tagger, events, batch_size=2, progress=False)
    assert table.equals(classify_events(again, events, batch_size=2, progress=False))
    assert same_weights(backbone_of(again), tagger.backbone)
    stopped = classify_events(tagger, events, batch_size=2, progress=False, stop=iter([False, True]).__next__)
    assert np.isfinite(stopped).all(axis=1).sum() == 2


def test_events_of_a_file_of_the_lhc_olympics_are_learned_from(tmp_path: Path) -> None:
    """In that layout, with particles that were made up; one event has a single jet."""
    rows = np.concatenate([dijet_rows(20), labels(20)[:, None]], axis=1)
    events = jetlab.load_events(write_fixed(tmp_path / "events_anomalydetection_v2.h5", rows), progress=False)
    assert set(events.n_jets) == {1, 2}
    start = trained(events, steps=2).model
    tagger, outcome = fine_tune_events(start, events, events, learning=SHORT, **QUIET)
    assert outcome.run.steps == 6
    assert tagger.classes == ("background", "signal")
    assert np.isfinite(classify_events(tagger, events, progress=False)).all(axis=None)


def test_what_cannot_be_done_is_refused() -> None:
    events = toy_events()
    net = ParticleNet(ParticleNetConfig.preset("tiny"))
    with pytest.raises(JetLabError, match="events are read on a JetEncoder, but the backbone of a ParticleNet"):
        fine_tune_events(net, events, events, learning=SHORT)
    with pytest.raises(JetLabError, match="mode is 'warm'"):
        fine_tune_events(made(), events, events, mode="warm", learning=SHORT)
    with pytest.raises(JetLabError, match="expected a Tagger of events, found a Tagger of jets"):
        classify_events(Tagger.on(JetEncoder(JET), ("a", "b")), events)
    with pytest.raises(JetLabError, match="expected a Tagger of events, found a EventJepa;"):
        classify_events(made(), events)
    with pytest.raises(InvalidJetsError, match=r"tagging needs events .* there are background 4"):
        fine_tune_events(made(), events[events.label == 0], events, learning=SHORT)
    unlabelled = Events(events.jets, events.offsets)
    with pytest.raises(InvalidJetsError, match="no labelled events"):
        fit_events(unlabelled, unlabelled, learning=SHORT)
    tagger = Tagger.on(EventEncoder(ENCODER), ("a", "b"))
    with pytest.raises(InvalidJetsError, match="there are no events"):
        classify_events(tagger, events[:0], progress=False)
