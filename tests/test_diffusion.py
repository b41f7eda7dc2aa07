"""The diffusion of OmniLearn: its schedule and losses in closed form, and samplers against a known score."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import jetlab
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import CheckpointError, InvalidJetsError, JetLabError
from jetlab.features import PET_JET_RECIPE
from jetlab.models.encoding import Denoised
from jetlab.models.omnilearn import OmniLearn, OmniLearnConfig
from jetlab.models.prior import Prior
from jetlab.objectives import Diffusion
from jetlab.objectives.diffusion import diffused, log_snr, rates
from jetlab.samplers.diffusion import sample_diffusion

from .toys import identified_jets

WIDE = Prior((0.5, -2.0), (1.5, 0.7))


class Known(torch.nn.Module):
    """Gives fixed logits and a multiple of the noisy features as velocity."""

    def __init__(self, *, factor: float = 0.0, prior: Prior | None = None) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([2.0, 0.0, -1.0]))
        self.factor, self.prior, self.features_generated = factor, prior or Prior.standard(2), 2
        self.seen: list[tuple[ParticleBatch, torch.Tensor]] = []

    def classify(self, batch: ParticleBatch) -> torch.Tensor:
        return self.logits.expand(len(batch.mask), -1)

    def denoise(self, batch: ParticleBatch, time: torch.Tensor, label: torch.Tensor | None = None) -> Denoised:
        self.seen.append((batch, time))
        return Denoised(self.factor * batch.x[..., :2], self.classify(batch))


def toy_batch(jets: int = 400, *, particles: int = 6) -> ParticleBatch:
    drawn = torch.Generator().manual_seed(3)
    mask = torch.arange(particles) < torch.randint(1, particles + 1, (jets, 1), generator=drawn)
    x = torch.randn(jets, particles, 4, generator=drawn) * mask[..., None]
    return ParticleBatch(x, mask, torch.randint(0, 3, (jets,), generator=drawn))


# ---- the schedule ---------------------------------------------------------------------------------------------------


def test_the_ratio_of_signal_to_noise_falls_from_20_to_minus_20() -> None:
    time = torch.linspace(0, 1, 11, dtype=torch.float64)
    ratio = log_snr(time)
    np.testing.assert_allclose(ratio[[0, 5, 10]], [20, 0, -20], atol=1e-9)
    np.testing.assert_allclose(ratio, -ratio.flip(0), atol=1e-9)
    assert (ratio.diff() < 0).all()
    signal, noise = rates(time)
    np.testing.assert_allclose(signal**2 + noise**2, 1)
    np.testing.assert_allclose(signal, torch.cos(0.5 * math.pi * time), atol=1e-4)


def test_velocity_and_noisy_features_give_back_jet_and_noise() -> None:
    x, noise, time = torch.randn(5, 3, 2), torch.randn(5, 3, 2), torch.rand(5)
    noisy, velocity = diffused(x, noise, time, Prior.standard(2))
    signal, share = rates(time).over(x)
    torch.testing.assert_close(signal * noisy - share * velocity, x)
    torch.testing.assert_close(share * noisy + signal * velocity, noise)
    ends = torch.tensor([0.0, 1.0])
    noisy, _ = diffused(x[:2], noise[:2], ends, WIDE)
    torch.testing.assert_close(noisy[0], x[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(noisy[1], noise[1], atol=1e-3, rtol=1e-3)


def test_noise_follows_its_prior_and_spares_padding() -> None:
    batch = toy_batch(4000)
    noise = WIDE.draw(batch.mask, torch.Generator().manual_seed(0))
    assert not noise[~batch.mask].any()
    np.testing.assert_allclose(noise[batch.mask].mean(0), WIDE.mean, atol=0.05)
    np.testing.assert_allclose(noise[batch.mask].std(0), WIDE.std, rtol=0.05)
    assert torch.equal(noise, WIDE.draw(batch.mask, torch.Generator().manual_seed(0)))


# ---- the losses -----------------------------------------------------------------------------------------------------


def test_the_losses_are_those_of_the_paper() -> None:
    batch, model = toy_batch(), Known(factor=0.3)
    loss, terms = Diffusion()(model, batch, torch.Generator().manual_seed(0))
    drawn = torch.Generator().manual_seed(0)
    time, noise = torch.rand(400, generator=drawn), torch.randn(400, 6, 2, generator=drawn)
    signal, share = rates(time)
    noisy = signal[:, None, None] * batch.x[..., :2] + share[:, None, None] * noise
    target = signal[:, None, None] * noise - share[:, None, None] * batch.x[..., :2]
    error = ((target - 0.3 * noisy) * batch.mask[..., None]).square().sum() / (2 * batch.mask.sum())
    torch.testing.assert_close(terms["velocity"], error)
    entropies = torch.nn.functional.cross_entropy(model.classify(batch), batch.label, reduction="none").detach()
    torch.testing.assert_close(terms["class"], entropies.mean())
    torch.testing.assert_close(terms["smeared_class"], (signal**2 * entropies).mean())
    torch.testing.assert_close(loss.detach(), terms["velocity"] + terms["class"] + terms["smeared_class"])
    assert terms["accuracy"] == pytest.approx((batch.label == 0).float().mean().item())
    assert int(terms["weight"]) == 400
    seen, at = model.seen[0]
    torch.testing.assert_close(at, time)
    torch.testing.assert_close(seen.x[..., :2], noisy * batch.mask[..., None])
    torch.testing.assert_close(seen.x[..., 2:], batch.x[..., 2:])


def test_padding_enters_no_loss() -> None:
    batch, model = toy_batch(), Known(factor=0.3)
    wrong = replace(batch, x=torch.where(batch.mask[..., None], batch.x, 50.0))
    expected, _ = Diffusion()(model, batch, torch.Generator().manual_seed(0))
    found, _ = Diffusion()(model, wrong, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, expected)


def test_parts_can_be_left_out() -> None:
    batch = toy_batch()
    _, terms = Diffusion(classes=False)(Known(), replace(batch, label=None))
    assert set(terms) == {"loss", "velocity", "weight"}
    _, terms = Diffusion(generation=False)(Known(), batch)
    assert set(terms) == {"loss", "class", "accuracy", "weight"}
    _, terms = Diffusion(smeared=False)(Known(), batch)
    assert "smeared_class" not in terms
    with pytest.raises(JetLabError, match="neither classes nor generation"):
        Diffusion(classes=False, generation=False)
    with pytest.raises(InvalidJetsError, match="found a batch without labels"):
        Diffusion()(Known(), replace(batch, label=None))
    with pytest.raises(TypeError, match="found Linear"):
        Diffusion()(torch.nn.Linear(1, 1), batch)


def omnilearn() -> OmniLearn:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return OmniLearn(OmniLearnConfig.preset("tiny"))


def test_omnilearn_guesses_the_numbers_about_the_jet_too() -> None:
    model = omnilearn().eval()
    batch = ParticleSet(identified_jets(8), model.recipe, conditions=PET_JET_RECIPE).batch(np.arange(8))
    with torch.no_grad():
        _, terms = Diffusion()(model, batch, torch.Generator().manual_seed(0))
        judged = model.judge(batch)
    assert {"cond", "smeared_cond"} < set(terms)
    torch.testing.assert_close(terms["cond"], (judged.cond - batch.cond).square().mean())
    assert terms["smeared_cond"] < 2 * terms["cond"]


def test_training_lowers_every_term() -> None:
    model, sample = omnilearn(), identified_jets(40)
    data = ParticleSet(sample, model.recipe, conditions=PET_JET_RECIPE)
    run = jetlab.fit(
        model,
        Diffusion(),
        data,
        epochs=10,
        batch_size=20,
        lr=3e-4,
        optimizer="lion",
        betas=(0.95, 0.98),
        progress=False,
    )
    history = run.history
    for term in ("class", "velocity", "cond", "smeared_class"):
        assert history[term].iloc[-1] < history[term].iloc[0], term


def test_a_training_does_not_go_on_with_other_parts(tmp_path) -> None:
    model = omnilearn()
    data = ParticleSet(identified_jets(10), model.recipe, conditions=PET_JET_RECIPE)
    jetlab.fit(model, Diffusion(), data, steps=1, batch_size=5, out=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=r"objective was 'Diffusion\(classes=True.*is now .*smeared=False"):
        jetlab.fit(model, Diffusion(smeared=False), data, steps=1, batch_size=5, out=tmp_path, progress=False)


# ---- samplers -------------------------------------------------------------------------------------------------------

MEAN, SPREAD = torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0])


def known_velocity(prior: Prior):
    """Velocity of a diffusion of normal numbers, whose score is known."""
    center, width = prior.tensors(MEAN)

    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        signal, noise = rates(time).over(x)
        off = x - center - signal * (MEAN - center)
        variance = (signal * SPREAD) ** 2 + (noise * width) ** 2
        clean = MEAN - center + signal * SPREAD**2 / variance * off
        return signal * (noise * width**2 / variance * off) - noise * clean

    return velocity


@pytest.mark.parametrize("prior", [Prior.standard(2), WIDE])
@pytest.mark.parametrize(
    ("method", "steps", "close"), [("heun", 16, 0.02), ("ddim", 300, 0.03), ("ancestral", 200, 0.05)]
)
def test_samplers_find_a_known_distribution(prior: Prior, method: str, steps: int, close: float) -> None:
    mask = torch.ones(2000, 5, dtype=torch.bool)
    mask[:, 4] = False
    drawn = torch.Generator().manual_seed(1)
    x = sample_diffusion(known_velocity(prior), mask, prior, steps=steps, method=method, generator=drawn)
    assert not x[~mask].any()
    np.testing.assert_allclose(x[mask].mean(0), MEAN, atol=2 * close)
    np.testing.assert_allclose(x[mask].std(0), SPREAD, rtol=close + 0.015)


def test_heun_converges_with_the_square_of_the_steps() -> None:
    """The path from noise to jets is a straight line in the deviations, so that each start has a known end."""
    mask, prior = torch.ones(50, 4, dtype=torch.bool), Prior.standard(2)
    start = prior.draw(mask, torch.Generator().manual_seed(0))
    signal, noise = rates(torch.tensor(1.0))
    expected = MEAN + SPREAD * (start - signal * MEAN) / ((signal * SPREAD) ** 2 + noise**2).sqrt()
    errors = []
    for steps in (16, 32, 64):
        x = sample_diffusion(known_velocity(prior), mask, prior, steps=steps, method="heun", start=start)
        errors.append((x - expected).abs().max().item())
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


@pytest.mark.parametrize(("method", "calls"), [("ddim", 20), ("heun", 19), ("ancestral", 10)])
def test_calls_are_counted_and_generation_stops_on_request(method: str, calls: int) -> None:
    seen: list[float] = []

    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen.append(float(time[0]))
        return torch.zeros_like(x)

    mask, prior = torch.ones(2, 3, dtype=torch.bool), Prior.standard(2)
    assert sample_diffusion(velocity, mask, prior, steps=10, method=method) is not None
    assert len(seen) == calls
    assert seen[0] == 1
    seen.clear()
    assert sample_diffusion(velocity, mask, prior, steps=10, method=method, stop=lambda: len(seen) > 3) is None
    with pytest.raises(JetLabError, match="method is 'euler' with 10 steps, expected one of ddim, heun, ancestral"):
        sample_diffusion(velocity, mask, prior, steps=10, method="euler")


def test_omnilearn_generates_with_guidance() -> None:
    model = omnilearn().eval()
    batch = ParticleSet(identified_jets(4), model.recipe, conditions=PET_JET_RECIPE).batch(np.arange(4))

    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return model.denoise(replace(batch, x=x), time, batch.label, guidance=0.5).velocity

    drawn = torch.Generator().manual_seed(0)
    x = sample_diffusion(velocity, batch.mask, model.prior, steps=4, method="heun", generator=drawn)
    assert x.shape == (*batch.mask.shape, 3)
    assert not x[~batch.mask].any()
    values, offsets = replace(batch, x=x).packed()
    pt = model.conditions.inverse(batch.cond.numpy())["pt"]
    made = model.recipe.inverse(values.double().numpy(), offsets.numpy(), jet_pt=pt, label=batch.label.numpy())
    assert len(made) == 4
    assert (made.pt > 0).all()
