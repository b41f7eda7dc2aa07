"""What a pretrained OmniLearned knows about whole jets, taken over by a tagger of other classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from jetlab.errors import JetLabError
from jetlab.features import JET_KINEMATICS
from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig
from jetlab.models.pet import PET
from jetlab.models.reader import JetReader
from jetlab.tasks.finetune import Learning, backbone_of, fine_tune, tagger_for
from jetlab.tasks.tagging import classify
from jetlab.zoo import from_pretrained, save_pretrained

from .test_transfer import curve
from .toys import identified_jets, toy_jetflow


def test_the_reader_says_what_the_last_layer_of_the_model_sees() -> None:
    model = toy_jetflow()
    reader = backbone_of(model)
    assert isinstance(reader, JetReader)
    jets = identified_jets(20)
    batch = reader.prepare(jets).batch(np.arange(20))
    with torch.no_grad():
        found = model.particles.classifier.out(reader.encode(batch).jet)
        torch.testing.assert_close(found, model.classify(model.prepare(jets).batch(np.arange(20))))
    found = reader.encode(batch)
    assert found.particles.shape == (*batch.mask.shape, model.config.particles.width)
    assert not found.particles[~batch.mask].any()


def test_the_reader_is_a_copy() -> None:
    model = toy_jetflow()
    before = [p.clone() for p in model.parameters()]
    with torch.no_grad():
        for parameter in backbone_of(model).parameters():
            parameter.fill_(7.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_tagger_on_it_is_saved_and_told_about_jets(tmp_path) -> None:
    tagger = tagger_for(backbone_of(toy_jetflow()), ("QCD", "Tbqq"), hidden=(), mode="frozen").eval()
    assert not any(p.requires_grad for p in tagger.backbone.parameters())
    again = from_pretrained(save_pretrained(tagger, tmp_path / "tagger"))
    jets = identified_jets(12)
    one, two = (classify(t, jets, progress=False) for t in (tagger, again))
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert list(one.columns) == ["QCD", "Tbqq"]
    fresh = tagger_for(tagger.backbone, ("QCD", "Tbqq"), mode="scratch", seed=1)
    assert not torch.equal(fresh.backbone.body.tokens, tagger.backbone.body.tokens)


def test_fine_tuning_begins_with_the_model_itself() -> None:
    jets = identified_jets(60)
    learning = Learning(steps=2, batch_size=8)
    tagger, outcome = fine_tune(
        toy_jetflow(), jets, jets, classes=("QCD", "Tbqq"), hidden=(), learning=learning, progress=False
    )
    assert isinstance(tagger.backbone, JetReader)
    assert outcome.complete


def test_transfer_is_measured_from_a_jetflow_too() -> None:
    found = curve(toy_jetflow(), sizes=(20,), seeds=1, hidden=())
    assert set(found["mode"]) == {"scratch", "frozen", "fine-tuned"}
    assert found["auc"].between(0.3, 1).all()
    frozen, tuned = (found.set_index("mode").loc[mode, "cpu_seconds"] for mode in ("frozen", "fine-tuned"))
    assert frozen < tuned


def test_a_jetflow_classifies_jets_itself() -> None:
    scores = classify(toy_jetflow(), identified_jets(9), progress=False)
    assert scores.shape == (9, 10)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_what_cannot_be_taken_over_is_said() -> None:
    assert isinstance(backbone_of(toy_jetflow(network="omnilearn")), PET)
    generator = OmniLearned(OmniLearnedConfig.preset("tiny", task="generator"))
    with pytest.raises(JetLabError, match="is for generator; it has no head for jets"):
        JetReader.of(generator)
    assert backbone_of(generator).config == generator.body.config
    with pytest.raises(JetLabError, match="told 0 numbers about each jet, the conditions have 3"):
        JetReader.of(OmniLearned(OmniLearnedConfig.preset("tiny")), conditions=JET_KINEMATICS)
