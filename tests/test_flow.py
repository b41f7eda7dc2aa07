"""The losses of OmniLearned: flow matching, classes of jets and events, clean and noisy; regression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET_JET_RECIPE
from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig
from jetlab.models.prior import Prior
from jetlab.objectives import Diffusion, FlowMatching, regression
from jetlab.objectives.denoising import class_loss, class_weights, own_classes, velocity_loss
from jetlab.objectives.flow import contrastive_losses, mixed

from .test_diffusion import Known, omnilearn, toy_batch
from .toys import identified_jets

PARITY = next(
    (p / "shared" / "parity" / "omnilearned" for p in Path(__file__).parents if (p / "shared").is_dir()), None
)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the golden folders of OmniLearned are not here")


def entropies(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, label, reduction="none")


# ---- the losses of the original -------------------------------------------------------------------------------------


@needs_parity
@pytest.mark.parametrize("name", ["pretrain", "generator"])
def test_the_velocity_loss_is_that_of_the_original(name: str) -> None:
    """Which counts a particle of exactly 1 GeV, although its network takes it for padding."""
    stored = np.load(PARITY / name / "io.npz")
    rows = stored["loss_sel"]
    z_pred, v = (torch.from_numpy(stored[key][rows]) for key in ("z_pred", "v"))
    found = velocity_loss(z_pred, v, v[..., 0] != 0, mean_over="jets")
    torch.testing.assert_close(found, torch.from_numpy(stored["loss_gen"]), rtol=1e-5, atol=1e-5)
    x, eps, time = (torch.from_numpy(stored[key]) for key in ("x", "eps", "time"))
    noisy, velocity = mixed(x, eps, time)
    torch.testing.assert_close(noisy, torch.from_numpy(stored["z"]))
    torch.testing.assert_close(velocity, torch.from_numpy(stored["v"]))


@needs_parity
def test_the_class_losses_are_those_of_the_original() -> None:
    """The original counts jets of both passes in one term, and events in another."""
    stored = np.load(PARITY / "pretrain" / "io.npz")
    rows = stored["loss_sel"]
    clean, noisy, label, share = (
        torch.from_numpy(stored[key][rows]) for key in ("y_pred", "y_perturb", "y", "alpha_sq")
    )
    weight = class_weights(label, 210, "balanced")
    found = class_loss(clean, label, weight) + class_loss(noisy, label, weight * share)
    torch.testing.assert_close(found + float(stored["loss_gen"]), torch.tensor(float(stored["loss"])))
    apart = sum(class_loss(x, label, w, events=200) for x, w in ((clean, weight), (noisy, weight * share)))
    expected = float(stored["loss_class_event"]) + float(stored["loss_class_event_event"])
    assert float(apart) == pytest.approx(expected, rel=1e-5)
    assert float(stored["loss_event"]) == pytest.approx(float(apart) + float(stored["loss_gen_event"]), rel=1e-5)


@needs_parity
def test_the_contrastive_loss_is_that_of_the_original() -> None:
    stored = np.load(PARITY / "pretrain" / "io.npz")
    rows = stored["loss_sel"]
    clean, noisy = (torch.from_numpy(stored[key][rows]).flatten(1) for key in ("x_body", "z_body"))
    found = float(stored["alpha_sq"][rows].mean()) * contrastive_losses(clean, noisy).mean()
    torch.testing.assert_close(found, torch.from_numpy(stored["loss_clip_event_clip"]), rtol=1e-5, atol=1e-6)


# ---- in closed form -------------------------------------------------------------------------------------------------


def test_the_true_velocity_has_no_loss_and_a_wrong_one_its_square() -> None:
    batch = toy_batch()
    target = torch.randn(400, 6, 2)
    for mean_over in ("particles", "jets"):
        assert velocity_loss(target, target, batch.mask, mean_over=mean_over) == 0
    off = target + torch.tensor([1.0, 2.0])
    assert velocity_loss(off, target, batch.mask, mean_over="particles") == pytest.approx(2.5, rel=1e-5)
    assert velocity_loss(off, target, batch.mask, mean_over="jets") == pytest.approx(5.0, rel=1e-5)


def test_jets_or_particles_count_alike_and_empty_jets_not_at_all() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    error = torch.zeros(3, 3, 1)
    error[0], error[2] = 2.0, 9.0
    nothing = torch.zeros(3, 3, 1)
    assert velocity_loss(error, nothing, mask, mean_over="particles") == pytest.approx(4 * 3 / 4)
    assert velocity_loss(error, nothing, mask, mean_over="jets") == pytest.approx(4 / 2)
    nobody = torch.zeros_like(mask)
    assert velocity_loss(error, nothing, nobody, mean_over="jets") == 0


def test_the_objective_draws_times_and_noise_and_adds_its_terms() -> None:
    batch, model = toy_batch(), Known(factor=-1.0, prior=Prior((0.5, -2.0), (1.5, 0.7)))
    loss, terms = FlowMatching()(model, batch, torch.Generator().manual_seed(0))
    drawn = torch.Generator().manual_seed(0)
    time = torch.rand(400, generator=drawn)
    noise = model.prior.draw(batch.mask, drawn)
    noisy, velocity = mixed(batch.x[..., :2], noise, time)
    torch.testing.assert_close(terms["velocity"], velocity_loss(-noisy, velocity, batch.mask, mean_over="jets"))
    losses = entropies(model.classify(batch), batch.label).detach()
    torch.testing.assert_close(terms["class"], losses.mean())
    torch.testing.assert_close(terms["perturbed_class"], ((1 - time) ** 2 * losses).mean())
    torch.testing.assert_close(loss.detach(), terms["velocity"] + terms["class"] + terms["perturbed_class"])
    again, _ = FlowMatching()(model, batch, torch.Generator().manual_seed(0))
    assert torch.equal(loss, again)


def test_errors_count_in_units_of_the_noise_if_asked_to() -> None:
    prior = Prior((0.5, -2.0), (1.5, 0.25))
    batch, model = toy_batch(), Known(factor=0.4, prior=prior)
    _, terms = FlowMatching(unit="noise", mean_over="particles")(model, batch, torch.Generator().manual_seed(0))
    drawn = torch.Generator().manual_seed(0)
    time = torch.rand(400, generator=drawn)
    noisy, velocity = mixed(batch.x[..., :2], prior.draw(batch.mask, drawn), time)
    errors = ((0.4 * noisy - velocity) / torch.tensor(prior.std)).square()[batch.mask]
    torch.testing.assert_close(terms["velocity"], errors.mean())
    with pytest.raises(JetLabError, match="expected 'input' or 'noise'"):
        FlowMatching(unit="charm")  # type: ignore[arg-type]


def test_padding_enters_no_loss() -> None:
    batch, model = toy_batch(), Known(factor=0.3)
    wrong = replace(batch, x=torch.where(batch.mask[..., None], batch.x, 50.0))
    expected, _ = FlowMatching()(model, batch, torch.Generator().manual_seed(0))
    found, _ = FlowMatching()(model, wrong, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, expected)


def test_balanced_weights_give_every_class_the_same_share() -> None:
    label = torch.tensor([0, 0, 0, 2])
    weight = class_weights(label, 3, "balanced")
    assert weight.mean() == pytest.approx(1)
    assert weight[:3].sum() == pytest.approx(weight[3].item())
    assert class_weights(label, 3, None) is None
    assert class_weights(label, 3, (1.0, 2.0, 3.0)).tolist() == [1, 1, 1, 3]
    with pytest.raises(InvalidJetsError, match="there are 2 class weights, the model has 3 classes"):
        class_weights(label, 3, (1.0, 2.0))
    batch, model = toy_batch(), Known()
    _, plain = FlowMatching(weights=None)(model, batch, torch.Generator().manual_seed(0))
    _, equal = FlowMatching(weights=(2.0, 2.0, 2.0))(model, batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(equal["class"], 2 * plain["class"])


def test_jets_compete_with_jets_and_events_with_events() -> None:
    logits, label = torch.randn(5, 7), torch.tensor([0, 3, 4, 6, 5])
    jets, events = label < 4, label >= 4
    expected = (
        entropies(logits[jets][:, :4], label[jets]).mean() + entropies(logits[events][:, 4:], label[events] - 4).mean()
    )
    torch.testing.assert_close(class_loss(logits, label, events=4), expected)
    torch.testing.assert_close(class_loss(logits[:2], label[:2], events=4), entropies(logits[:2, :4], label[:2]).mean())
    assert (own_classes(logits, label, 4).argmax(1) >= 4).tolist() == events.tolist()
    moved = logits.clone().requires_grad_()
    class_loss(moved, label, events=4).backward()
    assert moved.grad.isfinite().all()
    assert not moved.grad[jets][:, 4:].any()


def test_jets_that_are_alike_recognise_each_other() -> None:
    clean = torch.eye(4)
    own, other = contrastive_losses(clean, 5 * clean), contrastive_losses(clean, clean.roll(1, 0))
    assert own.shape == (4,)
    expected = torch.tensor(3 + np.exp(2.74)).log() - 2.74
    torch.testing.assert_close(own, torch.full((4,), expected.item()))
    assert (other > own).all()


def omnilearned() -> OmniLearned:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return OmniLearned(OmniLearnedConfig.preset("tiny", conditions=PET_JET_RECIPE.width))


@pytest.mark.parametrize("make", [omnilearn, omnilearned])
@pytest.mark.parametrize("objective", [Diffusion(), FlowMatching(contrastive=True, weights="balanced", events=7)])
def test_both_objectives_train_both_models(make, objective) -> None:
    model = make()
    batch = ParticleSet(identified_jets(8), model.recipe, conditions=PET_JET_RECIPE).batch(np.arange(8))
    loss, terms = objective(model, batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert terms["loss"].isfinite()
    for part in (model.body, model.classifier, model.generator):
        assert any(p.grad is not None and p.grad.any() for p in part.parameters())
    if isinstance(objective, FlowMatching):
        assert terms["contrastive"] > 0


def test_parts_can_be_left_out() -> None:
    batch = toy_batch()
    _, terms = FlowMatching(classes=False)(Known(), replace(batch, label=None))
    assert set(terms) == {"loss", "velocity", "weight"}
    _, terms = FlowMatching(generation=False)(Known(), batch)
    assert set(terms) == {"loss", "class", "accuracy", "weight"}
    with pytest.raises(JetLabError, match="neither classes nor generation"):
        FlowMatching(classes=False, generation=False)
    with pytest.raises(InvalidJetsError, match="found a batch without labels"):
        FlowMatching()(Known(), replace(batch, label=None))
    with pytest.raises(TypeError, match="found Linear"):
        FlowMatching()(torch.nn.Linear(1, 1), batch)
    with pytest.raises(JetLabError, match="needs the encodings of the model, but Known gives none"):
        FlowMatching(contrastive=True)(Known(), batch)


# ---- regression -----------------------------------------------------------------------------------------------------


class Sums(torch.nn.Module):
    """Predicts the sum of the inputs of each jet."""

    def forward(self, batch: ParticleBatch) -> torch.Tensor:
        return batch.x.sum((1, 2))[:, None]


def test_regression_compares_each_jet_with_its_own_number() -> None:
    batch = toy_batch(20)
    target = torch.randn(20, 1)
    loss, terms = regression(Sums(), replace(batch, label=target))
    torch.testing.assert_close(loss, (batch.x.sum((1, 2)) - target[:, 0]).square().mean())
    assert int(terms["weight"]) == 20
    with pytest.raises(InvalidJetsError, match=r"shape \(20, 1\), the batch has some of shape \(20,\)"):
        regression(Sums(), replace(batch, label=target[:, 0]))
    with pytest.raises(InvalidJetsError, match="the batch has none"):
        regression(Sums(), replace(batch, label=None))
