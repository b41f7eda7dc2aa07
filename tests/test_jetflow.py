"""Jets from noise: what is asked for, the way from noise to jets, the training and its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab
from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.models.jetflow import JetFlow, JetFlowConfig
from jetlab.samplers.particles import Path as Way
from jetlab.samplers.particles import move_particles
from jetlab.tasks.jetflow import train_jetflow
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import identified_jets, toy_jetflow, toy_jets


@pytest.fixture(scope="module")
def model() -> JetFlow:
    return toy_jetflow()


def test_jets_have_the_classes_and_numbers_of_constituents_asked_for(model: JetFlow) -> None:
    jets = jetlab.generate(model, 12, classes=["QCD", "Tbqq"], multiplicity=17, seed=1, steps=2, progress=False)
    assert jets.class_counts() == {"QCD": 6, "Tbqq": 6}
    np.testing.assert_array_equal(jets.multiplicity, 17)
    assert jets.meta["source"] == "generated"
    assert (jets.meta["model"], jets.meta["steps"], jets.meta["method"]) == ("jet-flow", 2, "midpoint")


def test_the_seed_gives_the_same_jets(model: JetFlow) -> None:
    one, same, other = (jetlab.generate(model, 6, seed=s, steps=2, progress=False) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.flat("pt"), same.flat("pt"))
    assert len(one.flat("pt")) != len(other.flat("pt")) or not np.allclose(one.flat("pt"), other.flat("pt"))


def test_each_jet_is_moved_by_itself(model: JetFlow) -> None:
    """Longer jets of the same batch, which pad the shorter ones, change nothing."""
    generator = torch.Generator().manual_seed(0)
    noise = model.begin(model.ask(torch.tensor([0, 8, 3]), generator), generator)
    together = move_particles(model, noise, Way(3))
    assert together is not None
    for row in range(3):
        n = int(noise.mask[row].sum())
        part = type(noise)(
            noise.x[row : row + 1, :n], noise.mask[row : row + 1, :n], noise.label[row : row + 1],
            noise.recipe, noise.cond[row : row + 1],
        )  # fmt: skip
        alone = move_particles(model, part, Way(3))
        torch.testing.assert_close(together.x[row, :n], alone.x[0], atol=2e-5, rtol=1e-4)


def test_more_steps_come_closer_to_the_flow(model: JetFlow) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = model.begin(model.ask(torch.tensor([0, 8]), generator), generator)
    exact = move_particles(model, noise, Way(64)).x
    far, near = ((move_particles(model, noise, Way(steps)).x - exact).abs().mean() for steps in (2, 8))
    assert near < 0.4 * far
    euler = (move_particles(model, noise, Way(8, "euler")).x - exact).abs().mean()
    assert near < euler


def test_generation_can_be_stopped(model: JetFlow) -> None:
    asked = iter([False] * 5 + [True] * 100)
    jets = jetlab.generate(model, 8, batch_size=4, steps=2, progress=False, stop=lambda: next(asked))
    assert len(jets) == 4
    with pytest.raises(JetLabError, match="stopped before the first batch"):
        jetlab.generate(model, 8, steps=2, progress=False, stop=lambda: True)


def test_options_of_other_models_are_refused(model: JetFlow) -> None:
    with pytest.raises(JetLabError, match="writes no tokens: leave out temperature"):
        jetlab.generate(model, 2, temperature=0.8, progress=False)
    with pytest.raises(JetLabError, match="one token after the other: leave out steps"):
        jetlab.generate("omnijet-tiny", 2, steps=3, progress=False)
    with pytest.raises(JetLabError, match="steps is 0, expected at least 1"):
        jetlab.generate(model, 2, steps=0, progress=False)
    with pytest.raises(JetLabError, match="model of flow has no method 'ddim'; expected one of midpoint, heun, euler"):
        jetlab.generate(model, 2, method="ddim", progress=False)


def test_a_model_of_diffusion_generates_and_can_be_guided(tmp_path: Path) -> None:
    model = toy_jetflow(network="omnilearn")
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    plain, guided, same = (
        jetlab.generate(m, 6, classes="Tbqq", seed=2, steps=4, guidance=w, progress=False)
        for m, w in ((model, 0.0), (model, 3.0), (again, 0.0))
    )
    assert plain.meta["method"] == "heun"
    assert "guidance" not in plain.meta
    assert guided.meta["guidance"] == 3.0
    np.testing.assert_array_equal(plain.multiplicity, guided.multiplicity)
    assert not np.allclose(plain.flat("pt"), guided.flat("pt"))
    np.testing.assert_allclose(plain.flat("pt"), same.flat("pt"), rtol=1e-5)
    assert (plain.flat("pt") > 0).all()
    for method in ("ddim", "ancestral"):
        assert len(jetlab.generate(model, 2, steps=2, method=method, progress=False)) == 2
    with pytest.raises(JetLabError, match="only an OmniLearn learns jets of any class"):
        jetlab.generate(toy_jetflow(), 2, guidance=1.0, progress=False)


def test_constituents_stay_in_the_range_of_the_training(model: JetFlow) -> None:
    jets = jetlab.generate(model, 20, steps=1, method="euler", progress=False)
    seen = model.prepare(identified_jets(40)).features.x
    assert jets.flat("pt").max() <= np.exp(seen[:, 2].max()) * 1.0001
    assert np.abs(jets.flat("eta")).max() <= np.abs(seen[:, 0]).max() * 1.0001


def test_a_saved_model_is_the_same(model: JetFlow, tmp_path: Path) -> None:
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    assert JetFlowConfig.from_dict(json.loads(json.dumps(model.config_dict()))) == model.config
    one, two = (jetlab.generate(m, 4, seed=2, steps=1, progress=False) for m in (model, again))
    np.testing.assert_array_equal(one.flat("pt"), two.flat("pt"))


@pytest.mark.parametrize("network", ["omnilearned", "omnilearn"])
def test_training_learns_and_goes_on_after_a_stop(tmp_path: Path, network: str) -> None:
    jets = identified_jets(60)
    options = {"prompt_steps": 3, "steps": 12, "batch_size": 20, "progress": False, "network": network}
    whole = train_jetflow(jets, jets, **options)
    losses = whole.particles.history["loss"].dropna()
    assert losses.iloc[-3:].mean() < losses.iloc[:3].mean()
    asked = iter([False] * 7 + [True] * 100)
    part = train_jetflow(jets, jets, **options, out=tmp_path, stop=lambda: next(asked))
    assert part is None or not part.particles.finished
    rest = train_jetflow(jets, jets, **options, out=tmp_path)
    for one, other in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_training_needs_classes() -> None:
    jets = toy_jets(8)
    bare = type(jets).from_flat(jets.offsets, {f: jets.flat(f) for f in jets.fields})
    with pytest.raises(InvalidJetsError, match="must be labelled"):
        train_jetflow(bare, bare)


def test_the_command_trains_and_the_model_generates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jets(toy_jets(60), tmp_path / "jets.parquet")
    words = [
        "train",
        "omnilearned",
        file,
        "--steps",
        2,
        "--prompt-steps",
        2,
        "--batch-size",
        8,
        "--out",
        tmp_path / "a",
    ]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code
    folder = tmp_path / "a" / "model"
    assert f"jetlab generate --model {folder}" in capsys.readouterr().out.replace("\n", "")
    assert "flow matching" in (folder / "README.md").read_text(encoding="utf-8")
    assert len(jetlab.generate(str(folder), 3, steps=1, progress=False)) == 3
