"""A JEPA encoder that writes jets: its grid, its logits all at once and step by step, and generation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab
from jetlab.batches import ParticleBatch
from jetlab.cli import main
from jetlab.data import write_jets
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.features import PET2_RECIPES
from jetlab.models.constituent_grid import GRID, codes_of, inputs_of
from jetlab.models.jepa_encoder import JetEncoder, JetEncoderConfig
from jetlab.models.prompts import PromptConfig
from jetlab.models.token_writer import TokenWriter, TokenWriterConfig
from jetlab.models.tokens import NO_TARGET
from jetlab.objectives import NextParticle
from jetlab.tasks.finetune import backbone_of
from jetlab.tasks.token_writer import train_token_writer
from jetlab.train import fit
from jetlab.zoo import from_pretrained, save_pretrained

from .toys import toy_jets

JETS = toy_jets(60)
COARSE = replace(GRID, bins=(4, 4, 4))


def toy_writer(*, told: int = 3, registers: int = 0, seed: int = 0) -> TokenWriter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = JetEncoderConfig(width=16, depth=2, heads=2, told=told, registers=registers)
        model = TokenWriter(TokenWriterConfig(encoder, PromptConfig(bins=8, width=8), COARSE))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
    model.learn_scale(model.prepare(JETS))
    model.prompts.set_edges(JETS)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> TokenWriter:
    return toy_writer()


@pytest.fixture(scope="module")
def batch(model: TokenWriter) -> ParticleBatch:
    return model.prepare(JETS).batch(np.arange(8))


def test_cells_are_where_the_particles_are(model: TokenWriter, batch: ParticleBatch) -> None:
    codes = codes_of(model.tokenizer, batch)
    assert (codes[~batch.mask] == NO_TARGET).all()
    assert codes[batch.mask].min() >= 0
    assert codes[batch.mask].max() < 64
    x = inputs_of(model.tokenizer, codes, batch.mask)
    assert not x[~batch.mask].any()
    real = x[batch.mask]
    again = codes_of(model.tokenizer, replace(batch, x=x))
    assert (again == codes).all()
    torch.testing.assert_close(real[:, 3], real[:, 2] + real[:, 0].cosh().log())  # massless, in a jet at eta = 0
    assert (batch.x[batch.mask][:, :3] - real[:, :3]).abs().mean() < 0.5 * batch.x[batch.mask][:, :3].std(0).mean()


def test_targets_are_the_codes_and_a_stop(model: TokenWriter, batch: ParticleBatch) -> None:
    targets, codes = model.targets(batch), codes_of(model.tokenizer, batch)
    for row, count in enumerate(batch.mask.sum(1).tolist()):
        assert (targets[row, :count] == codes[row, :count]).all()
        assert targets[row, count] == model.vocabulary.stop
        assert (targets[row, count + 1 :] == NO_TARGET).all()


@pytest.mark.parametrize(("told", "registers"), [(3, 0), (0, 2)])
def test_step_by_step_is_as_all_at_once(told: int, registers: int) -> None:
    model = toy_writer(told=told, registers=registers)
    batch = model.prepare(JETS).batch(np.arange(8))
    targets = model.targets(batch)
    with torch.no_grad():
        known = targets != NO_TARGET
        whole = torch.zeros(*targets.shape, model.vocabulary.outputs)
        whole[known] = model(batch)
        prompt = model.ask(batch.label)
        state = model.begin(prompt)
        state.cond = batch.cond
        ids = torch.full((8,), model.vocabulary.start)
        for t in range(6):
            alive = known[:, t]
            torch.testing.assert_close(model.step(ids, state)[alive], whole[alive, t], atol=1e-5, rtol=1e-4)
            ids = targets[:, t].clamp(min=0, max=63)


def test_nothing_of_later_particles_is_seen(model: TokenWriter, batch: ParticleBatch) -> None:
    moved = batch.x.clone()
    moved[:, 5:] *= 0.5
    with torch.no_grad():
        one, two = (torch.full((8, 12, 65), torch.nan) for _ in range(2))
        first = batch.mask.sum(1) > 6
        for out, x in ((one, batch.x), (two, moved)):
            h, _ = model._read(codes_of(model.tokenizer, replace(batch, x=x)), batch.mask, batch.label, batch.cond)
            out[:, :12] = model.head.out(h[:, :12])
    torch.testing.assert_close(one[first, :6], two[first, :6])
    assert not torch.allclose(one[first, 6:8], two[first, 6:8])


def test_class_and_kinematics_are_told(model: TokenWriter, batch: ParticleBatch) -> None:
    with torch.no_grad():
        plain = model(batch)
        assert not torch.allclose(plain, model(replace(batch, label=(batch.label + 1) % 10)))
        assert not torch.allclose(plain, model(replace(batch, cond=batch.cond + 1)))
    with pytest.raises(InvalidJetsError, match="the batch has no conditions"):
        model(replace(batch, cond=None))
    with pytest.raises(InvalidJetsError, match="the batch has no labels"):
        model(replace(batch, label=None))


def test_the_objective_is_the_mean_over_real_places(model: TokenWriter, batch: ParticleBatch) -> None:
    loss, terms = NextParticle()(model, batch)
    one, row = NextParticle()(model, replace_rows(batch, [0]))
    two, other = NextParticle()(model, replace_rows(batch, [1]))
    both, pair = NextParticle()(model, replace_rows(batch, [0, 1]))
    assert terms["weight"] == batch.mask.sum() + 8
    mean = (one * row["weight"] + two * other["weight"]) / pair["weight"]
    torch.testing.assert_close(both, mean, atol=1e-5, rtol=1e-5)
    assert torch.isfinite(loss)
    with pytest.raises(TypeError, match="trains a TokenWriter, found Linear"):
        NextParticle()(torch.nn.Linear(1, 1), batch)


def replace_rows(batch: ParticleBatch, rows: list[int]) -> ParticleBatch:
    return replace(batch, x=batch.x[rows], mask=batch.mask[rows], label=batch.label[rows], cond=batch.cond[rows])


def test_training_learns_what_comes_next() -> None:
    model = toy_writer()
    data = model.prepare(JETS)
    run = fit(model, NextParticle(), data, steps=40, batch_size=20, lr=1e-2, progress=False)
    losses = run.history["loss"].dropna()
    assert losses.iloc[-5:].mean() < losses.iloc[:5].mean() - 0.3


def test_jets_are_written(model: TokenWriter, tmp_path: Path) -> None:
    options = {"n": 20, "classes": ["QCD", "Tbqq"], "seed": 3, "max_constituents": 15, "progress": False}
    jets = jetlab.generate(model, **options)
    assert jets.class_counts() == {"QCD": 10, "Tbqq": 10}
    assert jets.meta["model"] == "token-writer"
    assert jets.multiplicity.max() <= 15
    assert jets.multiplicity.min() >= 1
    again = from_pretrained(save_pretrained(model, tmp_path / "model"))
    np.testing.assert_array_equal(jets.flat("pt"), jetlab.generate(again, **options).flat("pt"))
    small = jetlab.generate(model, **(options | {"batch_size": 7}))
    assert len(small) == 20
    with pytest.raises(JetLabError, match="leave out steps"):
        jetlab.generate(model, 2, steps=3, progress=False)


def test_finished_jets_leave_without_a_trace(model: TokenWriter) -> None:
    """The most probable tokens of each jet do not depend on which others are written beside it."""
    from jetlab.samplers import sample_tokens

    asked = model.ask(torch.tensor([0, 3, 8, 8, 5]), torch.Generator().manual_seed(1))
    together = sample_tokens(model, asked, temperature=0, max_constituents=10, stop_bias=2.0)
    alone = [
        sample_tokens(model, asked[k : k + 1], temperature=0, max_constituents=10, stop_bias=2.0) for k in range(5)
    ]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other[0])


def test_its_encoder_is_a_backbone(model: TokenWriter) -> None:
    assert isinstance(backbone_of(model), JetEncoder)


def test_the_training_goes_on_after_a_stop_from_a_pretrained_encoder(tmp_path: Path) -> None:
    start = JetEncoder(JetEncoderConfig(width=16, depth=2, heads=2, registers=1))
    options = {"start": start, "prompt_steps": 2, "steps": 8, "batch_size": 20, "lr": 5e-3, "progress": False}
    whole = train_token_writer(JETS, JETS, **options)
    assert whole.model.config.encoder == replace(start.config, told=3)
    untouched = train_token_writer(JETS, JETS, **(options | {"steps": 1, "lr": 1e-9}))
    for name, weight in start.state_dict().items():
        torch.testing.assert_close(untouched.model.encoder.state_dict()[name], weight, atol=1e-6, rtol=1e-5)
    asked = iter([False] * 6 + [True] * 100)
    part = train_token_writer(JETS, JETS, **options, out=tmp_path, stop=lambda: next(asked))
    assert part is None or not part.writer.finished
    rest = train_token_writer(JETS, JETS, **options, out=tmp_path)
    for one, other in zip(whole.model.state_dict().values(), rest.model.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_without_labels_it_learns_and_writes_one_mixture() -> None:
    model = TokenWriter(TokenWriterConfig(toy_writer().config.encoder, PromptConfig(1, bins=8, width=8), COARSE, ()))
    data = model.prepare(JETS)
    model.learn_scale(data)
    model.prompts.set_edges(JETS)
    batch = data.batch(np.arange(8))
    one, two = (NextParticle()(model, replace(batch, label=label))[0] for label in (batch.label, None))
    torch.testing.assert_close(one, two)
    jets = jetlab.generate(model, 5, max_constituents=4, progress=False)
    assert len(jets) == 5
    assert jets.label is None
    with pytest.raises(JetLabError, match="cannot be asked for classes"):
        jetlab.generate(model, 5, classes="QCD", progress=False)


def test_the_command_trains_and_the_model_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jets(JETS, tmp_path / "jets.parquet")
    words = ["train", "writer", file, "--steps", 1, "--prompt-steps", 1, "--batch-size", 8, "--out", tmp_path / "a"]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code
    folder = tmp_path / "a" / "model"
    assert f"jetlab generate --model {folder}" in capsys.readouterr().out.replace("\n", "")
    assert "13 x 13 x 13 bins" in (folder / "README.md").read_text(encoding="utf-8")
    assert len(jetlab.generate(str(folder), 3, max_constituents=3, progress=False)) == 3


def test_parts_that_do_not_fit_are_refused() -> None:
    encoder, prompts = JetEncoderConfig(width=16, depth=1, heads=2), PromptConfig()
    with pytest.raises(ValueError, match="the encoder reads groups; take tokens='particles'"):
        TokenWriterConfig(replace(encoder, tokens="groups"), prompts)
    with pytest.raises(ValueError, match="told 2 numbers about a jet, the recipe jet-kinematics has 3"):
        TokenWriterConfig(replace(encoder, told=2), prompts)
    with pytest.raises(ValueError, match="prompts are of 10 classes, expected 1"):
        TokenWriterConfig(encoder, prompts, classes=("QCD",))
    with pytest.raises(ValueError, match="do not give the inputs of pet2-types"):
        TokenWriterConfig(replace(encoder, recipe=PET2_RECIPES["types"]), prompts)
    config = TokenWriterConfig.preset("tiny", classes=("QCD", "Tbqq"))
    assert TokenWriterConfig.from_dict(config.to_dict()) == config
