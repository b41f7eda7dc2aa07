"""The encoder of events: what it is invariant under, which jets it reads, and what events with few jets become."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.errors import InvalidJetsError
from jetlab.jets import Events
from jetlab.models.event_batches import EventBatch, EventSet, jets_at
from jetlab.models.event_encoder import EventEncoder, EventEncoderConfig, from_hardest
from jetlab.models.heads import HEADS
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.jepa_pairs import OF_JETS, pair_features
from jetlab.models.tagger import Tagger
from jetlab.zoo import from_pretrained, save_pretrained

from .event_toys import COUNTS, pairs_of_jets, toy_events, turned
from .toys import toy_jets

JET = JetEncoderConfig(width=16, depth=1, heads=2, expansion=2, groups=4)
SMALL = EventEncoderConfig(JET, n_jets=4, width=12, depth=2, heads=2, expansion=2)

KINDS = ("particles", "groups", "subjets")
CLOSE = {"atol": 1e-4, "rtol": 1e-3}


def seeded(config: EventEncoderConfig = SMALL, seed: int = 0) -> EventEncoder:
    """An encoder of which no weight is what it was made with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = EventEncoder(config)
        for parameter in encoder.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder.eval()


def whole(data: EventSet) -> EventBatch:
    return data.batch(np.arange(len(data)))


def reordered(batch: EventBatch, order: torch.Tensor) -> EventBatch:
    """The same events with their places ``(B, K)`` in another order, padding among the jets too."""
    number = batch.mask.flatten().cumsum(0).reshape(batch.mask.shape) - 1
    mask = batch.mask.gather(1, order)
    momenta = batch.momenta.gather(1, order[..., None].expand(-1, -1, 4))
    return replace(batch, jets=jets_at(batch.jets, number.gather(1, order)[mask]), momenta=momenta, mask=mask)


# ---- configuration --------------------------------------------------------------------------------------------------


def test_presets_and_json() -> None:
    config = EventEncoderConfig.preset("small", n_jets=3, jet=JET)
    assert EventEncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert (config.jet, config.n_jets, config.width, config.depth) == (JET, 3, 128, 3)
    assert EventEncoderConfig.preset("tiny").jet == JetEncoderConfig.preset("tiny")
    assert config.recipe is JET.recipe


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 9}, "width 9 cannot be split into 2 heads"),
        ({"n_jets": 0}, "there are 0 jets of an event and 2 blocks"),
        ({"depth": 0}, "4 jets of an event and 0 blocks"),
    ],
)
def test_wrong_sizes_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **wrong)


# ---- batches --------------------------------------------------------------------------------------------------------


def test_only_real_jets_are_in_a_batch() -> None:
    events = toy_events()
    data = seeded().prepare(events)
    rows = np.array([4, 1, 6, 3])
    batch = data.batch(rows)
    assert batch.mask.sum(1).tolist() == [4, 0, 4, 1]  # of the five jets of an event, four are read
    assert len(batch.jets.mask) == 9
    assert batch.label.tolist() == events.label[rows].tolist()
    leading = events.leading(4)
    of_event = [leading[int(row)].jets for row in rows]
    pt = np.concatenate([jets.pt for jets in of_event])
    np.testing.assert_allclose(batch.momenta[batch.mask][:, 0].numpy(), pt, rtol=1e-5)
    assert batch.jets.mask.sum(1).tolist() == np.concatenate([jets.multiplicity for jets in of_event]).tolist()
    assert data.lengths.tolist() == [int(leading[i].jets.multiplicity.sum()) for i in range(len(events))]
    assert len(data) == len(COUNTS)


def test_momenta_are_those_of_the_jets() -> None:
    batch = whole(seeded().prepare(toy_events()))
    jets = toy_events().leading(4).jets
    e, _, _, pz = jets.p4.T
    expected = np.stack([jets.pt, 0.5 * np.log((e + pz) / (e - pz)), jets.phi, jets.mass**2], 1)
    np.testing.assert_allclose(batch.momenta[batch.mask].numpy(), expected, rtol=1e-4, atol=1e-4)
    assert not batch.momenta[~batch.mask].any()


def test_batches_move_as_one() -> None:
    moved = whole(seeded().prepare(toy_events())).to("meta")
    assert {moved.jets.x.device.type, moved.momenta.device.type, moved.label.device.type} == {"meta"}


def test_jets_alone_are_refused_and_so_are_events_by_taggers_of_jets() -> None:
    with pytest.raises(InvalidJetsError, match="a model of events reads Events, found Jets"):
        Tagger.on(seeded(), ("a", "b")).prepare(toy_jets(4))
    with pytest.raises(InvalidJetsError, match=r"this tagger reads jets, found Events; give it events.flattened\(\)"):
        Tagger.on(JetEncoder(JET), ("a", "b")).prepare(toy_events())


def test_typical_pairs_of_jets_are_of_like_size() -> None:
    """The numbers that scale the physics bias are those of real jets that lie opposite to each other."""
    events = pairs_of_jets("Tbqq", 200)
    momenta = torch.from_numpy(seeded().prepare(events).momenta).reshape(-1, 2, 4)
    momenta[:, 1, 2] = momenta[:, 0, 2] + np.pi + 0.2 * torch.randn(len(momenta))
    features = pair_features(momenta[:, 0], momenta[:, 1])
    mean, spread = map(torch.tensor, OF_JETS)
    scaled = (features - mean) / spread
    assert (scaled.abs() < 3).float().mean() > 0.98


# ---- what it is invariant under -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", KINDS)
def test_turning_the_event_changes_nothing(tokens: str) -> None:
    encoder = seeded(replace(SMALL, jet=replace(JET, tokens=tokens)))
    events = toy_events()
    found = encoder.encode(whole(encoder.prepare(events)))
    by = Events(turned(events.jets, 2.1), events.offsets)
    other = encoder.encode(whole(encoder.prepare(by)))
    torch.testing.assert_close(other.jet, found.jet, **CLOSE)
    torch.testing.assert_close(other.particles, found.particles, **CLOSE)


def test_turning_a_single_jet_changes_the_event() -> None:
    encoder, events = seeded(), pairs_of_jets("Tbqq", 8)
    one = Events(turned(events.jets, np.tile([0.0, 0.7], 8)), events.offsets)
    found, other = (encoder.encode(whole(encoder.prepare(some))).jet for some in (events, one))
    assert ((found - other).abs().amax(1) > 1e-3).all()


def test_where_the_event_lies_along_the_beam_matters_only_within_jets() -> None:
    """What is told about jets is told from the hardest: only energies, which jets are read with, know the beam."""
    encoder, events = seeded(), toy_events()
    batch = whole(encoder.prepare(events))
    shifted = batch.momenta + torch.tensor([0.0, 0.8, 0.0, 0.0]) * batch.mask[..., None]
    other = encoder.encode(replace(batch, momenta=shifted))
    torch.testing.assert_close(other.jet, encoder.encode(batch).jet, **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
def test_jets_may_come_in_any_order(bias: bool) -> None:
    encoder = seeded(replace(SMALL, physics_bias=bias))
    batch = whole(encoder.prepare(toy_events()))
    order = torch.rand(batch.mask.shape).argsort(1)
    found, other = encoder.encode(batch), encoder.encode(reordered(batch, order))
    torch.testing.assert_close(other.jet, found.jet, **CLOSE)
    torch.testing.assert_close(other.particles, found.particles.gather(1, order[..., None].expand(-1, -1, 12)), **CLOSE)


def test_jets_of_equal_momentum_may_be_exchanged() -> None:
    encoder = seeded()
    batch = whole(encoder.prepare(toy_events((3,))))
    equal = batch.momenta.clone()
    equal[0, 2, 0] = equal[0, 1, 0]
    batch = replace(batch, momenta=equal)
    found, other = encoder.encode(batch), encoder.encode(reordered(batch, torch.tensor([[0, 2, 1]])))
    torch.testing.assert_close(other.jet, found.jet, **CLOSE)


def test_particles_may_come_in_any_order() -> None:
    encoder = seeded()
    batch = whole(encoder.prepare(toy_events()))
    order = torch.rand(batch.jets.mask.shape).argsort(1)
    jets = replace(
        batch.jets, x=batch.jets.x.gather(1, order[..., None].expand_as(batch.jets.x)),
        mask=batch.jets.mask.gather(1, order),
    )  # fmt: skip
    torch.testing.assert_close(encoder.encode(replace(batch, jets=jets)).jet, encoder.encode(batch).jet, **CLOSE)


def test_neighbours_and_padding_change_nothing() -> None:
    """An event alone, its jets padded otherwise, is encoded as among others; what padding holds is not read."""
    encoder = seeded()
    data = encoder.prepare(toy_events())
    batch = whole(data)
    found = encoder.encode(batch)
    for row in range(len(data)):
        alone = encoder.encode(data.batch(np.array([row])))
        torch.testing.assert_close(alone.jet[0], found.jet[row], **CLOSE)
    padding = torch.where(batch.mask[..., None], batch.momenta, 7.0)
    x = torch.where(batch.jets.mask[..., None], batch.jets.x, 3.0)
    other = encoder.encode(replace(batch, momenta=padding, jets=replace(batch.jets, x=x)))
    torch.testing.assert_close(other.jet, found.jet, **CLOSE)
    assert not other.particles[~batch.mask].any()


def test_azimuth_is_taken_around_the_beam() -> None:
    momenta = torch.tensor([[[9.0, 1.0, 3.1, 0.0], [5.0, 0.5, -3.1, 0.0], [99.0, 0.0, 0.0, 0.0]]])
    found = from_hardest(momenta, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(found[0, 0], torch.tensor([9.0, 0.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[0, 1], torch.tensor([5.0, -0.5, 2 * np.pi - 6.2, 0.0]), atol=1e-5, rtol=0)


def test_jets_that_are_nearly_opposite_are_alike_on_both_sides() -> None:
    encoder = seeded()
    batch = whole(encoder.prepare(toy_events((2, 2))))
    momenta = batch.momenta.clone()
    momenta[1] = momenta[0]
    momenta[:, 1, 2] = momenta[:, 0, 2] + np.pi + torch.tensor([-1e-4, 1e-4])
    same = jets_at(batch.jets, torch.tensor([0, 1, 0, 1]))
    found = encoder.encode(replace(batch, momenta=momenta, jets=same)).jet
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=1e-3)


# ---- few jets, and jets that are not shown --------------------------------------------------------------------------


def test_events_with_one_jet_and_with_none() -> None:
    encoder = seeded()
    data = encoder.prepare(toy_events())
    empty, one = COUNTS.index(0), COUNTS.index(1)
    found = encoder.encode(data.batch(np.array([empty, one])))
    assert not found.jet[0].any()
    assert not found.mask[0].any()
    torch.testing.assert_close(found.jet[1], found.particles[1, 0])
    assert found.jet[1].abs().sum() > 0.1
    nothing = encoder.encode(data.batch(np.array([empty, empty])))
    assert nothing.jet.shape == (2, 12)
    assert not nothing.jet.any()
    for name, head in HEADS.items():
        assert torch.isfinite(head(12, 3)(found)).all(), name


def test_jets_that_are_not_shown_have_no_part() -> None:
    """The rest is encoded as if the event had no other jets, and nothing flows back to those that are hidden."""
    encoder = seeded()
    batch = whole(encoder.prepare(toy_events((4, 3, 2))))
    visible = batch.mask.clone()
    visible[:, 0] = False  # the hardest, from which directions are taken otherwise
    hidden = ~visible[batch.mask]
    x, momenta = batch.jets.x.clone().requires_grad_(), batch.momenta.clone().requires_grad_()
    found = encoder.encode(replace(batch, jets=replace(batch.jets, x=x), momenta=momenta), visible=visible)
    rest = EventBatch(jets_at(batch.jets, (~hidden).nonzero()[:, 0]), batch.momenta[:, 1:], batch.mask[:, 1:])
    expected = encoder.encode(rest)
    torch.testing.assert_close(found.jet, expected.jet, **CLOSE)
    torch.testing.assert_close(found.particles[:, 1:], expected.particles, **CLOSE)
    assert not found.particles[:, 0].any()
    found.jet.square().sum().backward()
    assert not x.grad[hidden].any()
    assert x.grad[~hidden].any()
    assert not momenta.grad[:, 0].any()
    assert momenta.grad[:, 1].any()


# ---- heads and files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", sorted(HEADS))
def test_every_head_of_a_tagger_works_on_it_and_is_saved(head: str, tmp_path: Path) -> None:
    tagger = Tagger.on(seeded(), ("background", "signal"), head=head, hidden=(8,)).eval()
    batch = whole(tagger.prepare(toy_events()))
    logits = tagger(batch)
    assert logits.shape == (len(COUNTS), 2)
    again = from_pretrained(save_pretrained(tagger, tmp_path / "model"))
    assert again.config == tagger.config
    assert torch.equal(again(batch), logits)


def test_a_pretrained_encoder_of_jets_is_taken_over() -> None:
    jet = seeded().jet
    made = EventEncoder.on(jet, preset="tiny", n_jets=2)
    assert made.jet is jet
    assert made.config.jet == JET
    data = made.prepare(pairs_of_jets("Tbqq", 4))
    assert made.encode(whole(data)).jet.shape == (4, 64)
