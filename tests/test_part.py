"""The Particle Transformer of JetClass, the four-momenta it needs, and the importer of the published networks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import jetlab
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import CheckpointError, InvalidJetsError
from jetlab.features import JETCLASS_RECIPES, OMNIJET_RECIPE
from jetlab.jets import Jets
from jetlab.kernels.attention import attend
from jetlab.models.lengths import LengthParts
from jetlab.models.part import ParT, PartConfig, interactions
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.zoo.importers.part import their_name
from jetlab.zoo.verify import verify

from .toys import toy_jets

PARITY = next((p / "shared" / "parity" / "part_v1" for p in Path(__file__).parents if (p / "shared").is_dir()), None)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the golden folders are not here")

GOLDEN = ("tiny_full", "tiny_kin_fc")

PUBLISHED = {"full": 2_143_486, "kinpid": 2_142_958, "kin": 2_142_166}
"""Parameters of the networks published with JetClass."""


def seeded(config: TaggerConfig, seed: int = 0) -> Tagger:
    """A tagger of which no weight is what it was made with, nor are the statistics of its batch norms."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tagger = Tagger(config)
        for name, buffer in tagger.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        for parameter in tagger.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return tagger.eval()


@pytest.fixture(scope="module")
def tiny() -> Tagger:
    return seeded(TaggerConfig(PartConfig.preset("tiny"), hidden=(8,)))


def batch_of(tagger: Tagger, jets: Jets) -> ParticleBatch:
    batch = tagger.prepare(jets).batch(np.arange(len(jets)))
    assert isinstance(batch, ParticleBatch)
    return batch


# ---- the network ----------------------------------------------------------------------------------------------------


def test_presets_have_the_published_sizes() -> None:
    parameters = {}
    with torch.device("meta"):
        for name in JETCLASS_RECIPES:
            tagger = Tagger(TaggerConfig(PartConfig.preset(name), hidden=()))
            parameters[name] = sum(p.numel() for p in tagger.parameters())
    assert parameters == PUBLISHED
    with pytest.raises(ValueError, match="unknown preset 'huge'; expected one of full"):
        PartConfig.preset("huge")
    with pytest.raises(ValueError, match="width 30 cannot be split into 4 heads"):
        PartConfig(width=30, heads=4)


def test_config_survives_json(tiny: Tagger) -> None:
    entries = json.loads(json.dumps(tiny.config_dict(), allow_nan=False))
    assert TaggerConfig.from_dict(entries) == tiny.config
    assert Tagger.from_config(entries).config == tiny.config


def test_interactions_are_what_the_paper_says() -> None:
    jets = toy_jets(2, low=4, high=5)
    e, px, py, pz = jets.flat_p4[:4].T
    pt, y, phi = np.hypot(px, py), 0.5 * np.log((e + pz) / (e - pz)), np.arctan2(py, px)
    a, b = np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4)
    a, b = a[a != b], b[a != b]
    softer = np.minimum(pt[a], pt[b])
    distance = np.hypot(y[a] - y[b], (phi[a] - phi[b] + np.pi) % (2 * np.pi) - np.pi)
    mass2 = (e[a] + e[b]) ** 2 - (px[a] + px[b]) ** 2 - (py[a] + py[b]) ** 2 - (pz[a] + pz[b]) ** 2
    expected = np.log(np.stack([softer * distance, softer / (pt[a] + pt[b]), distance, mass2], -1))
    p4 = torch.from_numpy(jets.flat_p4)
    np.testing.assert_allclose(interactions(p4[a], p4[b]), expected, rtol=1e-6)
    itself = interactions(p4[:1], p4[:1])[0]
    np.testing.assert_allclose(itself[:3], np.log([1e-8, 0.5, 1e-8]), rtol=1e-12)


def test_nearby_directions_on_both_sides_of_pi_are_close() -> None:
    phi = torch.tensor([3.1, -3.1], dtype=torch.float64)
    p4 = torch.stack([torch.ones(2), phi.cos(), phi.sin(), torch.zeros(2)], -1)
    distance = interactions(p4[0], p4[1])[2].exp()
    assert distance == pytest.approx(2 * np.pi - 6.2, rel=1e-6)


def test_every_weight_learns(tiny: Tagger) -> None:
    tagger = seeded(tiny.config).train()
    batch = batch_of(tagger, toy_jets(40))
    F.cross_entropy(tagger(batch), batch.label).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tagger.parameters())


@torch.no_grad()
def test_only_learning_drops_something(tiny: Tagger) -> None:
    tagger, batch = seeded(tiny.config), batch_of(tiny, toy_jets(8))
    torch.testing.assert_close(tagger(batch), tagger(batch), rtol=0, atol=0)
    tagger.train()
    assert not torch.equal(tagger.backbone.encode(batch).jet, tagger.backbone.encode(batch).jet)


def test_dropped_attention_weights_leave_the_mean_as_it_is() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 200, 4)
    bias = torch.zeros(1, 1, 1, 200)
    ones = torch.ones(1, 1, 200, 4)
    torch.testing.assert_close(attend(q, k, ones, bias=bias), ones)
    dropped = attend(q, k, ones, bias=bias, dropout=0.3)
    assert dropped.std() > 0.01
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)


@torch.no_grad()
def test_padding_and_neighbouring_jets_change_nothing(tiny: Tagger) -> None:
    jets = toy_jets(12)
    batch = batch_of(tiny, jets)
    together = tiny(batch)
    alone = torch.cat([tiny(batch_of(tiny, jet)) for jet in jets])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    wide = ParticleBatch(
        F.pad(batch.x, (0, 0, 0, 3), value=7.0), F.pad(batch.mask, (0, 3)), p4=F.pad(batch.p4, (0, 0, 0, 3), value=7.0)
    )
    torch.testing.assert_close(tiny(wide), together, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_order_of_particles_changes_nothing(tiny: Tagger) -> None:
    batch = batch_of(tiny, toy_jets(5))
    turned = ParticleBatch(batch.x.flip(1), batch.mask.flip(1), p4=batch.p4.flip(1))
    torch.testing.assert_close(tiny(turned), tiny(batch), rtol=1e-4, atol=1e-5)
    encoding = tiny.backbone.encode(turned).particles.flip(1)
    torch.testing.assert_close(encoding, tiny.backbone.encode(batch).particles, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_encoding_is_zero_where_padded_and_empty_jets_are_finite(tiny: Tagger) -> None:
    jets = toy_jets(4)
    hollow = Jets.from_flat([0, *jets.offsets], {f: jets.flat(f) for f in jets.fields})
    batch = batch_of(tiny, hollow)
    encoding = tiny.backbone.encode(batch)
    assert encoding.particles.shape == (*batch.mask.shape, 32)
    assert encoding.jet.shape == (5, 32)
    assert not encoding.particles[~batch.mask].any()
    assert torch.isfinite(tiny(batch)).all()
    torch.testing.assert_close(encoding.jet[1:], tiny.backbone.encode(batch_of(tiny, jets)).jet)
    nothing = ParticleBatch(batch.x[:1], batch.mask[:1], p4=batch.p4[:1])
    torch.testing.assert_close(tiny.backbone.encode(nothing).jet, encoding.jet[:1])


def test_momenta_are_needed_and_matter(tiny: Tagger) -> None:
    batch = batch_of(tiny, toy_jets(5))
    with pytest.raises(InvalidJetsError, match=r"needs the four-momenta.*ParticleSet\(jets, recipe, p4=True\)"):
        tiny(replace(batch, p4=None))
    with torch.no_grad():
        assert (tiny(replace(batch, p4=2 * batch.p4)) - tiny(batch)).abs().max() > 1e-3


def test_a_tagger_comes_back_from_its_folder_and_classifies_jets(tiny: Tagger, tmp_path: Path) -> None:
    jets = toy_jets(20)
    jetlab.save_pretrained(tiny, tmp_path / "tagger")
    back = jetlab.from_pretrained(tmp_path / "tagger")
    assert isinstance(back, Tagger)
    assert isinstance(back.backbone, ParT)
    found = jetlab.tasks.classify(back, jets, batch_size=7, progress=False)
    with torch.no_grad():
        expected = tiny(batch_of(tiny, jets)).softmax(1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ---- four-momenta in batches ----------------------------------------------------------------------------------------


def test_momenta_follow_the_inputs_through_every_cut() -> None:
    recipe = replace(OMNIJET_RECIPE, max_distance=0.15, max_particles=5)
    jets = toy_jets(30)
    with pytest.warns(UserWarning, match="more than 5 constituents"):
        particles = ParticleSet(jets, recipe, p4=True)
    assert particles.lengths.max() == 5
    assert particles.lengths.sum() < jets.multiplicity.clip(max=5).sum()  # both cuts did something
    batch = particles.batch(np.array([7, 3, 29]))
    assert batch.p4.shape == (*batch.mask.shape, 4)
    assert batch.p4.dtype == torch.float32
    assert not batch.p4[~batch.mask].any()
    pt = batch.p4[..., 1:3].norm(dim=-1)[batch.mask]
    torch.testing.assert_close(pt.log() - 1.8, batch.x[..., 0][batch.mask], rtol=1e-5, atol=1e-5)
    assert ParticleSet(jets[:3], OMNIJET_RECIPE).batch(np.arange(3)).p4 is None


def test_momenta_are_split_with_their_jets() -> None:
    batch = ParticleSet(toy_jets(30), OMNIJET_RECIPE, p4=True).batch(np.arange(30))
    parts = LengthParts(batch, slots=40)
    assert len(parts.sizes) > 3
    for part, rows in parts:
        torch.testing.assert_close(part.p4[part.mask], batch.p4[rows][batch.mask[rows]], rtol=0, atol=0)


# ---- the published networks -----------------------------------------------------------------------------------------


def published_state(config: PartConfig, *, newer: bool = False) -> dict[str, torch.Tensor]:
    """Random tensors with the names and shapes of a published file."""
    state = {}
    for name, values in seeded(TaggerConfig(config, hidden=())).state_dict().items():
        key = their_name(name)
        is_convolution = key.startswith("mod.pair_embed") and values.ndim == 2
        key = key.replace(".in_proj_", ".in_proj.") if newer else key
        state[key] = values[..., None].clone() if is_convolution else values.clone()
    return state


@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("inputs", JETCLASS_RECIPES)
def test_files_in_the_published_layout_are_recognised(inputs: str, newer: bool, tmp_path: Path) -> None:
    config = replace(PartConfig.preset("tiny"), recipe=JETCLASS_RECIPES[inputs])
    torch.save(published_state(config, newer=newer), tmp_path / "any name.bin")
    tagger = jetlab.from_pretrained(tmp_path / "any name.bin")
    assert isinstance(tagger, Tagger)
    assert tagger.config == TaggerConfig(config, hidden=())
    assert not tagger.training
    for name, values in seeded(tagger.config).state_dict().items():
        assert torch.equal(tagger.state_dict()[name], values), name


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = published_state(PartConfig.preset("tiny"))
    del state["mod.blocks.1.c_attn"], state["mod.norm.bias"]
    state["mod.blocks.0.attn.in_proj.bias"] = torch.zeros(96)
    state["mod.blocks.7.w_resid"] = torch.zeros(32)
    state["mod.cls_token"] = torch.zeros(1, 1, 31)
    state["mod.fc.0.bias"] = torch.full((10,), torch.nan)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError) as caught:
        jetlab.from_pretrained(tmp_path / "odd.pt")
    for fault in (
        "mod.blocks.1.c_attn (missing)",
        "mod.norm.bias (missing)",
        "mod.blocks.0.attn.in_proj.bias (unexpected)",
        "mod.blocks.7.w_resid (unexpected)",
        "mod.cls_token (shape (1, 1, 31), expected (1, 1, 32))",
        "mod.fc.0.bias (NaN or infinite)",
    ):
        assert fault in str(caught.value)


def test_other_inputs_and_shapes_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    state = published_state(PartConfig.preset("tiny"))
    torch.save(state | {"mod.embed.input_bn.weight": torch.ones(5)}, tmp_path / "five.pt")
    with pytest.raises(CheckpointError, match=r"has 5 inputs; the published ones have 17 \(full\)"):
        jetlab.from_pretrained(tmp_path / "five.pt")
    torch.save(state | {"mod.blocks.0.c_attn": torch.ones(5)}, tmp_path / "heads.pt")
    with pytest.raises(CheckpointError, match="contradict each other: width 32 cannot be split into 5 heads"):
        jetlab.from_pretrained(tmp_path / "heads.pt")


def test_a_file_cannot_ask_for_more_memory_than_it_fills(tmp_path: Path) -> None:
    """A network of this width would take terabytes."""
    wide = torch.zeros(400_000, dtype=torch.float16)
    state = published_state(PartConfig.preset("tiny")) | {"mod.embed.embed.4.weight": wide}
    torch.save(state, tmp_path / "wide.pt")
    with pytest.raises(CheckpointError, match=r"mod.cls_token \(shape \(1, 1, 32\), expected \(1, 1, 400000\)"):
        jetlab.from_pretrained(tmp_path / "wide.pt")


@needs_parity
@pytest.mark.parametrize("name", GOLDEN)
def test_the_original_outputs_come_out(name: str) -> None:
    """In float64 to the last digits; in float32 too, since squared masses are rounded as in the original."""
    found = verify(PARITY / name)
    assert "fail" not in set(found["status"])
    computed = set(found.index[found["status"] == "pass"])
    steps = {f"mid_{step}" for step in ("embed", "pair_bias", "block0", "block_last", "cls_norm")}
    logits = {"logits", "logits_f64", "edge_logits", "edge_logits_f64"}
    assert computed == {"features", "vectors", "mask"} | steps | logits
    left = found.index[found["status"] == "not compared"]
    assert {array for array in left if not array.startswith("raw_jet_")} == {"label"}
    assert found.loc[["logits_f64", "edge_logits_f64"], "difference"].max() < 1e-12


@needs_parity
@pytest.mark.parametrize(
    ("tensor", "arrays"),
    [
        ("mod.embed.input_bn.running_mean", {"mid_embed", "logits_f64"}),
        ("mod.pair_embed.embed.11.bias", {"mid_pair_bias", "edge_logits_f64"}),
        ("mod.blocks.0.c_attn", {"mid_block0", "logits"}),
        ("mod.blocks.2.w_resid", {"mid_block_last"}),
        ("mod.cls_token", {"mid_cls_norm"}),
        ("mod.cls_blocks.1.w_resid", {"mid_cls_norm", "edge_logits"}),
    ],
)
def test_one_wrong_weight_is_found(tensor: str, arrays: set[str], tmp_path: Path) -> None:
    for file in (PARITY / "tiny_full").iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    state = torch.load(tmp_path / "ParT.pt", weights_only=True)
    state[tensor].view(-1)[1] += 0.1
    torch.save(state, tmp_path / "ParT.pt")
    found = verify(tmp_path)
    assert arrays <= set(found.index[found["status"] == "fail"])
