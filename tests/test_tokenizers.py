from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab
from jetlab import zoo
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import InvalidJetsError
from jetlab.features import Feature, Recipe
from jetlab.kernels.nearest import nearest
from jetlab.models.tokenizers import (
    KINDS,
    TOKENIZERS,
    VQVAE,
    BinnedConfig,
    BinnedTokenizer,
    FiniteScalarQuantizer,
    Tokenizer,
    VectorQuantizer,
    VQVAEConfig,
    fsq_levels,
    kmeans,
    make_tokenizer,
    tokenizer_config,
)
from jetlab.tasks.tokenizers import train_tokenizer

from .toys import toy_jets

PUBLISHED = {"learning": "gradient", "affine": 2.0, "sync_nu": 1.0, "alpha": 10.0, "weighting": "equal"}
NETWORK = VQVAEConfig(width=16, depth=1, heads=2, codebook_size=64, wait=40)
SMALL = {
    "normformer": NETWORK,
    "mlp": replace(NETWORK, network="mlp", depth=2, width=32, weighting="equal"),
    "fsq": replace(NETWORK, quantizer="fsq", levels=(4, 4, 4), latent_width=3),
    "binned": BinnedConfig((4, 4, 4)),
    "affine": replace(NETWORK, affine=2.0),
    "published": replace(NETWORK, expansion=1, **PUBLISHED),
}


@cache
def placed() -> ParticleSet:
    return ParticleSet(toy_jets(200), NETWORK.recipe)


def small(kind: str) -> Tokenizer:
    """Tokenizer with untrained networks, but a codebook or grid that lies where the particles are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = make_tokenizer(SMALL[kind])
    if isinstance(tokenizer, BinnedTokenizer):
        tokenizer.place(placed())
        return tokenizer.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(NETWORK.wait + 1):
            tokenizer.train()(placed().batch(np.arange(50)), generator)
    return tokenizer.eval()


# ---- the contract -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_every_kind_keeps_counts_labels_and_empty_jets(kind: str) -> None:
    tokenizer, jets = small(kind), toy_jets(30)
    fields = {f: jets.flat(f) for f in jets.fields}
    hollow = type(jets).from_flat([0, *jets.offsets], fields, label=[2, *jets.label], classes=jets.classes)
    tokens = tokenizer.encode(hollow)
    assert tokens.codebook_size == tokenizer.codebook_size == 64
    assert len(np.unique(tokens.codes)) > 3
    decoded = tokenizer.decode(tokens)
    np.testing.assert_array_equal(decoded.multiplicity, hollow.multiplicity)
    np.testing.assert_array_equal(decoded.label, hollow.label)
    assert (decoded.flat("pt") > 0).all()


@pytest.mark.parametrize("kind", SMALL)
def test_no_kind_depends_on_padding_or_on_the_batch(kind: str) -> None:
    tokenizer = small(kind)
    batch = placed().batch(np.arange(8))
    with torch.no_grad():
        plain = tokenizer(batch)
        x = torch.cat([batch.x, torch.full((8, 5, 3), 1e3)], 1)
        padded = tokenizer(ParticleBatch(x, torch.cat([batch.mask, torch.zeros(8, 5, dtype=torch.bool)], 1)))
    assert torch.equal(plain.codes, padded.codes)
    assert torch.equal(plain.codes, tokenizer.codes(batch))
    torch.testing.assert_close(plain.x, padded.x[:, : batch.x.shape[1]], atol=1e-5, rtol=1e-5)
    assert (padded.x[:, batch.x.shape[1] :] == 0).all()
    tokens = tokenizer.encode(toy_jets(40), batch_size=7)
    assert np.array_equal(tokens.codes, tokenizer.encode(toy_jets(40), batch_size=64).codes)
    np.testing.assert_allclose(
        tokenizer.decode_inputs(tokens, batch_size=7), tokenizer.decode_inputs(tokens), atol=1e-5
    )


@pytest.mark.parametrize("kind", SMALL)
def test_every_kind_comes_back_from_its_folder_with_the_same_codes(kind: str, tmp_path: Path) -> None:
    tokenizer = small(kind)
    tokens = tokenizer.encode(toy_jets(20))
    again = zoo.from_pretrained(zoo.save_pretrained(tokenizer, tmp_path / kind))
    assert np.array_equal(again.encode(toy_jets(20)).codes, tokens.codes)
    np.testing.assert_array_equal(again.decode_inputs(tokens), tokenizer.decode_inputs(tokens))
    assert again.config == tokenizer.config
    assert type(again) in TOKENIZERS.values()


@pytest.mark.parametrize("kind", ["normformer", "binned"])
def test_codes_of_another_codebook_are_refused(kind: str) -> None:
    other = small(kind).encode(toy_jets(3))
    with pytest.raises(InvalidJetsError, match="codebook of 64, this tokenizer has 2048"):
        VQVAE(VQVAEConfig.preset("tiny")).decode(other)


def test_only_the_conditional_kinds_look_at_the_other_constituents() -> None:
    batch = placed().batch(np.argsort(placed().lengths)[-1:])
    for kind, conditional in (("normformer", True), ("fsq", True), ("published", True), ("mlp", False)):
        tokenizer = small(kind)
        with torch.no_grad():
            whole = tokenizer.latents(batch.x, batch.mask)[:, :1]
            alone = tokenizer.latents(batch.x[:, :1], batch.mask[:, :1])
        assert bool((whole - alone).abs().max() > 1e-3) is conditional, kind


def test_the_bundled_model_gives_the_codes_it_always_gave() -> None:
    tokenizer = zoo.from_pretrained("omnijet-tiny").tokenizer
    tokens = tokenizer.encode(jetlab.load_jets("sample")[:200])
    leading = [tokens.codes[first : first + 8].tolist() for first in tokens.offsets[:3]]
    assert leading == [
        [959, 1291, 201, 2034, 1847, 1602, 1322, 531],
        [1967, 1873, 1897, 1382, 537, 1322, 1799, 1322],
        [1912, 1419, 1873, 1873, 761, 1340, 1340, 1999],
    ]
    first = tokenizer.decode_inputs(tokens)[:2]
    np.testing.assert_allclose(first, [[3.48133, -0.03529, -0.02766], [3.10523, -0.00983, -0.03222]], atol=2e-4)


# ---- learning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["normformer", "mlp", "fsq", "affine", "published"])
def test_every_kind_learns_to_rebuild_jets_with_many_codes(kind: str) -> None:
    tokenizer, run = train_tokenizer(
        toy_jets(600), toy_jets(60, seed=1), config=SMALL[kind], steps=120, batch_size=64, progress=False
    )
    error = run.history["valid_squared_error"].dropna()
    counts = np.bincount(tokenizer.encode(toy_jets(60, seed=1)).codes, minlength=64)
    share = counts[counts > 0] / counts.sum()
    assert error.iloc[-1] < 0.4 * error.iloc[0]
    assert np.exp(-(share * np.log(share)).sum()) > (10 if kind == "fsq" else 20)


def test_a_grid_is_trained_in_one_step_and_measured() -> None:
    tokenizer, run = train_tokenizer(toy_jets(300), toy_jets(60, seed=1), config=BinnedConfig((16, 16, 16)))
    assert run.finished
    assert isinstance(tokenizer, BinnedTokenizer)
    coarse, _ = train_tokenizer(toy_jets(300), toy_jets(60, seed=1), config=SMALL["binned"])
    particles = ParticleSet(toy_jets(60, seed=1), tokenizer.recipe)
    errors = [
        np.square(t.decode_inputs(t.encode(toy_jets(60, seed=1))) - particles.features.x).mean()
        for t in (tokenizer, coarse)
    ]
    assert run.best["squared_error"] == pytest.approx(errors[0], rel=1e-4)
    assert errors[0] < errors[1] / 4


@pytest.mark.parametrize("stopped", [10, 50])
@pytest.mark.parametrize("kind", ["published", "fsq"])
def test_an_interrupted_training_continues_to_the_same_tokenizer(kind: str, stopped: int, tmp_path: Path) -> None:
    def train(out: Path | None, **options: object) -> tuple[Tokenizer, jetlab.Run]:
        jets = toy_jets(100), toy_jets(20, seed=1)
        return train_tokenizer(*jets, config=SMALL[kind], steps=60, batch_size=32, out=out, progress=False, **options)

    whole, _ = train(None)
    calls = iter(range(100))
    _, part = train(tmp_path, stop=lambda: next(calls) >= stopped)
    assert not part.finished
    resumed, _ = train(tmp_path)
    for name, values in whole.state_dict().items():
        assert torch.equal(values, resumed.state_dict()[name]), name


# ---- vector quantization ----------------------------------------------------------------------------------------


def clusters(m: int, generator: torch.Generator) -> torch.Tensor:
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]])
    points = centres[torch.randint(4, (m,), generator=generator)]
    return points + 0.1 * torch.randn(points.shape, generator=generator)


@pytest.mark.parametrize("learning", ["means", "gradient"])
def test_start_and_replacement_happen_where_the_affine_map_leads(learning: str) -> None:
    generator = torch.Generator().manual_seed(0)
    quantizer = VectorQuantizer(4, 2, learning=learning, affine=2.0, wait=0).train()
    with torch.no_grad():
        quantizer.scale.fill_(0.7)
        quantizer.shift.fill_(-1.3)
    points = clusters(400, generator)
    out = quantizer(points, generator)
    assert out.commitment < 0.05
    assert len(torch.unique(out.codes)) == 4
    with torch.no_grad():
        quantizer.codebook[0] = 100.0
        quantizer.counts[0] = 0.0
        if learning == "means":
            quantizer.sums[0] = 0.0
    for _ in range(3):
        out = quantizer(clusters(400, generator), generator)
    assert quantizer.vectors().abs().max() < 6
    assert (quantizer.vectors() - quantizer.codebook).abs().max() > 1


def test_the_published_loss_and_where_its_gradients_go() -> None:
    quantizer = VectorQuantizer(8, 2, learning="gradient", affine=2.0, beta=0.9, sync_nu=0.5, wait=0).eval()
    points = torch.randn(50, 2, requires_grad=True)
    out = quantizer(points)
    rows = quantizer.vectors()[out.codes]
    squared = (points - rows).square().mean()
    torch.testing.assert_close(out.commitment, squared)
    out.commitment.backward()
    encoder, codebook = points.grad, quantizer.codebook.grad
    torch.testing.assert_close(encoder, 0.1 * 2 * (points - rows).detach() / 100)
    pulled = torch.zeros(8, 2).index_add_(0, out.codes, 0.9 * 2 * (rows - points).detach() / 100)
    torch.testing.assert_close(codebook, pulled)  # the affine map is still the identity
    assert quantizer.scale.grad.abs().sum() > 0
    points.grad = quantizer.codebook.grad = None
    quantizer(points).points.sum().backward()
    torch.testing.assert_close(points.grad, torch.ones(50, 2))
    used = torch.bincount(out.codes, minlength=8).float()[:, None].expand(8, 2)
    torch.testing.assert_close(quantizer.codebook.grad, 0.5 * used)


def test_a_large_codebook_starts_from_the_points_of_several_steps() -> None:
    generator = torch.Generator().manual_seed(0)
    quantizer = VectorQuantizer(600, 2, wait=4).train()
    seen = [torch.rand(200, 2, generator=generator) for _ in range(5)]
    for points in seen[:4]:
        assert torch.equal(quantizer(points).points, points)
    out = quantizer(seen[4], generator)
    latest = torch.cat(seen[1:])
    distance = (latest - quantizer.codebook[nearest(latest, quantizer.codebook)]).norm(dim=1)
    assert distance.max() < 0.1
    assert len(torch.unique(out.codes)) > 100


def test_a_batch_without_particles_changes_nothing() -> None:
    for quantizer in (VectorQuantizer(4, 2, wait=0), FiniteScalarQuantizer((5, 5), wait=0)):
        before = {name: values.clone() for name, values in quantizer.train().state_dict().items()}
        out = quantizer(torch.empty(0, 2))
        assert len(out.codes) == 0
        assert out.commitment == 0
        assert all(torch.equal(values, before[name]) for name, values in quantizer.state_dict().items())


def test_k_means_finds_clusters_and_repeats_too_few_points() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = kmeans.k_means(clusters(1000, generator), 4, generator=generator)
    assert sorted((centres.round() / 5).tolist()) == [[0, 0], [0, 1], [1, 0], [1, 1]]
    few = kmeans.k_means(torch.eye(3), 10, generator=generator)
    assert few.shape == (10, 3)
    assert len(torch.unique(few, dim=0)) == 10
    points = torch.randn(500, 3, generator=generator)
    drawn = kmeans.spread_out(points, 500, generator=generator)
    torch.testing.assert_close(drawn.sort(0).values, points.sort(0).values)


def test_the_work_of_k_means_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    work = []

    def counted(points: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        work.append(len(points) * len(table))
        return nearest(points, table)

    monkeypatch.setattr(kmeans, "nearest", counted)
    monkeypatch.setattr(kmeans, "DISTANCES", 2e6)
    points = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    for size in (16, 900, 1500):
        work.clear()
        centres = kmeans.k_means(points, size)
        assert len(torch.unique(centres, dim=0)) == size
        assert sum(work) <= 4e6
        assert len(work) <= kmeans.DRAWS + 10


# ---- finite scalar quantization ---------------------------------------------------------------------------------


def test_every_code_of_the_grid_comes_back() -> None:
    quantizer = FiniteScalarQuantizer((8, 5, 3)).eval()
    quantizer.centre.copy_(torch.tensor([1.0, -2.0, 0.5]))
    quantizer.spread.copy_(torch.tensor([0.1, 1.0, 5.0]))
    assert torch.equal(quantizer.codes(quantizer.vectors()), torch.arange(120))
    points = torch.randn(200, 3, requires_grad=True)
    out = quantizer(points)
    torch.testing.assert_close(out.points, quantizer.vectors()[out.codes])
    extremes = quantizer.codes(torch.tensor([[-1e4] * 3, [1e4] * 3]))
    assert extremes.tolist() == [0, 119]
    out.points.sum().backward()
    inside = (points - quantizer.centre).abs() < 0.3 * quantizer.spread
    assert ((points.grad > 0.6) & (points.grad < 1.6))[inside].all()


def test_codes_are_about_equally_frequent_once_the_points_are_measured() -> None:
    generator = torch.Generator().manual_seed(0)
    quantizer = FiniteScalarQuantizer((8, 4), wait=100).train()
    points = torch.randn(8000, 2, generator=generator) * torch.tensor([0.2, 4.0]) + 3
    for _ in range(100):
        assert torch.equal(quantizer(points).points, points)
    out = quantizer(points)
    counts = torch.bincount(out.codes, minlength=32)
    assert counts.min() > 0.7 * counts.float().mean()
    assert (out.points - points).abs().mean(0)[0] < 0.05


@pytest.mark.parametrize("codes", [512, 2048, 8192, 65_536])
def test_levels_come_near_to_the_number_of_codes(codes: int) -> None:
    levels = fsq_levels(codes, 3)
    assert abs(math.prod(levels) / codes - 1) < 0.03
    assert max(levels) - min(levels) <= 1
    config = VQVAEConfig.preset("tiny-fsq").with_codes(codes)
    assert (config.codebook_size, config.latent_width) == (math.prod(levels), len(levels))


# ---- grid -------------------------------------------------------------------------------------------------------


def test_a_constituent_is_at_most_half_a_bin_from_the_middle_of_its_cell() -> None:
    tokenizer = BinnedTokenizer(BinnedConfig((5, 9, 7)))
    tokenizer.place(placed())
    tokens = tokenizer.encode(toy_jets(200))
    error = np.abs(tokenizer.decode_inputs(tokens) - placed().features.x)
    low, high = np.quantile(placed().features.x, [0.001, 0.999], axis=0)
    inside = (placed().features.x > low) & (placed().features.x < high)
    assert (error <= (high - low) / np.array([5, 9, 7]) / 2 + 1e-5)[inside].all()


def test_quantile_bins_hold_equally_many_constituents() -> None:
    tokenizer = BinnedTokenizer(BinnedConfig((8, 1, 1), "quantile"))
    tokenizer.place(placed())
    counts = np.bincount(tokenizer.encode(toy_jets(200)).codes, minlength=8)
    assert np.ptp(counts) <= 2
    decoded = tokenizer.decode_inputs(tokenizer.encode(toy_jets(200)))
    np.testing.assert_allclose(decoded.mean(0), placed().features.x.mean(0), atol=1e-4)


# ---- configurations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", ["tiny", "published"])
def test_every_kind_has_a_tiny_and_a_published_preset(kind: str, preset: str) -> None:
    config = tokenizer_config(kind, preset=preset)
    assert type(config).from_dict(config.to_dict()) == config
    for codes in (512, 8192):
        assert abs(tokenizer_config(kind, codes=codes, preset=preset).codebook_size / codes - 1) < 0.03


def test_the_published_tokenizer_has_the_published_size() -> None:
    with torch.device("meta"):
        tokenizer = VQVAE(VQVAEConfig.preset("published"))
    assert sum(p.numel() for p in tokenizer.parameters()) == 833_551


def test_showers_in_a_calorimeter_are_a_matter_of_configuration() -> None:
    recipe = Recipe("hits", (Feature("pt", function="log"), Feature("deta"), Feature("dphi")), 1000, None)
    config = replace(VQVAEConfig.preset("large-codebook"), recipe=recipe, width=16, depth=1, heads=2)
    assert (config.codebook_size, config.latent_width) == (65_536, 12)
    torch.manual_seed(0)  # some untrained ones decode to what no jet can be
    tokenizer = VQVAE(config).eval()
    jets = toy_jets(10)
    np.testing.assert_array_equal(tokenizer.decode(tokenizer.encode(jets)).multiplicity, jets.multiplicity)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "cnn"}, "network is 'cnn', expected one of 'normformer'"),
        ({"learning": "magic"}, "learning is 'magic'"),
        ({"quantizer": "fsq", "levels": (8, 8)}, "make 64 codes of width 2, expected 8192 of width 4"),
        ({"levels": (8, 8)}, "only the quantizer 'fsq' has levels"),
        ({"recipe": Recipe("bare", (Feature("deta"),))}, "no input log pT to weight by"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VQVAEConfig(**change)
    with pytest.raises(ValueError, match="7 codes cannot be made of at least 2 levels in each of 3 directions"):
        fsq_levels(7, 3)
    with pytest.raises(ValueError, match="expected 3 positive numbers"):
        BinnedConfig((4, 4))
    with pytest.raises(ValueError, match="unknown kind of tokenizer 'wave'; expected one of normformer"):
        tokenizer_config("wave")
