"""Token quality: use of the codebook, resolutions, and what codes decode to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.evaluate.codebook import codebook_counts, codebook_usage
from jetlab.evaluate.resolution import NORMAL_IQR, Residuals, resolution_row
from jetlab.evaluate.samples import resample
from jetlab.evaluate.tokens import Rebuilt, cloud_spread, rebuild, resolution, token_cloud
from jetlab.models.tokenizers import BinnedConfig, BinnedTokenizer
from jetlab.models.tokens import TokenSequences

from .toys import toy_jets, toy_omnijet


def grid(bins: int = 12) -> BinnedTokenizer:
    tokenizer = BinnedTokenizer(BinnedConfig(bins=(bins,) * 3))
    tokenizer.place(ParticleSet(toy_jets(200, seed=5), tokenizer.recipe))
    return tokenizer


@pytest.fixture(scope="module")
def rebuilt() -> Rebuilt:
    return rebuild(grid(), toy_jets(200))


# ---- codebook -------------------------------------------------------------------------------------------------------


def sequences(codes: list[int], counts: list[int], size: int, label: list[int] | None = None) -> TokenSequences:
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return TokenSequences(np.array(codes), offsets, size, None if label is None else np.array(label))


def test_usage_counts_codes_that_occur() -> None:
    tokens = sequences([0, 1, 1, 0, 3, 3], [3, 0, 3], 8, [0, 1, 1])
    table = codebook_usage(tokens)
    assert list(table.index) == ["all", "QCD", "Hbb"]
    assert table.loc["all", "used"] == 3
    assert table.loc["all", "utilisation"] == 3 / 8
    assert table.loc["all", "perplexity"] == pytest.approx(3)
    assert table.loc["QCD", "perplexity"] == pytest.approx(np.exp(-(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3)))
    assert list(table["jets"]) == [2, 1, 1]
    assert codebook_counts(tokens).tolist() == [2, 2, 0, 2, 0, 0, 0, 0]
    with pytest.raises(InvalidJetsError, match="no codes"):
        codebook_usage(sequences([], [0], 8))


def test_uncertainties_of_usage_are_those_of_repeated_experiments() -> None:
    share = np.random.default_rng(0).dirichlet(np.full(60, 0.3))

    def experiment(seed: int) -> dict[str, float]:
        rng = np.random.default_rng(seed)
        counts = rng.integers(1, 12, 60)
        codes = rng.choice(60, counts.sum(), p=share)
        return dict(codebook_usage(sequences(list(codes), list(counts), 60)).loc["all"])

    found = [experiment(seed) for seed in range(150)]
    for name in ("used", "perplexity"):
        spread = np.std([f[name] for f in found])
        assert np.mean([f[f"{name}_err"] for f in found]) == pytest.approx(spread, rel=0.25)


# ---- resolution -----------------------------------------------------------------------------------------------------


def test_bias_width_and_tails_of_known_differences() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(2, 3, 20_000), np.full(200, 100.0)])
    residuals = Residuals(values, np.arange(values.size), values.size, 0.0)
    row = resolution_row(residuals, resample(rng, values.size, values.size, 50), far=20.0)
    assert row["bias"] == pytest.approx(2, abs=0.15)
    assert row["bias_err"] == pytest.approx(1.2533 * 3 / np.sqrt(values.size), rel=0.4)
    assert row["iqr"] == pytest.approx(3 * NORMAL_IQR, rel=0.03)
    assert row["tail"] == pytest.approx(0.0027 + 200 / values.size, rel=0.2)
    assert row["far"] == pytest.approx(200 / values.size, rel=1e-6)
    assert row["far_err"] == pytest.approx(np.sqrt(200) / values.size, rel=0.35)


def test_resolution_is_that_of_the_jets(rebuilt: Rebuilt) -> None:
    table = resolution(rebuilt, ("mass", "constituent_pt", "constituent_ptrel"), bootstrap=20)
    assert list(table["class"].unique()[:2]) == ["all", "QCD"]
    row = table[(table["class"] == "Hbb") & (table["quantity"] == "mass")].iloc[0]
    ours = rebuilt.true.label == 1
    difference = rebuilt.jets.mass[ours] - rebuilt.true.mass[ours]
    assert row["bias"] == pytest.approx(np.median(difference))
    assert row["n"] == ours.sum()
    assert (table[["bias_err", "iqr_err"]] > 0).all(axis=None)
    assert resolution(rebuilt, ("mass",), bootstrap=20).equals(resolution(rebuilt, ("mass",), bootstrap=20))
    with pytest.raises(JetLabError, match="unknown quantity 'girth'"):
        resolution(rebuilt, ("girth",))


def test_constituents_are_compared_with_themselves_although_the_order_of_momenta_may_change() -> None:
    jets, coarse = toy_jets(50), grid(3)
    rebuilt = rebuild(coarse, jets)
    true, after = rebuilt.constituents["pt"]
    np.testing.assert_allclose(true, jets.flat("pt"), rtol=1e-5)
    assert np.corrcoef(np.log(true), np.log(after))[0, 1] > 0.8
    assert rebuilt.kept == 1
    assert rebuild(coarse, jets.leading(60)).kept == 1


def test_finer_grids_resolve_better() -> None:
    jets = toy_jets(100)
    widths = [resolution(rebuild(grid(bins), jets), ("mass",), bootstrap=5)["iqr"][0] for bins in (4, 12, 40)]
    assert widths[0] > widths[1] > widths[2]


def test_constituents_that_the_recipe_drops_are_counted() -> None:
    tokenizer = grid()
    short = BinnedTokenizer(replace(tokenizer.config, recipe=replace(tokenizer.recipe, max_particles=2)))
    jets = toy_jets(20)
    with pytest.warns(UserWarning, match="more than 2 constituents"):
        rebuilt = rebuild(short, jets)
    assert rebuilt.kept == pytest.approx(40 / jets.multiplicity.sum())
    with pytest.raises(InvalidJetsError, match="no jets to tokenize"):
        rebuild(tokenizer, jets[:0])


def test_quantities_of_true_jets_can_be_given(rebuilt: Rebuilt) -> None:
    again = rebuild(grid(), rebuilt.true).knowing(rebuilt.observed_true)
    assert again.observed_true is rebuilt.observed_true


# ---- clouds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surroundings", ["jets", "random"])
def test_codes_of_a_grid_are_points_and_those_of_a_conditional_tokenizer_clouds(surroundings: str) -> None:
    jets = toy_jets(40)
    still = token_cloud(grid(), jets, codes=3, contexts=20, surroundings=surroundings, length=10)
    assert len(still) == 60
    assert still["code"].nunique() == 3
    assert np.allclose(cloud_spread(still)[["pt_iqr", "deta_iqr", "dphi_iqr"]], 0)
    conditional = toy_omnijet().tokenizer
    conditional.quantizer.codebook.copy_(torch.randn(16, 4, generator=torch.Generator().manual_seed(0)) / 3)
    moving = token_cloud(conditional, jets, codes=[1, 4], contexts=20, surroundings=surroundings, length=10)
    assert list(moving["code"].unique()) == [1, 4]
    assert (cloud_spread(moving)["pt_iqr"] > 0).all()


def test_clouds_that_cannot_be_are_refused() -> None:
    with pytest.raises(JetLabError, match="expected 0 to 1727"):
        token_cloud(grid(), toy_jets(5), codes=[1728])
    with pytest.raises(JetLabError, match="'jets' or 'random'"):
        token_cloud(grid(), toy_jets(5), codes=[1], surroundings="none")
    with pytest.raises(InvalidJetsError, match="two constituents"):
        token_cloud(grid(), toy_jets(5).leading(1), codes=[1])
