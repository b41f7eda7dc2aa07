"""The follow-ups of OmniJet-alpha that the README gives a recipe for, each run from its files to a trained model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jetlab.cli import main
from jetlab.data import load_jets
from jetlab.features import Feature
from jetlab.jets import Jets
from jetlab.models.tokenizers import VQVAEConfig
from jetlab.tasks.alpha import train_alpha
from jetlab.tasks.tokenizers import train_tokenizer
from jetlab.zoo import from_pretrained

from .test_puppi import aspen
from .toys import toy_jets


def run(*words: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code


def test_pretraining_on_real_data_in_the_layout_of_aspen_open_jets(tmp_path: Path) -> None:
    """Unlabelled jets of CMS, from the file to a backbone for a tagger (arXiv:2412.10504)."""
    jets = toy_jets(60)
    file = aspen(tmp_path / "RunG_batch0.h5", jets, np.ones(len(jets.flat("pt"))))
    assert load_jets(file).label is None
    few = ("--steps", 3, "--batch-size", 16, "--held-out", 0.2)
    run("train", "tokenizer", file, "--codes", 64, *few, "--out", tmp_path / "tokenizer")
    run(
        "train", "alpha", file, "--tokenizer", tmp_path / "tokenizer" / "model", "--preset", "modern-tiny",
        "--objective", "joint", "--no-labels", *few, "--out", tmp_path / "alpha",
    )  # fmt: skip
    model = from_pretrained(tmp_path / "alpha" / "model")
    assert model.classes == ()
    assert model.config.gpt.masked


def test_showers_have_more_inputs_and_a_larger_codebook() -> None:
    """Depth and time of a hit in place of d0 and dz: five inputs, a latent of 12."""
    jets, rng = toy_jets(40), np.random.default_rng(0)
    columns = {f: jets.flat(f) for f in jets.fields}
    columns |= {name: rng.normal(0, 0.5, len(columns["pt"])) for name in ("d0", "dz")}
    showers = Jets.from_flat(jets.offsets, columns, label=jets.label)
    config = VQVAEConfig.preset("large-codebook")
    inputs = replace(config.recipe, name="showers", features=(*config.recipe.features, Feature("d0"), Feature("dz")))
    config = replace(config, recipe=inputs, codebook_size=512, width=16, heads=2, depth=1)
    tokenizer, done = train_tokenizer(showers, showers, config=config, steps=30, batch_size=20, progress=False)
    assert done.finished
    rebuilt = tokenizer.decode(tokenizer.encode(showers))
    left = {name: np.mean((rebuilt.flat(name) - showers.flat(name)) ** 2) for name in ("d0", "dz")}
    assert max(left.values()) < 0.25  # of a variance of 0.25: something of the further inputs is in the codes
    assert config.latent_width == 12
    model, _ = train_alpha(showers, showers, tokenizer=tokenizer, labels=False, steps=2, batch_size=20, progress=False)
    assert model.vocabulary.codes == 512
