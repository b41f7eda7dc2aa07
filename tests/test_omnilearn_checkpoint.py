"""The weights of OmniLearn as Keras writes them: both layouts, the outputs of the original, and what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import jetlab
from jetlab.batches import ParticleBatch
from jetlab.cli import main
from jetlab.errors import CheckpointError
from jetlab.models.omnilearn import OmniLearn
from jetlab.vocabulary import CLASSES
from jetlab.zoo.importers.hdf5 import is_hdf5, read_hdf5
from jetlab.zoo.verify import verify

PARITY = next(
    (p / "shared" / "parity" / "omnilearn_pet_tf" / "tiny" for p in Path(__file__).parents if (p / "shared").is_dir()),
    None,
)
pytestmark = pytest.mark.skipif(PARITY is None, reason="the golden folder of OmniLearn is not here")

FILES = ("PET.tf2.14.weights.h5", "PET.tf2.15.weights.h5")
FIRST = {FILES[0]: "body/_layer_checkpoint_dependencies", FILES[1]: "layers/functional/layers"}


@pytest.fixture(scope="module")
def model() -> OmniLearn:
    return jetlab.from_pretrained(PARITY / FILES[0])


Edited = Callable[[Callable[[h5py.File], object]], Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    """A copy of a file, changed, under a name that says nothing."""

    def edit(change: Callable[[h5py.File], object]) -> Path:
        path = tmp_path / "weights"
        shutil.copyfile(PARITY / FILES[0], path)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return edit


# ---- what is right --------------------------------------------------------------------------------------------------


def test_the_golden_folder_gives_the_original_outputs() -> None:
    found = verify(PARITY)
    wrong = found[found["status"] == "fail"]
    assert wrong.empty, wrong.to_string()
    left = set(found.index[found["status"] == "not compared"])
    assert all(name.startswith("raw_") or name == "upstream_particles" for name in left)
    heads = [name for name in found.index if name.endswith(("logits", "regression"))]
    assert len(heads) == 4
    assert found.loc[heads, "relative"].max() < 2e-5
    assert found.loc[["features", "jet", "mask", "perturbed3", "mid_after_local"], "relative"].max() < 1e-6


def test_jets_that_are_not_mostly_padding_agree_closer(model: OmniLearn) -> None:
    stored = np.load(PARITY / "io.npz")
    tensors = {name: torch.from_numpy(stored[name]) for name in ("perturbed3", "mask", "jet", "time", "label")}
    batch = ParticleBatch(tensors["perturbed3"], tensors["mask"] > 0, cond=tensors["jet"])
    with torch.no_grad():
        out = model.generating.denoise(batch, tensors["time"][:, 0], tensors["label"].argmax(1))
    theirs = stored["velocity_ema"][:40, :, :3]
    np.testing.assert_allclose(out.velocity[:40], theirs, rtol=0, atol=5e-5 * np.abs(theirs).max())


def test_both_layouts_hold_the_same_weights(model: OmniLearn) -> None:
    other = jetlab.from_pretrained(PARITY / FILES[1]).state_dict()
    assert all(torch.equal(values, other[name]) for name, values in model.state_dict().items())


def test_sizes_are_read_off_and_the_rest_is_as_published(model: OmniLearn) -> None:
    meta = json.loads((PARITY / "meta.json").read_text())
    body, told = model.config.body, meta["config"]
    assert (body.width, body.depth, body.heads) == (told["projection_dim"], told["num_layers"], told["num_heads"])
    assert (body.neighbours, body.local, body.slots) == (told["K"], told["num_local"], meta["preprocessing"]["slots"])
    assert body.normalise_padding
    assert model.classes == CLASSES
    for name, part in (
        ("body", model.body),
        ("classifier_head", model.classifier),
        ("generator_head", model.generator),
    ):
        # theirs counts a class token that stays zero and is in no file
        assert sum(p.numel() for p in part.parameters()) == meta["parameters"][name], name
    assert model.recipe.max_particles == 150


def test_every_weight_comes_from_the_place_that_is_noted(model: OmniLearn) -> None:
    """The notes name the weights by their parts in the original; whatever the name, the numbers must be ours."""
    roles = json.loads((PARITY / "meta.json").read_text())["checkpoint"]["tf214"]["h5_to_role"]
    held = read_hdf5(PARITY / FILES[0])
    ours = {
        "body.embed.0.kernel": "body.embed.0.weight",
        "body.local.1.1.kernel": "body.local.1.last.weight",
        "body.time.film.kernel": "body.film.weight",
        "generator_head.label.kernel": "generator.label.weight",
        "ema_generator_head.cond.1.bias": "averaged.generator.asked.2.bias",
        "classifier_head.blocks.1.norm_attn.gamma": "classifier.blocks.1.normed.weight",
        "classifier_head.blocks.0.attn.query.kernel": "classifier.blocks.0.attention.query.weight",
    }
    state = model.state_dict()
    for path, role in roles.items():
        if role in ours:
            theirs = held[path].reshape(len(held[path]), -1).squeeze(1)
            turned = theirs.T if theirs.ndim == 2 and "label" not in role else theirs
            assert torch.equal(state[ours.pop(role)], turned), role
    assert not ours


def test_settings_say_what_the_file_does_not(model: OmniLearn) -> None:
    names = [f"kind {i}" for i in range(10)]
    found = jetlab.from_pretrained(PARITY / FILES[0], settings={"neighbours": 4, "slots": 30, "classes": names})
    assert (found.config.body.neighbours, found.config.body.slots, found.classes) == (4, 30, tuple(names))
    with pytest.raises(CheckpointError, match="has 10 classes, the settings name"):
        jetlab.from_pretrained(PARITY / FILES[0], settings={"classes": ["top"]})
    with pytest.raises(CheckpointError, match="has no setting heads"):
        jetlab.from_pretrained(PARITY / FILES[0], settings={"heads": 4})


def test_it_is_saved_as_one_of_ours(model: OmniLearn, tmp_path: Path) -> None:
    back = jetlab.from_pretrained(jetlab.save_pretrained(model, tmp_path / "mine"))
    assert back.config == model.config
    assert all(torch.equal(values, back.state_dict()[name]) for name, values in model.state_dict().items())


# ---- what is wrong --------------------------------------------------------------------------------------------------


def test_the_content_counts_and_not_the_name(edited: Edited) -> None:
    path = edited(lambda _: None)
    assert is_hdf5(path)
    assert isinstance(jetlab.from_pretrained(path), OmniLearn)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__(f"{FIRST[FILES[0]]}/dense_3/vars/1"), r"dense_3/vars/1 \(missing\)"),
        (lambda f: f.create_dataset("body/more", data=np.zeros(3, "f4")), r"body/more \(unexpected\)"),
        (lambda f: f[f"{FIRST[FILES[0]]}/dense/vars/1"].write_direct(np.full(64, np.nan, "f4")), "NaN or infinite"),
        (lambda f: f.move("classifier", "elsewhere"), "missing"),
        (lambda f: f.__delitem__(f"{FIRST[FILES[0]]}/multi_head_attention"), "lacks .*_query_dense/vars/0"),
    ],
)
def test_weights_that_do_not_fit_are_listed(
    edited: Edited, change: Callable[[h5py.File], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        jetlab.from_pretrained(edited(change))


def swap(file: h5py.File) -> None:
    """Two layers of the same shape in each other's place, as wrong numbers would have it."""
    first, other = (file[f"{FIRST[FILES[0]]}/dense_{i}/vars/0"] for i in (8, 10))
    values = first[()]
    first[...] = other[()]
    other[...] = values


def test_swapped_layers_are_found(edited: Edited, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = edited(swap)
    for name in ("io.npz", "meta.json"):
        shutil.copyfile(PARITY / name, tmp_path / name)
    for name in FILES:  # one layout is right, the other is not
        shutil.copyfile(path if name == FILES[0] else PARITY / name, tmp_path / name)
    with pytest.raises(SystemExit) as ended:
        main(["models", "verify", str(tmp_path)])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "class_logits" in told.err
    assert "features (differs)" not in told.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.create_dataset("a", data=np.zeros((99, 9)), compression="gzip"), r"a \(is packed or in pieces\)"),
        (lambda f: f.create_dataset("a", (9,), "f4", external=[("other.bin", 0, 36)]), r"a \(lies in another file\)"),
        (lambda f: f.create_dataset("a", data="text"), r"a \(numbers of kind object\)"),
        (lambda f: f.create_dataset("a", (10**9,), "f4"), "say that they are larger than the file"),
    ],
)
def test_files_that_keras_does_not_write_are_refused(
    edited: Edited, change: Callable[[h5py.File], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_hdf5(edited(change))


def test_links_out_of_the_file_are_not_followed(edited: Edited, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other", "w") as other:
        other["secret"] = np.arange(3.0)

    def link(file: h5py.File) -> None:
        file["outside"] = h5py.ExternalLink(str(tmp_path / "other"), "secret")
        file["again"] = h5py.SoftLink(f"/{FIRST[FILES[0]]}/dense/vars/0")

    assert not {"outside", "again"} & set(read_hdf5(edited(link)))


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "short.h5").write_bytes((PARITY / FILES[0]).read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="Is it cut short"):
        jetlab.from_pretrained(tmp_path / "short.h5")
