"""The published checkpoints of OmniJet-alpha: recipes from their settings, ids, and what does not fit."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import jetlab
from jetlab.errors import CheckpointError, InvalidJetsError, JetLabError, UnitsError
from jetlab.features import OMNIJET_RECIPE
from jetlab.jets import Jets
from jetlab.models.alpha import OmniJetAlpha
from jetlab.models.tagger import Tagger
from jetlab.models.tokenizers import VQVAE, VQVAEConfig
from jetlab.models.tokens import SequenceBatch, TokenSequences, Vocabulary
from jetlab.zoo.importers.omnijet.ids import ids_of_tokens, our_ids, our_outputs, our_rows, tokens_of_ids
from jetlab.zoo.importers.omnijet.tokenizer import _tokenizer_name

from .toys import toy_jets

PARITY = next((p / "shared" / "parity" / "omnijet" for p in Path(__file__).parents if (p / "shared").is_dir()), None)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the golden folders of OmniJet-alpha are not here")

FEATURES: dict[str, Any] = {
    "part_pt": {"multiply_by": 1, "subtract_by": 1.8, "func": "np.log", "inv_func": "np.exp"},
    "part_etarel": {"multiply_by": 3, "larger_than": -0.8, "smaller_than": 0.8},
    "part_phirel": {"multiply_by": 3, "larger_than": -0.8, "smaller_than": 0.8},
}
CODES = 16


def settings(network: str) -> dict[str, Any]:
    quantizer = {"num_codes": CODES, "beta": 0.9, "affine_lr": 2, "sync_nu": 1, "replace_freq": 10, "norm": None}
    sizes = {"hidden_dim": 8, "num_blocks": 1, "num_heads": 2}
    return {
        "model_type": {"normformer": "VQVAENormFormer", "transformer": "Transformer", "mlp": "MLP"}[network],
        "model_kwargs": {"input_dim": 3, "latent_dim": 4, "alpha": 10, "vq_kwargs": quantizer}
        | ({} if network == "mlp" else sizes),
    }


def config(features: Any = FEATURES, *, length: int = 30, network: str = "normformer") -> dict[str, Any]:
    common = {"pad_length": length, "feature_dict": features}
    return {"data": {"dataset_kwargs_common": common}, "model": settings(network)}


def tokenizer_like(network: str = "normformer") -> tuple[VQVAE, dict[str, torch.Tensor]]:
    """A tokenizer of ours with random weights, and its state by their names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = VQVAE(
            VQVAEConfig(
                8, 1, 2, CODES, 4, network=network, expansion=1, learning="gradient", affine=2.0, sync_nu=1.0, wait=0
            )
        ).eval()
        state = OrderedDict()
        for name, values in ours.state_dict().items():
            if theirs := _tokenizer_name(name, network):
                values.copy_(torch.randn(values.shape) * 0.3)
                state[theirs] = values[None].clone() if ".affine_transform." in theirs else values.clone()
    state["model.vqlayer._counts"] = torch.zeros(CODES)
    state["model.vqlayer.data_initialized"] = torch.ones(1)
    return ours, state


Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a checkpoint as Lightning does, with its settings beside it."""

    def write(
        state: dict[str, torch.Tensor], *, beside: Any = None, hyper: Any = None, data: Any = None, name: str = "x.ckpt"
    ) -> Path:
        content = {"state_dict": state, "epoch": 1, "hyper_parameters": hyper or settings("normformer")}
        torch.save(content | ({"datamodule_hyper_parameters": data} if data else {}), tmp_path / name)
        if beside is not None:
            text = beside if isinstance(beside, str) else yaml.safe_dump(beside, sort_keys=False)
            (tmp_path / "config.yaml").write_text(text)
        return tmp_path / name

    return write


# ---- tokenizers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["normformer", "transformer", "mlp"])
def test_tokenizers_come_back_with_every_weight(network: str, written: Written) -> None:
    ours, state = tokenizer_like(network)
    path = written(state, beside=config(network=network), hyper=settings(network))
    found = jetlab.from_pretrained(path)
    assert isinstance(found, VQVAE)
    assert not found.training
    assert found.recipe == OMNIJET_RECIPE.__class__(**{**OMNIJET_RECIPE.__dict__, "max_particles": 30})
    for name, values in ours.state_dict().items():
        if _tokenizer_name(name, network):
            assert torch.equal(found.state_dict()[name], values), name
    jets = toy_jets(20)
    np.testing.assert_array_equal(found.encode(jets).codes, ours.encode(jets).codes)


def test_a_tokenizer_is_saved_as_one_of_ours(written: Written, tmp_path: Path) -> None:
    _, state = tokenizer_like()
    found = jetlab.from_pretrained(written(state, beside=config()))
    jetlab.save_pretrained(found, tmp_path / "mine")
    back, jets = jetlab.from_pretrained(tmp_path / "mine"), toy_jets(10)
    np.testing.assert_array_equal(back.encode(jets).codes, found.encode(jets).codes)


def test_a_file_of_weights_alone_takes_its_settings_from_the_config(tmp_path: Path, written: Written) -> None:
    from safetensors.torch import save_file

    _, state = tokenizer_like()
    written(state, beside=config())
    save_file(state, tmp_path / "x.safetensors")
    assert isinstance(jetlab.from_pretrained(tmp_path / "x.safetensors"), VQVAE)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in config().items() if k == "data"}))
    with pytest.raises(CheckpointError, match=r"does not say how its model is built.*Put the config\.yaml"):
        jetlab.from_pretrained(tmp_path / "x.safetensors")


def test_training_can_go_on_with_the_published_codebook(written: Written) -> None:
    """The codebook has been started: the first step must not place it anew."""
    _, state = tokenizer_like()
    found = jetlab.from_pretrained(written(state, beside=config())).train()
    before = found.quantizer.codebook.detach().clone()
    found.quantizer(torch.randn(500, 4))
    assert (found.quantizer.codebook != before).any(1).sum() < CODES


def test_what_does_not_fit_a_tokenizer_is_listed(written: Written) -> None:
    _, state = tokenizer_like()
    del state["model.latent_projection_in.bias"]
    state["model.surprise"] = torch.ones(1)
    state["model.output_projection.weight"] = torch.ones(5, 8)
    state["model.encoder_normformer.blocks.0.norm1.weight"] = torch.full((8,), torch.nan)
    with pytest.raises(CheckpointError) as caught:
        jetlab.from_pretrained(written(state, beside=config()))
    for fault in (
        "model.latent_projection_in.bias (missing)",
        "model.surprise (unexpected)",
        "model.output_projection.weight (shape (5, 8), expected (3, 8))",
        "model.encoder_normformer.blocks.0.norm1.weight (NaN or infinite)",
    ):
        assert fault in str(caught.value)


def test_settings_that_do_not_fit_the_tensors_are_refused(written: Written) -> None:
    _, state = tokenizer_like()
    wrong = settings("normformer")
    wrong["model_kwargs"] |= {"hidden_dim": 9, "num_blocks": 2}
    with pytest.raises(CheckpointError, match=r"hidden_dim \(9, the tensors have 8\), num_blocks \(2, the tensors"):
        jetlab.from_pretrained(written(state, beside=config() | {"model": {}}, hyper=wrong))
    wrong = settings("normformer")
    wrong["model_kwargs"]["vq_kwargs"]["affine_lr"] = 0
    with pytest.raises(
        CheckpointError, match=r"has model\.vqlayer\.affine_transform, but its settings have affine_lr 0"
    ):
        jetlab.from_pretrained(written(state, beside=config() | {"model": {}}, hyper=wrong))
    wrong["model_kwargs"]["vq_kwargs"] = {"num_codes": CODES, "norm": "batch"}
    with pytest.raises(CheckpointError, match=r"settings that jetlab does not know: norm \(batch\)"):
        jetlab.from_pretrained(written(state, beside=config() | {"model": {}}, hyper=wrong))


# ---- recipes --------------------------------------------------------------------------------------------------------


def test_a_missing_config_is_asked_for(written: Written) -> None:
    _, state = tokenizer_like()
    with pytest.raises(CheckpointError, match=r"config\.yaml is missing.*beside it, under this name.*feature_dict"):
        jetlab.from_pretrained(written(state))


def test_asymmetric_cuts_shifts_and_the_length_are_those_of_the_config(written: Written) -> None:
    features = {
        "part_pt": {"multiply_by": "3e-1", "subtract_by": 2.7, "func": "np.log"},
        "part_etarel": {"multiply_by": 4, "subtract_by": 0.05, "larger_than": -0.2, "smaller_than": 0.3},
        "part_phirel": {"multiply_by": 2, "larger_than": None, "func": "signed_log", "inv_func": "signed_exp"},
    }
    _, state = tokenizer_like()
    recipe = jetlab.from_pretrained(written(state, beside=config(features, length=4))).recipe
    deta = np.array([-0.25, -0.2, -0.1, 0.29, 0.3, 0.1, 0.0, 0.05])
    columns = {"pt": np.arange(9.0, 1.0, -1.0), "deta": deta, "dphi": np.linspace(-0.7, 0.7, 8)}
    found = recipe.from_columns(np.array([0, 8]), columns, jets={})
    kept = [2, 3, 5, 6]  # within the cuts, both limits excluded, then the first four
    assert found.offsets.tolist() == [0, 4]
    np.testing.assert_allclose(found.x[:, 0], 0.3 * (np.log(columns["pt"][kept]) - 2.7), rtol=1e-6)
    np.testing.assert_allclose(found.x[:, 1], 4 * (deta[kept] - 0.05), rtol=1e-5, atol=1e-7)
    phi = columns["dphi"][kept]
    np.testing.assert_allclose(found.x[:, 2], 2 * np.sign(phi) * np.log1p(np.abs(phi) + 1e-5), rtol=1e-6)
    back = [f.inverse(found.x[:, i]) for i, f in enumerate(recipe.features)]
    np.testing.assert_allclose(back[1], deta[kept], atol=1e-7)
    np.testing.assert_allclose(back[2], phi, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"part_pt": {"func": "os.system"}},
            "has the function 'os.system', which jetlab does not know; it knows np.log",
        ),
        ({"part_pt": {"func": "lambda x: x"}}, "has the function 'lambda x: x'"),
        ({"part_pt": {"func": ["np.log"]}}, r"has the function \['np.log'\]"),
        ({"part_pt": {"func": "np.log", "inv_func": "np.exp2"}}, "the inverse of np.log is np.exp"),
        ({"part_pt": {"func": "np.log", "binning": [0, 1, 10]}}, "asks for binning, which jetlab does not know"),
        ({"part_secret": {}}, "part_secret in .* is not a feature that jetlab knows; it knows"),
        ({"part_pt": {"multiply_by": 0}}, "has multiply_by 0, which no inverse can undo"),
        ({"part_pt": {"subtract_by": "much"}}, "has subtract_by 'much', expected a number"),
        ({"part_pt": {"subtract_by": float("nan")}}, "has subtract_by nan, expected a number"),
        ({"part_pt": 3}, "is a int, expected entries such as"),
    ],
)
def test_features_that_are_not_known_are_named(change: dict[str, Any], message: str, written: Written) -> None:
    _, state = tokenizer_like()
    with pytest.raises(CheckpointError, match=message):
        jetlab.from_pretrained(written(state, beside=config(FEATURES | change)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds a NoneType, expected settings by name"),
        ("a: [1", "cannot be read as settings"),
        ("a: !!python/object/apply:os.system ['touch sprung']", "cannot be read as settings"),
        ("a: {}", "has no data.dataset_kwargs_common.feature_dict"),
        ("[" * 1500, "cannot be read as settings"),
        ("a: &a [b, b]\n" + "\n".join(f"{c}: &{c} [*{p}, *{p}, *{p}, *{p}]" for p, c in zip("abcdefghij", "bcdefghijk", strict=True)), "entries"),  # noqa: E501
        ("x: " + "y" * 200_001, "has 200,004 bytes"),
    ],
)  # fmt: skip
def test_damaged_settings_are_refused(text: str, message: str, written: Written) -> None:
    _, state = tokenizer_like()
    with pytest.raises(CheckpointError, match=message):
        jetlab.from_pretrained(written(state, beside=text))
    assert not Path("sprung").exists()


def test_the_config_of_another_training_is_noticed(written: Written) -> None:
    _, state = tokenizer_like()
    noted = config()["data"]
    other = FEATURES | {"part_pt": FEATURES["part_pt"] | {"subtract_by": 2.7}, "part_etarel": {"multiply_by": 3}}
    with pytest.raises(CheckpointError, match=r"belongs to another training.*part_etarel\.larger_than \(None, in the"):
        jetlab.from_pretrained(written(state, beside=config(other), data=noted))
    wrong = config()
    wrong["model"]["model_kwargs"]["vq_kwargs"]["affine_lr"] = 1.5
    with pytest.raises(CheckpointError, match=r"model.model_kwargs.vq_kwargs.affine_lr \(1.5, in the checkpoint 2\)"):
        jetlab.from_pretrained(written(state, beside=wrong))
    assert isinstance(jetlab.from_pretrained(written(state, beside=config(), data=noted)), VQVAE)


def test_pt_in_the_wrong_unit_is_refused(written: Written) -> None:
    _, state = tokenizer_like()
    tokenizer = jetlab.from_pretrained(written(state, beside=config()))
    jets = toy_jets(50)
    columns = {f: jets.flat(f) for f in jets.fields}
    total = np.repeat(jets.pt, jets.multiplicity)
    with pytest.raises(UnitsError, match="given relative to the jet"):
        tokenizer.encode(Jets.from_flat(jets.offsets, columns | {"pt": columns["pt"] / total}))
    with pytest.raises(UnitsError, match="are the momenta in MeV"):
        tokenizer.encode(Jets.from_flat(jets.offsets, columns | {"pt": columns["pt"] * 1000}))


# ---- ids ------------------------------------------------------------------------------------------------------------


def test_rows_of_tables_are_turned_around_and_back() -> None:
    ours = Vocabulary(4)
    assert our_rows(4).tolist() == [1, 2, 3, 4, 5, 0, 0]
    assert [our_rows(4)[i] for i in (ours.stop, ours.start, ours.padding)] == [5, 0, 0]
    assert our_outputs(4).tolist() == [1, 2, 3, 4, 5, 0]
    assert our_ids([[0, 1, 4, 5, 0], [0, 2, 5, 0, 0]], 4).tolist() == [[5, 0, 3, 4, 6], [5, 1, 4, 6, 6]]


def test_sequences_survive_their_numbering() -> None:
    tokens = TokenSequences(np.array([0, 3, 2, 1]), np.array([0, 2, 2, 4]), 4)
    ids, counts = ids_of_tokens(tokens)
    assert ids.tolist() == [0, 1, 4, 5, 0, 5, 0, 3, 2, 5]
    assert counts.tolist() == [4, 2, 4]
    back = tokens_of_ids(ids, np.concatenate([[0], np.cumsum(counts)]), 4)
    assert back.codes.tolist() == tokens.codes.tolist()
    assert back.offsets.tolist() == tokens.offsets.tolist()
    cut = tokens_of_ids([0, 1, 2, 0, 4, 5], [0, 3, 6], 4, length=3, label=np.array([0, 1]))
    assert (cut.codes.tolist(), cut.offsets.tolist()) == ([0, 1, 3], [0, 2, 3])


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([1, 2, 5], [0, 3], "1 of 1 sequences do not begin with the start id 0. If these are codes"),
        ([0, 1, 2], [0, 3], "1 of 1 sequences do not end with the stop id 5"),
        ([0, 1, 0, 5], [0, 4], "stands within sequences"),
        ([0, 5, 1, 5], [0, 4], "stands within sequences"),
        ([0, 6, 5], [0, 3], r"ids run from 0 to 6, expected 0 \(start\) to 5 \(stop\) for 4 codes"),
        ([0, 5], [0, 0, 2], "1 of 2 sequences do not begin"),
    ],
)
def test_sequences_that_are_no_ids_are_refused(ids: list[int], offsets: list[int], message: str) -> None:
    with pytest.raises(InvalidJetsError, match=message):
        tokens_of_ids(ids, offsets, 4)


def test_ids_are_refused_as_codes_with_the_reason() -> None:
    with pytest.raises(InvalidJetsError, match="If they are shifted by one, subtract 1"):
        TokenSequences(np.array([1, 2, 4]), np.array([0, 3]), 4)
    with pytest.raises(InvalidJetsError, match=r"If they are ids of OmniJet-alpha.*tokens_of_ids"):
        TokenSequences(np.array([0, 1, 2, 5]), np.array([0, 4]), 4)


# ---- the golden files -----------------------------------------------------------------------------------------------


@needs_parity
def test_generators_take_a_tokenizer_and_write_jets() -> None:
    generator = jetlab.from_pretrained(PARITY / "generative" / "generative.ckpt")
    assert isinstance(generator, OmniJetAlpha)
    assert generator.gpt.config.outputs == generator.vocabulary.outputs + 1  # padding, never drawn
    generator.use(jetlab.from_pretrained(PARITY / "vqvae_normformer" / "model_ckpt.ckpt"))
    jets = jetlab.generate(generator, 8, seed=1, progress=False)
    assert len(jets) == 8
    assert jets.multiplicity.max() <= 25
    with pytest.raises(JetLabError, match="they do not belong together"):
        generator.use(jetlab.from_pretrained(PARITY / "vqvae_mlp" / "model_ckpt.ckpt"))


@needs_parity
def test_the_sampler_writes_the_most_probable_ids_of_the_original() -> None:
    from jetlab.samplers import sample_tokens

    golden = np.load(PARITY / "generative" / "io.npz")
    generator = jetlab.from_pretrained(PARITY / "generative" / "generative.ckpt")
    [codes] = sample_tokens(generator, torch.zeros(1, dtype=torch.int64), temperature=0)
    np.testing.assert_array_equal(codes + 1, golden["greedy_until_stop"][1:])


@needs_parity
def test_bare_codes_are_refused_by_a_published_tagger() -> None:
    tagger = jetlab.from_pretrained(PARITY / "classifier_summation" / "classifier.ckpt")
    assert isinstance(tagger, Tagger)
    ids = torch.randint(0, 64, (3, 10))
    with pytest.raises(InvalidJetsError, match="3 of 3 sequences do not begin with the start id 65"):
        tagger(SequenceBatch(ids, torch.ones_like(ids, dtype=torch.bool)))


@needs_parity
def test_a_published_tagger_reads_jets_with_its_tokenizer(tmp_path: Path) -> None:
    tagger = jetlab.from_pretrained(PARITY / "classifier_class_attention" / "classifier.ckpt")
    tokenizer = jetlab.from_pretrained(PARITY / "vqvae_normformer" / "model_ckpt.ckpt")
    jets, rows = toy_jets(12), np.arange(12)
    with pytest.raises(JetLabError, match="came without its tokenizer"):
        tagger.prepare(jets)
    with pytest.raises(JetLabError, match="the tokenizer has 40 codes, the transformer 64"):
        tagger.use(jetlab.from_pretrained(PARITY / "vqvae_mlp" / "model_ckpt.ckpt"))
    tagger.use(tokenizer)
    logits = tagger(tagger.prepare(jets).batch(rows))
    ids, counts = ids_of_tokens(tokenizer.encode(jets))
    rows_of_ids = np.split(ids, np.cumsum(counts)[:-1])
    padded = np.array([np.pad(row[:25], (0, max(0, 25 - len(row)))) for row in rows_of_ids])
    theirs = torch.from_numpy(our_ids(padded, 64))
    mask = torch.arange(25) < torch.from_numpy(counts)[:, None]
    torch.testing.assert_close(logits, tagger(SequenceBatch(theirs, mask)), rtol=1e-5, atol=1e-5)
    jetlab.save_pretrained(tagger, tmp_path / "mine")
    back = jetlab.from_pretrained(tmp_path / "mine")
    torch.testing.assert_close(back(back.prepare(jets).batch(rows)), logits)


@needs_parity
@pytest.mark.parametrize("name", ["generative", "classifier_summation", "classifier_class_attention"])
def test_transformers_need_no_config_beside_them(name: str, tmp_path: Path) -> None:
    [file] = (PARITY / name).glob("*.ckpt")
    shutil.copy(file, tmp_path)
    found = jetlab.from_pretrained(tmp_path / file.name)
    jetlab.save_pretrained(found, tmp_path / "mine")
    back = jetlab.from_pretrained(tmp_path / "mine")
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), back.parameters(), strict=True))


@needs_parity
@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("head.", "a transformer without outputs"),
        ("module.embedding_table", "lack module.embedding_table.weight"),
        ("module.GPT_blocks.1.", r"n_GPT_blocks \(2, the tensors have 1\)"),
        ("module.GPT_blocks.0.mha_block.key", "module.GPT_blocks.0.mha_block.key.weight .missing"),
        ("head.fc1.bias", "head.fc1.bias .missing"),
    ],
)
def test_parts_of_a_generator_are_refused(lost: str, message: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = load_file(PARITY / "generative" / "generative.safetensors")
    torch.save({k: v for k, v in state.items() if not k.startswith(lost)}, tmp_path / "part.ckpt")
    shutil.copy(PARITY / "generative" / "config.yaml", tmp_path / "config.yaml")
    with pytest.raises(CheckpointError, match=message):
        jetlab.from_pretrained(tmp_path / "part.ckpt")
