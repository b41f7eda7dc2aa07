from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab.tasks.omnijet as task
from jetlab.errors import InvalidJetsError
from jetlab.models.omnijet import OmniJetConfig
from jetlab.samplers import generate

from .toys import toy_config, toy_jets


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OmniJetConfig, "preset", staticmethod(lambda _, classes: toy_config(classes=classes)))


def train(out: Path | None, **options: object) -> task.OmniJetTraining | None:
    steps = {"tokenizer_steps": 60, "prompt_steps": 20, "generator_steps": 60}
    return task.train_omnijet(
        toy_jets(600), toy_jets(60, seed=1), out=out, batch_size=64, progress=False, **{**steps, **options}
    )


def test_all_stages_learn_and_the_model_generates() -> None:
    training = train(None)
    for run in (training.tokenizer, training.generator):
        assert run.history["valid_loss"].dropna().iloc[-1] < run.history["loss"].iloc[0]
    jets = generate(training.model, 20, progress=False)
    assert len(jets) == 20
    assert (training.model.generator.momenta[: training.model.vocabulary.codes, 0] > 0).any()


def test_an_interrupted_training_continues_to_the_same_model(tmp_path: Path) -> None:
    whole = train(None)
    calls = iter(range(10_000))
    assert train(tmp_path, stop=lambda: next(calls) > 40) is None
    resumed = train(tmp_path)
    for name, values in whole.model.state_dict().items():
        assert torch.equal(values, resumed.model.state_dict()[name]), name


def test_prompts_of_the_token_set_are_those_of_the_decoded_jets() -> None:
    model = train(None, generator_steps=5).model
    jets = toy_jets(20)
    data = task.token_set(model, jets)
    decoded = model.tokenizer.decode(data.tokens)
    np.testing.assert_allclose(data.mass, decoded.mass, rtol=1e-5)


def test_unlabelled_jets_are_refused() -> None:
    jets = toy_jets(10)
    bare = type(jets).from_flat(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="must be labelled"):
        task.train_omnijet(bare, jets)
