"""Model folders: what is saved comes back bit by bit, and nothing that is damaged or does not fit gets through."""

from __future__ import annotations

import errno
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from jetlab import zoo
from jetlab.errors import CheckpointError
from jetlab.zoo import registry
from jetlab.zoo.catalog import describe
from jetlab.zoo.folder import joined


class Toy(nn.Module):
    """Two linear maps that share a matrix, a buffer of integers and one that is not saved."""

    def __init__(self, width: int, depth: int = 1) -> None:
        super().__init__()
        self.embed = nn.Embedding(width, 4)
        self.head = nn.Linear(4, width, bias=False)
        self.head.weight = self.embed.weight
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(depth))
        self.register_buffer("counts", torch.zeros(width, dtype=torch.int64))
        self.register_buffer("scale", torch.tensor(1e6), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = self.embed(ids)
        for layer in self.layers:
            h = layer(h)
        return self.head(h) / self.scale + self.counts

    @staticmethod
    def from_config(config: dict) -> Toy:
        return Toy(**config)

    def config_dict(self) -> dict:
        return {"width": self.embed.num_embeddings, "depth": len(self.layers)}


PROVENANCE = {"description": "A toy", "task": "generation", "classes": ["QCD", "Hbb"], "seed": 3}


@pytest.fixture(autouse=True)
def _toy_is_registered(monkeypatch, tmp_path):
    monkeypatch.setitem(registry.ARCHITECTURES, "toy", lambda: Toy)


@pytest.fixture
def model() -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        toy = Toy(6, 2)
    toy.counts += 7
    return toy


@pytest.fixture
def folder(model, tmp_path) -> Path:
    return zoo.save_pretrained(model, tmp_path / "toy", provenance=PROVENANCE)


def change_config(folder: Path, **entries) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def change_weights(folder: Path, *, drop: tuple[str, ...] = (), **tensors: torch.Tensor) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path) | tensors
    save_file({name: values for name, values in weights.items() if name not in drop}, path)


# ---- there and back -------------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_bit_by_bit(model, folder):
    random = torch.get_rng_state()
    back = zoo.from_pretrained(folder)
    assert torch.equal(torch.get_rng_state(), random)
    assert not back.training
    assert back.head.weight is back.embed.weight
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), back.state_dict().values(), strict=True))
    assert torch.equal(model(torch.arange(6)), back(torch.arange(6)))


def test_a_folder_holds_three_files_and_each_shared_tensor_once(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert "head.weight" not in load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    assert config == {
        "format": 1,
        "architecture": "toy",
        "config": {"width": 6, "depth": 2},
        "provenance": PROVENANCE,
    }


def test_half_precision_rounds_parameters_only(model, tmp_path):
    model.register_buffer("exact", torch.tensor(1 / 3))
    kept = model.state_dict()
    del model.exact
    folder = zoo.save_pretrained(model, tmp_path / "half", precision="fp16")
    stored, back = load_file(folder / "model.safetensors"), zoo.from_pretrained(folder)
    assert stored["embed.weight"].dtype == torch.float16
    assert stored["counts"].dtype == torch.int64
    assert back.embed.weight.dtype == torch.float32
    torch.testing.assert_close(back.embed.weight, kept["embed.weight"], rtol=5e-4, atol=1e-6)
    with torch.no_grad():
        model.embed.weight[0, 0] = 1e6
    with pytest.raises(CheckpointError, match=r"embed.weight \(NaN or infinite\)"):
        zoo.save_pretrained(model, tmp_path / "half", precision="fp16")
    with pytest.raises(CheckpointError, match="expected 'fp32', 'fp16' or 'int8'"):
        zoo.save_pretrained(model, tmp_path / "half", precision="int4")


def test_matrices_in_one_byte_a_number_are_within_half_a_step_of_their_row(model, tmp_path):
    with torch.no_grad():
        model.embed.weight[1] = 0
        model.embed.weight[2] *= 1e-6
    folder = zoo.save_pretrained(model, tmp_path / "bytes", precision="int8")
    stored, back = load_file(folder / "model.safetensors"), zoo.from_pretrained(folder)
    assert stored["embed.weight"].dtype == torch.int8
    assert describe(folder)["parameters"] == sum(x.numel() for n, x in stored.items() if not n.endswith(".row_scale"))
    step = model.embed.weight.abs().amax(1, keepdim=True) / 127
    assert ((back.embed.weight - model.embed.weight).abs() <= 0.501 * step + 1e-30).all()
    assert (back.embed.weight[1] == 0).all()
    save_file({n: x for n, x in stored.items() if n != "embed.weight.row_scale"}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"int8, expected torch.float32"):
        zoo.from_pretrained(folder)
    save_file(stored | {"embed.weight.row_scale": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="expected one for each row"):
        zoo.from_pretrained(folder)


def test_the_card_is_the_one_given_or_tells_the_provenance(model, folder, tmp_path):
    card = zoo.model_card(folder)
    assert card.startswith("# toy\n\nA toy\n")
    assert "| seed | 3 |" in card
    zoo.save_pretrained(model, tmp_path / "toy", card="# Mine\n")
    assert zoo.model_card(folder) == "# Mine\n"
    (folder / "README.md").unlink()
    assert zoo.model_card(folder) == ""


def test_saving_again_replaces_the_model_and_keeps_other_files(model, folder):
    (folder / "figures").mkdir()
    (folder / "figures" / "mass.png").write_bytes(b"figure")
    with torch.no_grad():
        model.layers[0].weight.zero_()
    zoo.save_pretrained(model, folder)
    assert not zoo.from_pretrained(folder).layers[0].weight.any()
    assert (folder / "figures" / "mass.png").read_bytes() == b"figure"
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_a_failed_save_leaves_the_old_model(model, folder, monkeypatch):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CheckpointError, match=r"cannot be written.*No space left.*untouched"):
        zoo.save_pretrained(model, folder, card="new")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["toy"]


def test_a_failed_rename_puts_the_old_model_back(model, folder, monkeypatch):
    rename = Path.rename

    def refuse_new(path, target):
        if path.name.endswith(".new"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(CheckpointError, match="cannot be written"):
        zoo.save_pretrained(model, folder, card="new")
    assert zoo.model_card(folder).startswith("# toy")
    zoo.from_pretrained(folder)


def test_foreign_folders_and_files_are_not_overwritten(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("ten years")
    for path in (tmp_path / "thesis", tmp_path / "thesis" / "chapter.tex"):
        with pytest.raises(CheckpointError, match="not a model folder; it is not overwritten"):
            zoo.save_pretrained(model, path)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "ten years"
    (tmp_path / "empty").mkdir()
    zoo.save_pretrained(model, tmp_path / "empty")
    zoo.save_pretrained(model, tmp_path / "new" / "deep")


def test_models_that_cannot_come_back_are_not_saved(model, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot save a Linear.*omnijet, .*tagger, .*toy"):
        zoo.save_pretrained(nn.Linear(2, 2), tmp_path / "x")
    with pytest.raises(CheckpointError, match="cannot be written as JSON"):
        zoo.save_pretrained(model, tmp_path / "x", provenance={"data": {1, 2}})
    with pytest.raises(CheckpointError, match="cannot be written as JSON"):
        zoo.save_pretrained(model, tmp_path / "x", provenance={"loss": float("nan")})
    with torch.no_grad():
        model.layers[1].bias[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"layers.1.bias \(NaN or infinite\)"):
        zoo.save_pretrained(model, tmp_path / "x")
    model.layers.append(nn.Linear(4, 5))
    model.layers[1] = nn.Linear(4, 4)
    with pytest.raises(CheckpointError, match=r"layers.2.weight \(shape \(5, 4\), expected \(4, 4\)\)"):
        zoo.save_pretrained(model, tmp_path / "x")
    assert not list(tmp_path.iterdir())


# ---- what does not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ("layers.0.bias",)}, r"does not fit its config.json: layers.0.bias \(missing\)"),
        ({"extra": torch.zeros(2)}, r"extra \(unexpected\)"),
        ({"head.weight": torch.zeros(6, 4)}, r"head.weight \(unexpected\)"),
        ({"counts": torch.zeros(5, dtype=torch.int64)}, r"counts \(shape \(5,\), expected \(6,\)\)"),
        ({"counts": torch.zeros(6)}, r"wrong kind: counts \(torch.float32, expected torch.int64\)"),
        ({"layers.0.bias": torch.zeros(4, dtype=torch.int32)}, r"layers.0.bias \(torch.int32"),
        ({"layers.0.bias": torch.tensor([0, 1, torch.inf, 0])}, r"layers.0.bias \(NaN or infinite\)"),
        ({"layers.1.weight": torch.full((4, 4), torch.nan)}, r"layers.1.weight \(NaN or infinite\)"),
    ],
)
def test_weights_that_do_not_fit_are_listed(folder, change, message):
    change_weights(folder, **change)
    with pytest.raises(CheckpointError, match=message):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 2}, "has format 2, this version of jetlab reads 1"),
        ({"format": True}, "has format True"),
        ({"format": "1"}, "has format '1'"),
        ({"architecture": "gpt5"}, "unknown architecture 'gpt5'; .*omnijet, .*tagger, .*toy"),
        ({"architecture": "os.system"}, "unknown architecture"),
        ({"architecture": ["toy"]}, "architecture in config.json is .*expected a str"),
        ({"config": [6, 2]}, "expected a dict"),
        ({"config": {"width": 7, "depth": 2}}, r"embed.weight \(shape \(6, 4\), expected \(7, 4\)\)"),
        ({"config": {"width": 10**12, "depth": 1}}, "does not fit"),
        ({"config": {"width": 6, "deep": 2}}, "does not describe .*toy.*'deep'"),
        ({"config": {"width": "six"}}, "does not describe"),
        ({"config": {"width": -6}}, "does not describe"),
        ({"provenance": None}, "provenance in config.json is None"),
        ({"weights": "elsewhere"}, "unexpected weights"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(folder, entries, message):
    change_config(folder, **entries)
    with pytest.raises(CheckpointError, match=message):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1, 2]", "holds a list"),
        (b'{"format": 1}', "missing architecture, missing config, missing provenance"),
        (b'{"format": NaN}', "NaN is not a JSON number"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b" " * 2_000_000, "expected at most 1000000"),
    ],
)
def test_broken_configurations_are_refused(folder, content, message):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        zoo.from_pretrained(folder)


class Payload:
    def __reduce__(self):
        return pytest.fail, ("a weights file was executed",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        pickle.dumps(Payload()),
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"{}" + b"tail",
        struct.pack("<Q", 5) + b"{not}",
        struct.pack("<Q", 68) + b'{"embed.weight":{"dtype":"F32","shape":[6,4],"data_offsets":[0,960]}}'[:68],
    ],
)
def test_other_files_named_safetensors_are_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    for read in (zoo.from_pretrained, zoo.describe):
        with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read as safetensors"):
            read(folder)


def test_a_torch_checkpoint_named_safetensors_is_refused(folder):
    torch.save(Payload(), folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        zoo.from_pretrained(folder)


def test_weights_cut_short_anywhere_are_refused(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for length in np.random.default_rng(0).integers(0, len(content), 40):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            zoo.from_pretrained(folder)


def test_changed_bytes_give_a_model_or_an_error_of_ours(folder):
    rng = np.random.default_rng(0)
    outcomes = {"model": 0, "error": 0}
    for name in ("model.safetensors", "config.json"):
        content = (folder / name).read_bytes()
        for place in rng.integers(0, min(len(content), 700), 80):
            changed = bytearray(content)
            changed[place] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(changed)
            try:
                zoo.from_pretrained(folder)
            except CheckpointError:
                outcomes["error"] += 1
            else:
                outcomes["model"] += 1
        (folder / name).write_bytes(content)
    assert outcomes["error"] > 60
    assert outcomes["model"] > 5  # a changed number or provenance is a model all the same


def test_many_faults_are_shortened():
    text = joined({f"w{i}": "missing" for i in range(25)})
    assert text.startswith("w0 (missing), ")
    assert text.endswith("w9 (missing) and 15 more")


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundled(model, tmp_path, monkeypatch):
    weights = tmp_path / "weights"
    zoo.save_pretrained(model, weights / "toy-tiny", provenance=PROVENANCE)
    (weights / "notes").mkdir()
    monkeypatch.setattr(registry, "BUNDLED", weights)
    monkeypatch.chdir(tmp_path)
    return weights


def test_bundled_models_load_by_name(bundled, model):
    back = zoo.from_pretrained("toy-tiny")
    assert torch.equal(back.embed.weight, model.embed.weight)


@pytest.mark.parametrize("name", ["toy-huge", "notes", "", "../weights/other", "toy-tiny/..x", "\0", "a" * 5000])
def test_unknown_names_are_refused_with_the_known_ones(bundled, name):
    with pytest.raises(CheckpointError, match=r"Bundled models: toy-tiny|not a model folder"):
        zoo.from_pretrained(name)


@pytest.mark.parametrize("name", [".", "..", "weights/..", "weights/notes", "weights/notes/../"])
def test_folders_without_a_model_are_refused(bundled, name):
    with pytest.raises(CheckpointError, match=r"is not a model folder: config\.json cannot be read"):
        zoo.from_pretrained(name)


def test_a_file_is_not_a_folder(bundled):
    with pytest.raises(CheckpointError, match="a file, not a folder"):
        zoo.from_pretrained(bundled / "toy-tiny" / "model.safetensors")


def test_a_device_that_is_not_there_is_refused(bundled):
    with pytest.raises(CheckpointError, match="cannot be moved to device 'abacus'"):
        zoo.from_pretrained("toy-tiny", device="abacus")


# ---- lists ----------------------------------------------------------------------------------------------------------


def test_models_are_listed_without_their_weights(bundled):
    frame = zoo.list_models()
    size = (bundled / "toy-tiny" / "model.safetensors").stat().st_size
    expected = pd.DataFrame(
        {
            "architecture": "toy",
            "parameters": 6 * 4 + 2 * 20 + 6,
            "size_mb": round(size / 1e6, 2),
            "task": "generation",
            "classes": "QCD, Hbb",
            "description": "A toy",
        },
        index=pd.Index(["toy-tiny"], name="name"),
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_an_empty_shelf_is_an_empty_list(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "BUNDLED", tmp_path / "none")
    assert zoo.list_models().empty
    assert "size_mb" in zoo.list_models()


def test_describe_tells_all(bundled):
    facts = zoo.describe("toy-tiny")
    assert facts["name"] == "toy-tiny"
    assert facts["config"] == {"width": 6, "depth": 2}
    assert facts["provenance"] == PROVENANCE
    assert facts["classes"] == ["QCD", "Hbb"]
    change_config(bundled / "toy-tiny", provenance={"classes": 3, "task": None})
    assert zoo.describe("toy-tiny")["classes"] == []


def test_bundled_models_are_whole():
    """Every model that is shipped loads, and names its description."""
    for name, facts in zoo.list_models().iterrows():
        assert facts["description"], name
        assert sum(p.numel() for p in zoo.from_pretrained(name).parameters()) <= facts["parameters"]


def test_listing_needs_no_torch():
    code = "import sys, jetlab; jetlab.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
