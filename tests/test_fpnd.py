"""The ParticleNet of JetNet, its importer, and files in the format before PyTorch 1.6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jetlab
from jetlab.errors import CheckpointError
from jetlab.models.fpnd import FPNDConfig, FPNDNet
from jetlab.zoo.importers import import_checkpoint, read_checkpoint
from jetlab.zoo.importers.fpnd import _biases, _their_name
from jetlab.zoo.verify import verify
from jetlab.zoo.verify.golden import Golden

FOLDER = next(
    (p / "shared" / "parity" / "fpnd" / "jetnet30" for p in Path(__file__).parents if (p / "shared").is_dir()), None
)
needs_parity = pytest.mark.skipif(FOLDER is None, reason="the golden folder of FPND is not here")

TINY = FPNDConfig(particles=8, blocks=((6, 5), (4, 4)), neighbours=3, width=7, references=("g",))


def random_net(config: FPNDConfig = TINY) -> FPNDNet:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = FPNDNet(config)
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return net.eval()


def some_jets(n: int = 5, particles: int = 8, *, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).uniform(0.01, 0.3, (n, particles, 3)).astype(np.float32)
    values[:, particles // 2 :] = 0
    return torch.from_numpy(values)


def published_state() -> dict[str, torch.Tensor]:
    """Random tensors with the names and shapes of the published file."""
    own = random_net(FPNDConfig()).state_dict()
    own = {name: values for name, values in own.items() if name not in ("means", "covariances")}
    state = {_their_name(name): values for name, values in own.items()}
    state |= {theirs: torch.full_like(own[name], 0.25) for name, theirs in _biases(own).items()}
    copies = {
        name.replace("edge_nets.", "edge_convs.").replace(".model.", ".nn.model."): v for name, v in state.items()
    }
    return state | copies


# ---- the network ----------------------------------------------------------------------------------------------------


def test_each_block_is_what_the_paper_says() -> None:
    """Slot by slot, pair by pair, with the empty slots like any other."""
    net, jets = random_net(), some_jets(2)
    for jet in jets:
        x = jet / torch.tensor(TINY.scales) + torch.tensor(TINY.shifts)
        for k, block in enumerate(net.blocks):
            place = x if k else x[:, :2]
            rows = []
            for i in range(len(x)):
                others = [j for j in range(len(x)) if j != i]
                apart = (place[others].double() - place[i].double()).norm(dim=1)
                near = [others[int(j)] for j in apart.argsort(stable=True)[: TINY.neighbours]]
                pairs = torch.stack([torch.cat([x[i], x[j] - x[i]]) for j in near])
                for layer in block.layers:
                    pairs = layer.norm(layer.linear(pairs)).relu()
                rows.append(torch.cat([pairs.mean(0), x[i]]))
            x = torch.stack(rows)
        expected = net.describe_jet(x.mean(0))
        torch.testing.assert_close(net.activations(jet[None])[0], expected, rtol=1e-5, atol=1e-6)


def test_a_jet_is_described_alone_as_in_company_and_in_any_order() -> None:
    net, jets = random_net(), some_jets(70)
    together = net.describe(jets)
    assert together.shape == (70, 7)
    assert together.dtype == np.float64
    np.testing.assert_allclose(together[66:67], net.describe(jets[66:67]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.describe(jets.flip(1)), together, rtol=1e-5, atol=1e-6)
    assert net.describe(jets[:0]).shape == (0, 7)


def test_jets_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 3\), expected \(8, 3\): etarel"):
        random_net().describe(some_jets(2, 5))


def test_the_published_size_and_the_way_through_json_and_a_folder(tmp_path: Path) -> None:
    assert sum(p.numel() for p in FPNDNet(FPNDConfig()).parameters()) == 410_437 - 3 * (64 + 128 + 256)
    assert FPNDConfig.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
    net = random_net()
    net.get_buffer("means")[0] = torch.arange(7)
    jetlab.save_pretrained(net, tmp_path / "net")
    back = jetlab.from_pretrained(tmp_path / "net")
    np.testing.assert_array_equal(back.describe(some_jets()), net.describe(some_jets()))
    mean, covariance = back.reference("g")
    np.testing.assert_array_equal(mean, np.arange(7))
    assert covariance.shape == (7, 7)
    assert back.reference("t") is None


# ---- the published file ---------------------------------------------------------------------------------------------


@needs_parity
def test_the_published_network_gives_the_published_distances() -> None:
    table = verify(FOLDER)
    assert set(table["status"]) == {"pass", "input", "not compared"}
    assert (table["status"] == "pass").sum() == 12
    assert set(table.index[table["status"] == "not compared"]) == {"n_t", "n_g", "n_q"}


@needs_parity
def test_statistics_beside_the_weights_come_along(tmp_path: Path) -> None:
    golden = Golden.read(FOLDER)
    (tmp_path / "pnet_state_dict.pt").write_bytes(golden.checkpoint.read_bytes())
    np.savetxt(tmp_path / "g_mu.txt", golden["real_mu_g"])
    np.savetxt(tmp_path / "g_sigma.txt", golden["real_sigma_g"])
    np.savetxt(tmp_path / "t_mu.txt", golden["real_mu_t"])  # without its covariance
    net = jetlab.from_pretrained(tmp_path / "pnet_state_dict.pt")
    assert net.config.references == ("g",)
    np.testing.assert_array_equal(net.reference("g")[0], golden["real_mu_g"])
    np.testing.assert_array_equal(net.reference("g")[1], golden["real_sigma_g"])


@pytest.mark.parametrize("zipped", [True, False])
def test_biases_before_batch_norms_keep_their_effect(tmp_path: Path, zipped: bool) -> None:
    state = published_state()
    torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    net = jetlab.from_pretrained(tmp_path / "net.pt")
    plain = random_net(FPNDConfig()).blocks[0].layers[0]
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    expected = plain.norm(plain.linear(x) + 0.25)
    torch.testing.assert_close(net.blocks[0].layers[0](x), expected, rtol=1e-5, atol=1e-6)


def test_copies_that_differ_and_tensors_that_lack_are_named(tmp_path: Path) -> None:
    state = published_state()
    state["edge_convs.1.nn.model.3.weight"] = state["edge_convs.1.nn.model.3.weight"] + 1
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"edge_convs.1.nn.model.3.weight \(differs from edge_nets.1.model.3"):
        import_checkpoint(tmp_path / "net.pt")
    state = published_state()
    del state["fc2.bias"], state["edge_nets.0.model.0.bias"]
    torch.save(state | {"fc3.bias": torch.zeros(3)}, tmp_path / "net.pt")
    with pytest.raises(
        CheckpointError, match=r"fc2.bias \(missing\).*edge_nets.0.model.0.bias \(missing\).*fc3.bias \(unexp"
    ):
        import_checkpoint(tmp_path / "net.pt")


def test_damaged_statistics_are_refused(tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "net.pt")
    np.savetxt(tmp_path / "q_mu.txt", np.zeros(255))
    np.savetxt(tmp_path / "q_sigma.txt", np.eye(256))
    with pytest.raises(CheckpointError, match=r"q_mu.txt holds numbers of shape \(255,\), expected \(256,\)"):
        import_checkpoint(tmp_path / "net.pt")
    (tmp_path / "q_mu.txt").write_text("zero\n")
    with pytest.raises(CheckpointError, match="cannot be read as numbers"):
        import_checkpoint(tmp_path / "net.pt")


# ---- the format before PyTorch 1.6 ----------------------------------------------------------------------------------


def old_file(path: Path, content: Any) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def test_old_files_hold_what_new_ones_hold(tmp_path: Path) -> None:
    shared = torch.arange(12.0)
    state = {"a": shared.view(3, 4).t(), "b": shared[4:6], "c": torch.tensor([1, -2]), "d": torch.zeros(0), "e": shared}
    beside = {"optimizer": {"moments": torch.ones(3, dtype=torch.float64)}, "epoch": 3}
    read = read_checkpoint(old_file(tmp_path / "old.pt", {"state_dict": state} | beside))
    assert list(read.state) == list(state)
    for name, values in state.items():
        assert read.state[name].dtype == values.dtype
        torch.testing.assert_close(read.state[name], values, rtol=0, atol=0)
    assert read.beside["epoch"] == 3


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("bombed", "w")


def test_old_files_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="could run a program"):
        read_checkpoint(old_file(tmp_path / "old.pt", {"a": torch.zeros(2), "b": Bomb()}))
    assert not (tmp_path / "bombed").exists()


@pytest.mark.parametrize(
    ("found", "damaged", "says"),
    [
        (b"M\xe9\x03", b"M\xea\x03", "of version 1002 of the format"),
        (b"FloatStorage", b"FloatStoragf", r"kind torch\.FloatStoragf, which is not known"),
        (b"little_endian", b"Little_endian", "little-endian. Load it with PyTorch and save it again"),
    ],
)
def test_old_files_of_another_kind_are_refused(tmp_path: Path, found: bytes, damaged: bytes, says: str) -> None:
    path = old_file(tmp_path / "old.pt", {"a": torch.arange(100.0)})
    path.write_bytes(path.read_bytes().replace(found, damaged, 1))
    with pytest.raises(CheckpointError, match=says):
        read_checkpoint(path)


def test_old_files_that_are_cut_are_refused(tmp_path: Path) -> None:
    path = old_file(tmp_path / "old.pt", {"a": torch.arange(100.0)})
    whole = path.read_bytes()
    for cut in range(15, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"expected 100 numbers in 400 bytes\. Is it cut short"):
        read_checkpoint(path)
