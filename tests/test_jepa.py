"""HEP-JEPA: no target is told, the second encoder follows the first, trainings resume, every ablation is a choice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import jetlab
from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import CheckpointError
from jetlab.features.augment import Augmentations
from jetlab.jets import Jets
from jetlab.masking import MaskedBatch, Masking
from jetlab.models.jepa import Jepa, JepaConfig
from jetlab.models.jepa_encoder import JetEncoderConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.objectives import JEPA
from jetlab.tasks.finetune import backbone_of, tagger_for
from jetlab.tasks.jepa import train_jepa
from jetlab.zoo import from_pretrained, save_pretrained

from .test_jepa_encoder import particles_in
from .toys import toy_jets

ENCODER = JetEncoderConfig(width=16, depth=1, heads=2, expansion=2, groups=6)
SMALL = JepaConfig(ENCODER, width=8, depth=1, heads=2)

KINDS = ("particles", "groups", "subjets")


@pytest.fixture(scope="module")
def jets() -> Jets:
    return jetlab.load_jets("sample")[::400]


def made(config: JepaConfig = SMALL, seed: int = 0) -> Jepa:
    """A model of which no weight is what it was made with; its encoders differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Jepa(config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def of_kind(tokens: str) -> JepaConfig:
    return replace(SMALL, encoder=replace(ENCODER, tokens=tokens, registers=1))


def masked_batch(model: Jepa, jets: Jets) -> MaskedBatch:
    return model.prepare(jets).batch(np.arange(len(jets)))


# ---- the model ------------------------------------------------------------------------------------------------------


def test_presets_and_json() -> None:
    config = JepaConfig.preset("tiny", tokens="groups", registers=2, physics_bias=False, masking=Masking("random", 2))
    assert JepaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert (config.width, config.depth, config.masking.kind) == (32, 2, "random")
    with pytest.raises(ValueError, match="predictor width 9 cannot be split into 2 heads"):
        JepaConfig(ENCODER, width=9, heads=2)


@pytest.mark.parametrize("tokens", KINDS)
def test_it_is_not_told_what_it_predicts(jets: Jets, tokens: str) -> None:
    """Hidden particles that change, but stay where they are, change no prediction, only what is to be predicted."""
    model = made(of_kind(tokens))
    masked = masked_batch(model, jets)
    places = model.context.places(masked.batch)
    hidden = particles_in(model.context, masked.batch, places.mask & ~masked.context)
    assert hidden.any()
    x = masked.batch.x.clone().requires_grad_()
    found = model(replace(masked, batch=replace(masked.batch, x=x)))
    assert not found.target.requires_grad
    found.context.square().sum().backward(retain_graph=True)
    assert x.grad is not None
    assert not x.grad[hidden].any()
    x.grad = None
    found.predicted.square().sum().backward()
    assert x.grad[~hidden & masked.batch.mask].any()
    if tokens == "particles":
        assert not x.grad[hidden][:, 2:].any()  # only where they are
    harder = masked.batch.x + hidden[..., None] * torch.tensor([0.0, 0.0, 1.0, 1.0])
    changed = model(replace(masked, batch=replace(masked.batch, x=harder)))
    assert torch.equal(changed.context, found.context)
    torch.testing.assert_close(changed.predicted, found.predicted, atol=1e-4, rtol=1e-3)  # directions of sums round
    assert not torch.allclose(changed.target, found.target, atol=1e-2)


def test_predictions_know_where_they_are_to_be(jets: Jets) -> None:
    model = made()
    masked = masked_batch(model, jets)
    hidden = masked.batch.mask & ~masked.context
    aside = masked.batch.x + hidden[..., None] * torch.tensor([0.1, 0.0, 0.0, 0.0])
    one, other = model(masked), model(replace(masked, batch=replace(masked.batch, x=aside)))
    assert torch.equal(one.context, other.context)
    assert not torch.allclose(one.predicted, other.predicted, atol=1e-3)


def test_targets_are_predicted_separately(jets: Jets) -> None:
    """Fewer of them change nothing about the others; a jet does not depend on its neighbours in the batch."""
    model = made()
    masked = masked_batch(model, jets)
    all_of_them = model(masked)
    first = model(replace(masked, targets=masked.targets[:, :1]))
    of_first = torch.zeros_like(masked.targets)
    of_first[:, 0] = masked.targets[:, 0]
    torch.testing.assert_close(first.predicted, all_of_them.predicted[of_first[masked.targets]], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.target, all_of_them.target[of_first[masked.targets]], atol=1e-5, rtol=1e-4)
    part = masked.batch
    alone = MaskedBatch(
        replace(part, x=part.x[3:4], mask=part.mask[3:4], label=None), masked.context[3:4], masked.targets[3:4]
    )
    of_row = torch.zeros_like(masked.targets)
    of_row[3] = masked.targets[3]
    torch.testing.assert_close(
        model(alone).predicted, all_of_them.predicted[of_row[masked.targets]], atol=1e-5, rtol=1e-4
    )


def test_targets_are_encodings_of_the_whole_jet(jets: Jets) -> None:
    model = made()
    masked = masked_batch(model, jets)
    whole = model.encode(masked.batch).particles[:, None].expand(-1, 4, -1, -1)[masked.targets]
    torch.testing.assert_close(model(masked).target, whole)


def test_jets_of_one_particle_and_empty_ones_are_harmless() -> None:
    model = made().train()
    jets = Jets.from_flat(
        np.array([0, 1, 1, 4]),
        {"pt": [500.0, 300, 200, 100], "eta": [0.0, 0.1, 0, 0], "phi": [0.0] * 4, "mass": [0.0] * 4},
    )
    for rows in (np.array([0, 1, 2]), np.array([0, 1])):
        loss, terms = JEPA()(model, model.prepare(jets).batch(rows))
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        assert terms["weight"] >= 1


# ---- the objective --------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_distance(jets: Jets) -> None:
    model = made()
    masked = masked_batch(model, jets)
    predicted, target, context = model(masked)
    by_token = torch.nn.functional.layer_norm(target, (16,))
    by_feature = (target - target.mean(0)) / target.std(0, unbiased=False)
    for loss, distance in (("smooth_l1", torch.nn.functional.smooth_l1_loss), ("mse", torch.nn.functional.mse_loss)):
        for norm, true in (("layer", by_token), ("batch", by_feature)):
            found, terms = JEPA(loss, norm)(model, masked)
            torch.testing.assert_close(found, distance(predicted, true))
            assert terms["weight"] == masked.targets.sum()
            torch.testing.assert_close(terms["spread"], target.std(0, unbiased=False).mean())
    spread, dependence = context.std(0, unbiased=False), context.T.cov()
    found, terms = JEPA(variance=2.0, covariance=3.0)(model, masked)
    torch.testing.assert_close(terms["variance"], 2 * (1 - spread).clamp(min=0).mean(), atol=1e-4, rtol=1e-4)
    off = dependence.square().sum() - dependence.diagonal().square().sum()
    torch.testing.assert_close(terms["covariance"], 3 * off / 16, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, terms["prediction"] + terms["variance"] + terms["covariance"])


def test_the_second_encoder_follows_in_training_only(jets: Jets) -> None:
    model, objective = made(), JEPA(momentum=(0.9, 1.0), steps=4)
    masked = masked_batch(model, jets)
    before = [p.clone() for p in model.target.parameters()]
    objective(model, masked)
    assert all(torch.equal(p, old) for p, old in zip(model.target.parameters(), before, strict=True))
    assert int(model.updates) == 0
    model.train()
    for momentum in (0.9, 0.925, 0.95):
        expected = [
            old * momentum + new * (1 - momentum)
            for old, new in zip(model.target.parameters(), model.context.parameters(), strict=True)
        ]
        loss, _ = objective(model, masked)
        for found, wanted in zip(model.target.parameters(), expected, strict=True):
            torch.testing.assert_close(found, wanted)
    loss.backward()
    assert int(model.updates) == 3
    assert objective.momentum_at(9) == 1.0
    assert all(p.grad is None and not p.requires_grad for p in model.target.parameters())
    learning = [
        p for name, p in model.named_parameters() if p.requires_grad and "told" not in name and "time" not in name
    ]
    assert all(p.grad is not None for p in learning)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "l1"}, "loss is 'l1'"),
        ({"norm": "none"}, "norm 'none'"),
        ({"momentum": (1.0, 0.5)}, r"momentum is \(1.0, 0.5\), expected two rising numbers"),
        ({"steps": 0}, "there are 0 steps"),
        ({"variance": -1.0}, "weights -1.0 and 0.0"),
    ],
)
def test_wrong_objectives_are_refused(jets: Jets, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JEPA(**wrong)
    tagger = Tagger(TaggerConfig(ENCODER, hidden=()))
    with pytest.raises(TypeError, match="JEPA trains a Jepa, found Tagger"):
        JEPA()(tagger, masked_batch(made(), jets))


# ---- training -------------------------------------------------------------------------------------------------------


def trained(jets: Jets, **options):
    settings = {"config": SMALL, "steps": 6, "batch_size": 16, "device": "cpu", "progress": False}
    return train_jepa(jets, jets[:16], **(settings | options))


def test_a_resumed_training_goes_on_to_the_same_numbers(jets: Jets, tmp_path: Path) -> None:
    options = {"augment": Augmentations(split=0.1)}
    whole = trained(jets, **options)
    asked = iter([False, False, True])
    half = trained(jets, out=tmp_path, stop=lambda: next(asked), **options)
    assert (half.run.steps, int(half.model.updates)) == (3, 3)
    resumed = trained(jets, out=tmp_path, **options)
    assert int(resumed.model.updates) == 6
    for name, values in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], values), name
    with pytest.raises(CheckpointError, match="random"):
        trained(jets, out=tmp_path, config=replace(SMALL, masking=Masking("random")), **options)


def test_a_short_training_learns_and_does_not_collapse() -> None:
    jets = jetlab.load_jets("sample")[::50]
    done = trained(jets, steps=40, batch_size=32, lr=2e-3, config=of_kind("groups"))
    losses = done.run.history["loss"].to_numpy()
    assert losses[-10:].mean() < 0.8 * losses[:5].mean()
    embedded = done.model.encode(masked_batch(done.model, jets[:100]).batch)
    assert float(embedded.particles[embedded.mask].std(0).mean()) > 0.5
    values = torch.linalg.svdvals(embedded.jet - embedded.jet.mean(0))
    share = values / values.sum()
    assert float(torch.exp(-(share * share.log()).sum())) > 5  # effective rank, of 16


@pytest.mark.parametrize(
    "ablation",
    [
        {"encoder": replace(ENCODER, tokens="groups")},
        {"encoder": replace(ENCODER, tokens="groups", overlap=True, centres="hardest")},
        {"encoder": replace(ENCODER, tokens="subjets")},
        {"encoder": replace(ENCODER, physics_bias=False)},
        {"encoder": replace(ENCODER, registers=3)},
        {"masking": Masking("random", context="random")},
        {"masking": Masking("momentum", 1, (0.3, 0.3), "rest")},
        {"masking": Masking(targets=2, target_share=(0.3, 0.5))},
    ],
)
def test_every_ablation_is_a_choice(jets: Jets, ablation: dict) -> None:
    plain = trained(jets, steps=2).run.history["loss"]
    other = trained(jets, steps=2, config=replace(SMALL, **ablation)).run.history["loss"]
    assert np.isfinite(other).all()
    assert not np.allclose(plain, other)


def test_presets_options_and_augmentations_reach_the_training() -> None:
    jets = toy_jets(24)
    done = train_jepa(jets, jets, preset="tiny", tokens="groups", physics_bias=False, registers=2,
                      masking=Masking("random"), augment=Augmentations(), objective=JEPA("mse", steps=1),
                      steps=1, batch_size=8, device="cpu", progress=False)  # fmt: skip
    assert done.model.config == JepaConfig.preset(
        "tiny", tokens="groups", physics_bias=False, registers=2, masking=Masking("random")
    )
    other = trained(jets, steps=1, augment=Augmentations(smear=0.5)).run.history["loss"]
    assert not np.allclose(other, trained(jets, steps=1).run.history["loss"])


def test_guessing_hidden_particles_beside_it_moves_the_same_encoder(jets: Jets, tmp_path: Path) -> None:
    options = {"masked": 1.0, "out": tmp_path}
    asked = iter([False, False, True])
    half = trained(jets, stop=lambda: next(asked), **options)
    assert (half.run.steps, int(half.model.updates)) == (3, 3)
    done = trained(jets, **options)
    assert {"jepa", "masked", "jepa_spread"} <= set(done.run.history)
    plain, whole = trained(jets), trained(jets, masked=1.0)
    for name, values in whole.model.state_dict().items():
        assert torch.equal(done.model.state_dict()[name], values), name
    name = "context.blocks.0.qkv.weight"
    assert not torch.equal(plain.model.state_dict()[name], whole.model.state_dict()[name])
    with pytest.raises(ValueError, match="take tokens='particles'"):
        trained(jets, masked=1.0, config=of_kind("groups"))


# ---- what becomes of it ---------------------------------------------------------------------------------------------


def test_it_is_saved_and_fine_tuned(jets: Jets, tmp_path: Path) -> None:
    model = made()
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    masked = masked_batch(model, jets)
    assert torch.equal(again(masked).predicted, model(masked).predicted)
    backbone = backbone_of(again)
    for found, kept in zip(backbone.parameters(), model.target.parameters(), strict=True):
        assert torch.equal(found, kept)
        assert found is not kept
        assert found.requires_grad
    for mode, learns in (("frozen", False), ("fine-tuned", True)):
        tagger = tagger_for(backbone, jets.classes, mode=mode)
        assert all(p.requires_grad is learns for p in tagger.backbone.parameters())
        assert tagger(tagger.prepare(jets[:4]).batch(np.arange(4))).shape == (4, 10)


def test_the_command_trains_and_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jets(toy_jets(60), tmp_path / "train.parquet")
    words = ["train", "jepa", file, "--out", tmp_path / "out", "--steps", 2, "--batch-size", 16, "--tokens", "groups",
             "--no-physics-bias", "--registers", 1, "--masks", "random", "--targets", 2, "--shown", "rest", "--augment",
             "--distance", "mse", "--norm", "batch", "--variance", 0.1, "--held-out", 0.2]  # fmt: skip
    assert "jetlab train tagger" in said(words, capsys)
    folder = tmp_path / "out" / "model"
    model = from_pretrained(folder)
    assert model.config == JepaConfig.preset(
        "tiny", tokens="groups", physics_bias=False, registers=1, masking=Masking("random", 2, context="rest")
    )
    assert int(model.updates) == 2
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "up to 16 groups of near particles around farthest centres" in card
    assert "2 targets of 15% to 20% of the tokens, random" in card
    assert (folder / "jepa.png").is_file()
    assert "train tagger" in said(["models", "show", folder], capsys)


def test_the_command_can_guess_particles_beside_it_and_ask_probes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_jets(toy_jets(120), tmp_path / "train.parquet")
    words = ["train", "jepa", file, "--out", tmp_path / "out", "--steps", 2, "--batch-size", 16, "--held-out", 0.3,
             "--masked", 0.5, "--probe", 40]  # fmt: skip
    said(words, capsys)
    card = " ".join((tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8").split())
    assert "**Beside it**, with weight 0.5: guessing hidden particles" in card
    assert "learned from 40 labelled jets, names the class of" in card
    history = pd.read_csv(tmp_path / "out" / "jepa" / "history.csv")
    assert history["linear_probe"].notna().sum() == 2


def said(words: list, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints that ends well."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code in (0, None)
    return capsys.readouterr().out
