"""ParticleNet, taggers, and the importer of the published networks."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import jetlab
from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.errors import CheckpointError
from jetlab.features import JETCLASS_COLUMNS, JETCLASS_JET_COLUMNS, JETCLASS_RECIPES
from jetlab.jets import Jets
from jetlab.kernels.neighbours import neighbours
from jetlab.models.particlenet import EdgeConv, ParticleNet, ParticleNetConfig
from jetlab.models.tagger import Tagger, TaggerConfig
from jetlab.vocabulary import CLASSES
from jetlab.zoo.importers.particlenet import _their_name

from .toys import toy_jets

PARITY = next(
    (p / "shared" / "parity" / "particlenet" for p in Path(__file__).parents if (p / "shared").is_dir()), None
)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the published JetClass networks are not here")


def seeded(config: TaggerConfig, seed: int = 0) -> Tagger:
    """A tagger whose batch norms have statistics of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tagger = Tagger(config)
        for name, buffer in tagger.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return tagger.eval()


@pytest.fixture(scope="module")
def tiny() -> Tagger:
    return seeded(TaggerConfig(ParticleNetConfig.preset("tiny"), hidden=(8,)))


def batch_of(tagger: Tagger, jets: Jets) -> ParticleBatch:
    return ParticleSet(jets, tagger.recipe).batch(np.arange(len(jets)))


# ---- the network ----------------------------------------------------------------------------------------------------


def test_presets_have_the_published_sizes() -> None:
    parameters = {}
    for name in JETCLASS_RECIPES:
        tagger = Tagger(TaggerConfig(ParticleNetConfig.preset(name)))
        parameters[name] = sum(p.numel() for p in tagger.parameters())
    assert parameters == {"full": 370_156, "kinpid": 369_380, "kin": 368_216}
    with pytest.raises(ValueError, match="unknown preset 'huge'; expected one of full"):
        ParticleNetConfig.preset("huge")


def test_config_survives_json(tiny: Tagger) -> None:
    entries = json.loads(json.dumps(tiny.config_dict(), allow_nan=False))
    assert TaggerConfig.from_dict(entries) == tiny.config
    assert Tagger.from_config(entries).config == tiny.config


def test_edge_convolution_is_what_the_paper_says() -> None:
    """Pair by pair, without any of the algebra that makes it fast."""
    block = next(b for b in seeded(TaggerConfig(ParticleNetConfig.preset("tiny"))).backbone.blocks)
    x = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))
    slots = torch.tensor([[0, 1, 2, 3, 4], [5, 6, 7, 7, 7]])
    near = neighbours(x, slots, k=4)
    padded = torch.cat([x, torch.zeros(1, 7)])
    expected = []
    for i in range(7):
        messages = []
        for j in near[i]:
            y = torch.cat([x[i], padded[j] - x[i]])[None]
            for layer in block.layers:
                y = layer.norm(layer.linear(y)).relu()
            messages.append(y)
        shortcut = block.shortcut.norm(block.shortcut.linear(x[i : i + 1]))
        expected.append((torch.cat(messages).mean(0) + shortcut[0]).relu())
    torch.testing.assert_close(block(x, near), torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_a_block_of_equal_widths_has_a_plain_shortcut() -> None:
    block = EdgeConv(8, (8, 8))
    assert block.shortcut is None
    assert block(torch.randn(3, 8), torch.full((3, 2), 3)).shape == (3, 8)


def test_learning_and_evaluation_compute_the_same_function(tiny: Tagger) -> None:
    """With the batch's own statistics frozen in, the folded path must give what the learning path gave.

    One block, whose neighbours come from the coordinates: those of a second one may flip with the last digits.
    """
    tagger = Tagger(TaggerConfig(replace(ParticleNetConfig.preset("tiny"), blocks=((8, 8),)), dropout=0.0))
    for module in tagger.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
    batch = batch_of(tagger, toy_jets(200))
    learning = tagger.train()(batch)
    torch.testing.assert_close(tagger.eval()(batch), learning, rtol=0, atol=2e-3)


def test_every_weight_learns(tiny: Tagger) -> None:
    tagger = Tagger(tiny.config).train()
    batch = batch_of(tagger, toy_jets(40))
    F.cross_entropy(tagger(batch), batch.label).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tagger.parameters())


def test_padding_and_neighbouring_jets_change_nothing(tiny: Tagger) -> None:
    jets = toy_jets(12)
    together = tiny(batch_of(tiny, jets))
    alone = torch.cat([tiny(batch_of(tiny, jet)) for jet in jets])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_order_of_particles_changes_nothing(tiny: Tagger) -> None:
    batch = batch_of(tiny, toy_jets(5, low=8, high=9))
    turned = ParticleBatch(batch.x.flip(1), batch.mask.flip(1))
    torch.testing.assert_close(tiny(turned), tiny(batch), rtol=1e-4, atol=1e-5)


def test_encoding_is_zero_where_padded_and_for_an_empty_jet(tiny: Tagger) -> None:
    jets = toy_jets(4)
    hollow = Jets.from_flat([0, *jets.offsets], {f: jets.flat(f) for f in jets.fields})
    batch = batch_of(tiny, hollow)
    encoding = tiny.backbone.encode(batch)
    assert encoding.particles.shape == (*batch.mask.shape, 16)
    assert encoding.particles[~batch.mask].abs().max() == 0
    assert encoding.jet[0].abs().max() == 0
    assert torch.isfinite(tiny(batch)).all()
    torch.testing.assert_close(encoding.jet[1], encoding.particles[1][batch.mask[1]].mean(0))


def test_a_recipe_without_directions_is_refused() -> None:
    blind = replace(JETCLASS_RECIPES["kin"], features=JETCLASS_RECIPES["kin"].features[:5])
    with pytest.raises(KeyError, match="no input 'deta_outward'"):
        ParticleNet(ParticleNetConfig(recipe=blind))


def test_a_tagger_comes_back_from_its_folder(tiny: Tagger, tmp_path: Path) -> None:
    jetlab.save_pretrained(tiny, tmp_path / "tagger")
    back = jetlab.from_pretrained(tmp_path / "tagger")
    batch = batch_of(tiny, toy_jets(5))
    torch.testing.assert_close(back(batch), tiny(batch), rtol=0, atol=0)


# ---- the published networks -----------------------------------------------------------------------------------------


def published_state(name: str = "kin") -> dict[str, torch.Tensor]:
    """Random tensors with the names and shapes of a published file."""
    tagger = seeded(TaggerConfig(ParticleNetConfig.preset(name)))
    state = {_their_name(key): values.clone() for key, values in tagger.state_dict().items()}
    for key, values in state.items():
        if ".convs." in key:
            state[key] = values[..., None, None]
        if key.endswith(".sc.weight"):
            state[key] = values[..., None]
    return state


@pytest.mark.parametrize("name", JETCLASS_RECIPES)
def test_files_in_the_published_layout_are_recognised(name: str, tmp_path: Path) -> None:
    torch.save(published_state(name), tmp_path / "any name.bin")
    tagger = jetlab.from_pretrained(tmp_path / "any name.bin")
    assert isinstance(tagger, Tagger)
    assert tagger.recipe == JETCLASS_RECIPES[name]
    assert tagger.classes == CLASSES
    assert not tagger.training


def test_what_does_not_fit_is_listed(tmp_path: Path) -> None:
    state = published_state()
    del state["mod.fc.1.bias"]
    state["mod.fc.2.bias"] = torch.zeros(10)
    state["mod.fc.0.0.weight"] = torch.zeros(200, 256)
    state["mod.edge_convs.0.sc_bn.bias"] = torch.full((64,), torch.nan)
    state["mod.bn_fts.num_batches_tracked"] = torch.tensor(1.5)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError) as caught:
        jetlab.from_pretrained(tmp_path / "odd.pt")
    for fault in (
        "mod.fc.1.bias (missing)",
        "mod.fc.2.bias (unexpected)",
        "mod.fc.0.0.weight (shape (200, 256), expected (256, 256))",
        "mod.edge_convs.0.sc_bn.bias (NaN or infinite)",
        "mod.bn_fts.num_batches_tracked (torch.float32, expected torch.int64)",
    ):
        assert fault in str(caught.value)


def test_other_numbers_of_inputs_and_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save(published_state() | {"mod.bn_fts.weight": torch.ones(5)}, tmp_path / "five.pt")
    with pytest.raises(CheckpointError, match=r"has 5 inputs; the published ones have 17 \(full\)"):
        jetlab.from_pretrained(tmp_path / "five.pt")
    torch.save({"layer.weight": torch.ones(5)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"no layout that jetlab knows; tensors: layer\.weight"):
        jetlab.from_pretrained(tmp_path / "other.pt")


class Trap:
    """Writes a file when it is unpickled by a reader that does what a pickle says."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.path), "w")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save(published_state() | {"mod.extra": Trap(sprung)}, tmp_path / "trap.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors, which is not loaded"):
        jetlab.from_pretrained(tmp_path / "trap.pt")
    assert not sprung.exists()
    torch.load(tmp_path / "trap.pt", weights_only=False)["mod.extra"].close()
    assert sprung.exists()  # so the trap was a real one


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {3: torch.ones(1)}, {"state": {"a": torch.ones(1)}}])
def test_files_of_other_things_than_named_tensors_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="named tensors"):
        jetlab.from_pretrained(tmp_path / "x.pt")


def test_packed_archives_are_refused(tmp_path: Path) -> None:
    """A few kilobytes could otherwise become gigabytes."""
    buffer = io.BytesIO()
    torch.save(published_state(), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "p.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in source.infolist():
            packed.writestr(entry.filename, source.read(entry))
    with pytest.raises(CheckpointError, match=r"packed entries.*data\.pkl"):
        jetlab.from_pretrained(tmp_path / "p.pt")


def test_damaged_files_raise_our_error_only(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"mod.edge_convs.0.bns.0.bias": torch.arange(50.0)}, buffer)
    good, rng = buffer.getvalue(), np.random.default_rng(0)
    path = tmp_path / "damaged.pt"
    for trial in range(120):
        data = bytearray(good)
        if trial % 3 == 0:
            data = data[: rng.integers(0, len(good))]
        else:
            for place in rng.integers(0, len(good), trial):
                data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        with pytest.raises(CheckpointError):
            jetlab.from_pretrained(path)


@needs_parity
@pytest.mark.parametrize("prefix", ["", "edge_"])
@pytest.mark.parametrize("name", JETCLASS_RECIPES)
def test_published_networks_give_the_original_outputs(name: str, prefix: str) -> None:
    golden = np.load(PARITY / name / "io.npz")
    tagger = jetlab.from_pretrained(PARITY / name / f"ParticleNet_{name}.pt")
    features = tagger.recipe.from_columns(
        golden[f"{prefix}raw_offsets"],
        {quantity: golden[f"{prefix}raw_{column}"] for column, quantity in JETCLASS_COLUMNS.items()},
        jets={quantity: golden[f"{prefix}raw_{column}"] for column, quantity in JETCLASS_JET_COLUMNS.items()},
    )
    mask = torch.from_numpy(golden[f"{prefix}mask"][:, 0] > 0)[:60]
    x = torch.zeros(*mask.shape, tagger.recipe.width)
    x[mask] = torch.from_numpy(features.x[: int(mask.sum())])
    with torch.no_grad():
        logits = torch.cat([tagger(ParticleBatch(*part)) for part in zip(x.split(30), mask.split(30), strict=True)])
    expected = torch.from_numpy(golden[f"{prefix}logits"])[:60]
    torch.testing.assert_close(logits.softmax(1), expected.softmax(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-4)


@needs_parity
def test_steps_within_the_published_network_are_the_original_ones() -> None:
    golden = np.load(PARITY / "full" / "io.npz")
    net = jetlab.from_pretrained(PARITY / "full" / "ParticleNet_full.pt").backbone
    rows = golden["mid_index"]
    mask = torch.from_numpy(golden["mask"][rows, 0] > 0)
    x = torch.from_numpy(golden["features"][rows].transpose(0, 2, 1).copy())
    with torch.no_grad():
        normed = net.norm(x[mask])
        np.testing.assert_allclose(normed, golden["mid_bn_fts"].transpose(0, 2, 1)[mask], rtol=0, atol=1e-5)
        pooled = net.encode(ParticleBatch(x, mask)).jet
    np.testing.assert_allclose(pooled, golden["mid_pooled"], rtol=1e-5, atol=1e-5)
    starts = (mask.flatten().cumsum(0).view(mask.shape) - 1).masked_fill(~mask, int(mask.sum()))
    near = neighbours(x[mask][:, net.place], starts, k=16)
    first = torch.from_numpy(golden["mid_knn0"].astype(np.int64))  # places within the jet
    theirs = starts[:, None, :].expand(-1, 128, -1).gather(2, first)[mask]
    assert torch.equal(near.sort(1).values, theirs.sort(1).values)
