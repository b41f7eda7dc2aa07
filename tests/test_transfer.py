"""Fine-tuning, and what pretraining is worth against the number of labelled jets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.jets import Jets, concatenate
from jetlab.models.particlenet import ParticleNet, ParticleNetConfig
from jetlab.models.sequences import SequenceBackbone
from jetlab.tasks import finetune
from jetlab.tasks.finetune import Learning, backbone_of, fine_tune, tagger_for
from jetlab.tasks.labelled import Rows, encoded, labels_among
from jetlab.tasks.transfer import Budget, summarise, transfer_curve, transfer_gain

from .test_sequences import toy_alpha
from .toys import toy_jets, toy_omnijet

PAIR = ("QCD", "Tbqq")


def two_classes(n: int, *, seed: int = 0) -> Jets:
    """Jets of fewer constituents (QCD) and of more (Tbqq), and a few of another class."""
    parts = []
    for k, (low, high, count) in enumerate(((3, 14, n), (8, 20, n), (8, 14, 4))):
        jets = toy_jets(count, seed=seed + 100 * k, low=low, high=high)
        label = np.full(count, (0, 8, 1)[k])
        columns = {name: jets.flat(name) for name in jets.fields}
        parts.append(Jets.from_flat(jets.offsets, columns, label=label))
    return concatenate(parts)


TRAIN, TEST = two_classes(60), two_classes(40, seed=7)
SHORT = Budget(epochs=4, min_steps=20, max_steps=20, batch_size=16)
ONE_RATE = {"scratch": [(3e-3, 3e-3)], "linear": [(1e-2, 1e-2)], "frozen": [(1e-2, 1e-2)], "fine-tuned": [(3e-3, 3e-3)]}


def curve(model: torch.nn.Module, **options: object) -> pd.DataFrame:
    given = {"classes": PAIR, "sizes": (20, 60), "seeds": 2, "budget": SHORT, "candidates": ONE_RATE, "progress": False}
    return transfer_curve(model, TRAIN, TEST, **{**given, **options})


# ---- fine-tuning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", finetune.MODES)
def test_all_modes_learn(mode: str) -> None:
    learning = Learning(30, 16, lr=1e-2, patience=None)
    model = toy_alpha()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    tagger, outcome = fine_tune(model, TRAIN, TEST, classes=PAIR, mode=mode, learning=learning, progress=False)
    assert outcome.complete
    assert outcome.run.best["accuracy"] > 0.6
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    same = torch.equal(tagger.backbone.gpt.embed.weight, model.gpt.embed.weight)
    assert same == (mode in finetune.FROZEN)
    tokenizer = tagger.backbone.tokenizer.state_dict()
    assert all(torch.equal(values, before[f"tokenizer.{name}"]) for name, values in tokenizer.items())


def test_encodings_are_those_of_the_backbone_and_give_no_gradient() -> None:
    tagger = tagger_for(backbone_of(toy_alpha()), PAIR, mode="frozen").eval()
    data = tagger.prepare(TRAIN)
    kept = encoded(tagger, data, batch_size=7)
    assert (kept.lengths == data.lengths).all()
    rows = np.array([5, 80, 2])
    with torch.no_grad():
        torch.testing.assert_close(tagger(kept.batch(rows)), tagger(data.batch(rows)), rtol=1e-2, atol=1e-2)
    logits = tagger.train()(kept.batch(rows))
    logits.sum().backward()
    assert all(p.grad is None for p in tagger.backbone.parameters())
    assert all(p.grad is not None for p in tagger.head.parameters())


def test_training_ends_when_the_validation_loss_no_longer_falls() -> None:
    noise = two_classes(60, seed=3)
    shuffled = Jets.from_flat(
        noise.offsets, {f: noise.flat(f) for f in noise.fields}, label=np.random.default_rng(0).permutation(noise.label)
    )
    learning = Learning(200, 16, lr=1e-2, patience=2)
    _, outcome = fine_tune(toy_alpha(), shuffled, TEST, classes=PAIR, learning=learning, progress=False)
    assert outcome.complete
    assert outcome.run.steps < 200


def test_a_stop_that_was_asked_for_is_no_end() -> None:
    asked = iter([False] * 5 + [True] * 100)
    learning = Learning(50, 16)
    _, outcome = fine_tune(
        toy_alpha(), TRAIN, TEST, classes=PAIR, learning=learning, progress=False, stop=lambda: next(asked)
    )
    assert not outcome.complete
    assert outcome.run.steps == 6


def test_other_backbones_are_fine_tuned_by_the_same_call() -> None:
    torch.manual_seed(0)
    net = ParticleNet(ParticleNetConfig.preset("tiny"))
    tagger, _ = fine_tune(net, TRAIN, TEST, classes=PAIR, learning=Learning(3, 16), progress=False)
    assert isinstance(tagger.backbone, ParticleNet)
    again = backbone_of(tagger)
    assert same_weights(again, tagger.backbone)
    assert same_weights(tagger_for(again, PAIR).backbone, again)
    assert not same_weights(tagger_for(again, PAIR, mode="scratch").backbone, again)


def same_weights(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_labels_are_places_among_the_classes() -> None:
    label = labels_among(TRAIN, ("Tbqq", "QCD"))
    assert sorted(np.unique(label)) == [-1, 0, 1]
    assert (TRAIN.label[label == 0] == 8).all()
    with pytest.raises(InvalidJetsError, match="asked for QCD, Hcc; there are QCD 60, Hbb 4, Tbqq 60"):
        labels_among(TRAIN, ("QCD", "Hcc"))
    rows = Rows(SequenceBackbone.of(toy_alpha()).prepare(TRAIN), np.array([3, 70]), label)
    assert rows.batch(np.array([1, 0])).label.tolist() == [label[70], label[3]]


def test_what_cannot_be_fine_tuned_is_refused() -> None:
    with pytest.raises(JetLabError, match="a OmniJet cannot be fine-tuned"):
        backbone_of(toy_omnijet())
    with pytest.raises(JetLabError, match="mode is 'warm', expected one of scratch, linear, frozen, fine-tuned"):
        tagger_for(backbone_of(toy_alpha()), PAIR, mode="warm")


# ---- the study ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def points() -> pd.DataFrame:
    return curve(toy_alpha())


def test_a_row_for_every_mode_size_and_seed(points: pd.DataFrame) -> None:
    assert len(points) == 3 * 2 * 2
    assert not points.duplicated(["mode", "labels", "seed"]).any()
    assert points["accuracy"].between(0.4, 1).all()
    assert (points[["accuracy_err", "auc_err", "rejection_50_err", "cpu_seconds"]] > 0).all(axis=None)
    assert (points.loc[points["mode"] == "frozen", "encoding_cpu_seconds"] > 0).all()
    assert (points.loc[points["mode"] != "frozen", "encoding_cpu_seconds"] == 0).all()
    assert points[points["labels"] == 60]["auc"].median() > 0.75


def test_it_goes_on_where_it_was_stopped(points: pd.DataFrame, tmp_path: Path) -> None:
    calls = iter(range(100_000))
    some = curve(toy_alpha(), out=tmp_path, stop=lambda: next(calls) > 70)
    assert 0 < len(some) < 12
    seen = []
    whole = curve(toy_alpha(), out=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)
    numbers = ["accuracy", "auc", "rejection_50", "valid_loss", "lr", "steps"]
    pd.testing.assert_frame_equal(whole[numbers], points[numbers])
    with pytest.raises(JetLabError, match="points of another study: head was mlp and is now summation"):
        curve(toy_alpha(), out=tmp_path, head="summation")


def test_rates_are_chosen_by_validation_and_kept_above_a_size() -> None:
    rates = {"scratch": [(1e-6, 1e-6), (1e-2, 1e-2)]}
    found = curve(toy_alpha(), modes=("scratch",), candidates=rates, tune=20)
    assert (found["lr"] == 1e-2).all()
    tried = found.set_index(["labels", "seed"])["trials"].map(lambda text: len(json.loads(text)))
    assert tried.to_dict() == {(20, 0): 2, (20, 1): 2, (60, 0): 1, (60, 1): 1}


def test_seeds_have_labels_of_their_own_and_validation_is_not_learned_from() -> None:
    from jetlab.tasks.transfer import _Study

    study = _Study(
        toy_alpha(), TRAIN, TEST, classes=PAIR, sizes=(20, 60), seeds=(0, 1), head="mlp", hidden=(8,), background=None,
        budget=SHORT, precision="fp32", device="auto",
    )  # fmt: skip
    learn, watch = study._parts(20, 0)
    assert (len(learn), len(watch)) == (16, 4)
    assert not set(learn) & set(watch)
    assert np.bincount(study.label[learn]).tolist() == [8, 8]
    study.budget = replace(SHORT, watched=6)
    assert [len(part) for part in study._parts(60, 0)] == [54, 6]
    assert [len(part) for part in study._parts(20, 0)] == [16, 4]
    study.budget = SHORT
    larger = set(np.concatenate(study._parts(60, 0)))
    assert set(learn) | set(watch) <= larger
    assert set(learn) != set(study._parts(20, 1)[0])


def test_seeds_can_be_named() -> None:
    both, one = (curve(toy_alpha(), modes=("scratch",), sizes=(20,), seeds=seeds) for seeds in (2, (1,)))
    assert one["seed"].tolist() == [1]
    expected = both[both["seed"] == 1].reset_index(drop=True)
    assert one[["accuracy", "auc", "valid_loss"]].equals(expected[["accuracy", "auc", "valid_loss"]])


def test_a_linear_probe_has_one_layer_whatever_the_head(points: pd.DataFrame) -> None:
    tagger = tagger_for(backbone_of(toy_alpha()), PAIR, mode="linear", head="summation", hidden=(8, 8))
    learned = [tuple(p.shape) for p in tagger.parameters() if p.requires_grad]
    assert learned == [(2, tagger.backbone.config.width), (2,)]
    found = curve(toy_alpha(), modes=("linear",))
    assert (found["encoding_cpu_seconds"] > 0).all()
    assert found.loc[found["labels"] == 60, "auc"].median() > 0.75


def test_too_few_jets_are_refused() -> None:
    with pytest.raises(InvalidJetsError, match=r"400 labelled jets are 200 of each of 2 classes, .* ask for 4 to 120"):
        curve(toy_alpha(), sizes=(400,))


def test_table_has_bands_and_the_gain_is_paired(points: pd.DataFrame) -> None:
    table = summarise(points)
    assert list(table["mode"].unique()) == ["scratch", "frozen", "fine-tuned"]
    assert (table["band"] == "min-max").all()
    for name in ("accuracy", "auc", "rejection_50", "rejection_30"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    many = pd.concat([points.assign(seed=points["seed"] + 10 * k) for k in range(3)])
    assert (summarise(many)["band"] == "16-84 %").all()
    gain = transfer_gain(points).set_index(["mode", "labels"])
    pair = points[points["labels"] == 20].pivot_table(index="seed", columns="mode", values="auc")
    assert gain.loc[("frozen", 20), "gain"] == pytest.approx((pair["frozen"] - pair["scratch"]).mean())
    assert "scratch" not in gain.index.get_level_values(0)
