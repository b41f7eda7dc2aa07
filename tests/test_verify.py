"""Golden folders: official checkpoints give what the original gave, and damage is noticed and named."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jetlab.cli import main
from jetlab.errors import CheckpointError
from jetlab.zoo.verify import VERIFIERS, verify
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance, compared

PARITY = next((p / "shared" / "parity" for p in Path(__file__).parents if (p / "shared").is_dir()), None)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the golden folders are not here")

OMNIJET = (
    "vqvae_normformer",
    "vqvae_transformer",
    "vqvae_mlp",
    "generative",
    "classifier_summation",
    "classifier_class_attention",
)
READABLE = [
    *(f"omnijet/{name}" for name in OMNIJET),
    *(f"particlenet/{name}" for name in ("full", "kinpid", "kin")),
    *(f"part_v1/{name}" for name in ("tiny_full", "tiny_kin_fc")),
    *(f"mpgan/{name}" for name in ("mp_t", "mp_g", "mp_q")),
]


def golden(**arrays: Any) -> Golden:
    return Golden(Path("folder"), {}, {name: np.asarray(values) for name, values in arrays.items()})


def rows(stored: Golden, **results: Any) -> dict[str, dict[str, object]]:
    return {str(row["array"]): row for row in compared(stored, results, default=Tolerance(relative=1e-5))}


# ---- the comparison -------------------------------------------------------------------------------------------------


def test_differences_are_measured_against_the_largest_stored_number() -> None:
    stored = golden(a=np.array([1.0, -200.0], "f4"))
    found = rows(stored, a=Computed([1.001, -200.0]))["a"]
    assert found["status"] == "pass"
    assert found["difference"] == pytest.approx(1e-3, rel=1e-3)
    assert found["relative"] == pytest.approx(5e-6, rel=1e-3)
    assert found["tolerance"] == pytest.approx(2e-3)
    assert rows(stored, a=Computed([1.003, -200.0]))["a"]["status"] == "fail"


def test_whole_numbers_must_be_equal() -> None:
    stored = golden(a=np.arange(1000))
    assert rows(stored, a=Computed(np.arange(1000)))["a"]["status"] == "pass"
    assert rows(stored, a=Computed(np.arange(1000) + (np.arange(1000) == 7)))["a"]["status"] == "fail"


@pytest.mark.parametrize(
    ("ours", "theirs", "status"),
    [
        ([np.nan, 1], [0.0, 1], "fail"),
        ([0.0, 1], [np.nan, 1], "fail"),
        ([np.nan, 1], [np.nan, 1], "pass"),
        ([np.inf, 1], [np.inf, 1], "pass"),
        ([np.inf, 1], [-np.inf, 1], "fail"),
        ([np.inf, 1], [3.0, 1], "fail"),
    ],
)
def test_numbers_that_are_none_must_be_none_in_both(ours: list[float], theirs: list[float], status: str) -> None:
    assert rows(golden(a=np.array(theirs)), a=Computed(ours))["a"]["status"] == status


def test_only_the_entries_that_are_asked_for_count() -> None:
    stored = golden(a=np.array([1.0, 2.0]))
    assert rows(stored, a=Computed([1.0, 9.0], np.array([True, False])))["a"]["status"] == "pass"
    nothing = rows(stored, a=Computed([1.0, 9.0], np.array([False, False])))["a"]
    assert (nothing["status"], nothing["compared"]) == ("not compared", 0)


def test_other_shapes_fail_and_unknown_arrays_are_named() -> None:
    found = rows(golden(a=np.zeros((2, 3)), b=np.zeros(1), c=np.zeros(1)), a=Computed(np.zeros(6)), b=Skipped("why"))
    assert (found["a"]["status"], found["a"]["note"]) == ("fail", "ours has shape 6")
    assert (found["b"]["status"], found["b"]["note"]) == ("not compared", "why")
    assert found["c"]["note"] == "jetlab does not know this array"


def test_a_stated_tolerance_counts() -> None:
    stored = Golden(Path("folder"), {"tolerance": {"a": 0.5}}, {"a": np.array([1.0])})
    assert rows(stored, a=Computed([1.4]))["a"]["status"] == "pass"
    assert rows(stored, a=Computed([1.6]))["a"]["status"] == "fail"


# ---- the golden folders ---------------------------------------------------------------------------------------------


@needs_parity
@pytest.mark.parametrize("name", READABLE)
def test_published_checkpoints_give_the_original_outputs(name: str) -> None:
    found = verify(PARITY / name)
    wrong = found[found["status"] == "fail"]
    assert wrong.empty, wrong.to_string()
    assert (found["status"] == "pass").sum() >= 4
    left = set(found.index[found["status"] == "not compared"])
    allowed = {"label", "vectors", "edge_vectors"}
    assert {array for array in left if "raw_" not in array} <= allowed
    if name.startswith("omnijet"):
        assert not left
    differences = ("margin", "pair_bias")  # come of differences of nearly equal numbers
    exact = [array for array in found.index if not any(word in array for word in differences)]
    assert found.loc[exact, "relative"].max() < 5e-6


@needs_parity
def test_systems_that_cannot_be_read_yet_are_named() -> None:
    known = {verifier.SYSTEM for verifier in VERIFIERS}
    others = {}
    for path in sorted(PARITY.glob("*/*/meta.json")):
        system = json.loads(path.read_text()).get("system")
        if system not in known:
            others[system] = path.parent
    for system, folder in others.items():
        with pytest.raises(CheckpointError, match="which this version of jetlab cannot read yet") as e:
            verify(folder)
        assert repr(system) in str(e.value)


# ---- damaged folders ------------------------------------------------------------------------------------------------

Copied = Callable[[str], Path]


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    """A writable copy of a golden folder."""

    def copy(name: str) -> Path:
        for file in (PARITY / name).iterdir():
            shutil.copyfile(file, tmp_path / file.name)
        return tmp_path

    return copy


def edit_tensor(path: Path, name: str, edit: Callable[[torch.Tensor], object]) -> None:
    """Change a tensor within a file of a training, which is otherwise kept byte by byte."""
    from jetlab.zoo.importers.inert import read_instructions

    with zipfile.ZipFile(path) as archive:
        entries = {e.filename: archive.read(e) for e in archive.infolist()}
    root = next(entry for entry in entries if entry.endswith("data.pkl")).removesuffix("/data.pkl")
    stored = read_instructions(entries[f"{root}/data.pkl"])["state_dict"][name]
    key = f"{root}/data/{stored.storage.key}"
    values = torch.frombuffer(bytearray(entries[key]), dtype=torch.float32)
    edit(values.as_strided(stored.shape, stored.stride, stored.offset))
    entries[key] = values.numpy().tobytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)


def flip(values: torch.Tensor) -> None:
    """One bit of one number: its sign."""
    values.view(-1)[values.numel() // 2].neg_()


@needs_parity
@pytest.mark.parametrize(
    ("name", "tensor", "arrays"),
    [
        ("vqvae_normformer", "model.output_projection.weight", {"x_reco", "loss"}),
        ("vqvae_normformer", "model.vqlayer.affine_transform.scale", {"codebook"}),
        ("vqvae_transformer", "model.encoder.blocks.1.attn.in_proj_weight", {"z_e"}),
        ("vqvae_mlp", "model.decoder.2.weight", {"x_reco"}),
        ("generative", "head.fc1.weight", {"logits", "loss"}),
        ("generative", "module.GPT_blocks.0.mha_block.query.weight", {"block0", "hidden", "logits"}),
        ("classifier_summation", "head.classification_head_linear_embed.bias", {"embedding_sum"}),
        ("classifier_class_attention", "head.class_attention_blocks.2.attn.out_proj.bias", {"class_tokens", "logits"}),
    ],
)
def test_one_wrong_bit_is_found_and_the_array_named(
    name: str, tensor: str, arrays: set[str], copied: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(f"omnijet/{name}")
    [file] = folder.glob("*.ckpt")
    edit_tensor(file, tensor, flip)
    found = verify(folder)
    wrong = set(found.index[found["status"] == "fail"])
    assert arrays <= wrong
    with pytest.raises(SystemExit) as ended:
        main(["models", "verify", str(folder)])
    assert ended.value.code == 1
    assert f"these arrays are not reproduced: {min(wrong, key=list(found.index).index)}" in capsys.readouterr().err


@needs_parity
def test_unused_weights_change_nothing(copied: Copied) -> None:
    folder = copied("omnijet/classifier_class_attention")
    for tensor in ("head.input_projection.weight", "head.class_attention_blocks.1.mlp.1.weight"):
        edit_tensor(folder / "classifier.ckpt", tensor, lambda values: values.fill_(7))
    assert set(verify(folder)["status"]) == {"pass", "input"}


@needs_parity
def test_the_config_of_another_tokenizer_is_noticed(copied: Copied) -> None:
    """By what the file has noted of its training, or, for weights alone, by the inputs that come out."""
    folder = copied("omnijet/vqvae_normformer")
    text = (folder / "config.yaml").read_text().replace("subtract_by: 1.8", "subtract_by: 2.7")
    (folder / "config.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"part_pt.subtract_by \(2.7, in the checkpoint 1.8\)"):
        verify(folder)
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"checkpoint": "model_ckpt.safetensors"}))
    found = verify(folder)
    assert found.loc["x", "status"] == "fail"
    assert found.loc["z_e", "status"] == "pass"  # from the stored inputs: the network itself is right


@needs_parity
@pytest.mark.parametrize("name", OMNIJET)
def test_weights_without_their_training_verify_too(name: str, copied: Copied) -> None:
    folder = copied(f"omnijet/{name}")
    meta = json.loads((folder / "meta.json").read_text())
    [file] = folder.glob("*.safetensors")
    (folder / "meta.json").write_text(json.dumps(meta | {"checkpoint": file.name}))
    assert set(verify(folder)["status"]) == {"pass", "input"}


@needs_parity
def test_checkpoints_that_do_not_load_end_with_status_1(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied("omnijet/generative")
    good = PARITY / "omnijet" / "classifier_summation"
    (folder / "generative.ckpt").write_bytes((folder / "generative.ckpt").read_bytes()[:-100])
    with pytest.raises(SystemExit) as ended:
        main(["models", "verify", str(folder), str(good)])
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert "Is it cut short?" in " ".join(told.err.split())
    assert "embedding_sum" in told.out  # the other folder is verified all the same
    assert f"1 of 2 folders do not pass: {folder}" in told.err


@needs_parity
def test_the_command_shows_every_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    folder = PARITY / "omnijet" / "generative"
    with pytest.raises(SystemExit) as ended:
        main(["models", "verify", str(folder)])
    assert not ended.value.code
    told = capsys.readouterr().out
    assert all(name in told for name in np.load(folder / "io.npz").files)
    assert "The folder passes" in told


@needs_parity
def test_a_folder_with_nothing_to_compare_does_not_pass(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied("omnijet/classifier_summation")
    stored = np.load(folder / "io.npz")
    np.savez(folder / "io.npz", **{name: stored[name] for name in ("ids", "mask", "labels")})
    with pytest.raises(SystemExit) as ended:
        main(["models", "verify", str(folder)])
    assert ended.value.code == 1
    assert "there is nothing to compare" in capsys.readouterr().err


def test_incomplete_folders_say_what_lacks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks meta\.json and io\.npz; expected a folder with a checkpoint"):
        verify(tmp_path)
    (tmp_path / "meta.json").write_text("{}")
    (tmp_path / "io.npz").write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match=r"damaged meta\.json or io\.npz"):
        verify(tmp_path)
    np.savez(tmp_path / "io.npz", a=np.array([1, None], dtype=object))
    with pytest.raises(CheckpointError, match=r"damaged meta\.json or io\.npz"):
        verify(tmp_path)
    np.savez(tmp_path / "io.npz", a=np.ones(3))
    with pytest.raises(CheckpointError, match="holds a checkpoint of 'no named system'"):
        verify(tmp_path)
    for named in ("absent.ckpt", "../x.ckpt", "io.npz"):
        (tmp_path / "meta.json").write_text(json.dumps({"system": "omnijet_alpha", "checkpoint": named}))
        with pytest.raises(CheckpointError, match="names 0 checkpoints that are there, expected 1"):
            verify(tmp_path)


@needs_parity
def test_arrays_that_are_needed_are_named(copied: Copied) -> None:
    folder = copied("omnijet/generative")
    buffer, stored = io.BytesIO(), np.load(folder / "io.npz")
    np.savez(buffer, **{name: stored[name] for name in stored.files if name != "ids"})
    (folder / "io.npz").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="has no array 'ids', which is needed to compare"):
        verify(folder)


@needs_parity
def test_a_checkpoint_of_another_kind_than_its_folder_is_refused(copied: Copied) -> None:
    folder = copied("omnijet/generative")
    shutil.copyfile(PARITY / "omnijet" / "classifier_summation" / "classifier.ckpt", folder / "generative.ckpt")
    (folder / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match="has no array 'labels'"):
        verify(folder)
    shutil.copyfile(PARITY / "particlenet" / "kin" / "ParticleNet_kin.pt", folder / "generative.ckpt")
    with pytest.raises(CheckpointError, match="holds a ParticleNet tagger, expected"):
        verify(folder)
