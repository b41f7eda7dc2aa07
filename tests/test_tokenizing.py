"""Files of tokenized jets, and the command line that trains tokenizers and writes such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab import zoo
from jetlab.cli import main
from jetlab.data import load_jets, write_jets
from jetlab.errors import FileError, InvalidJetsError
from jetlab.models.tokenizers import VQVAE, VQVAEConfig
from jetlab.zoo.tokens import read_tokens, tokenizer_fingerprint, write_tokens

from .toys import toy_jets


def small(codes: int = 16, *, seed: int = 0) -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VQVAE(VQVAEConfig(width=8, depth=1, heads=2, codebook_size=codes)).eval()


@pytest.fixture(scope="module")
def jets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jets(toy_jets(60), tmp_path_factory.mktemp("jets") / "jets.parquet")


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


# ---- files ------------------------------------------------------------------------------------------------------


def test_tokens_come_back_with_labels_and_provenance(tmp_path: Path) -> None:
    tokenizer, jets = small(), toy_jets(30)
    tokens = tokenizer.encode(jets)
    path = write_tokens(tokens, tmp_path / "a.parquet", tokenizer=tokenizer, provenance={"seed": 7})
    again = read_tokens(path, tokenizer=tokenizer)
    for name in ("codes", "offsets", "label"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tokens, name))
    assert (again.codebook_size, again.classes) == (16, jets.classes)
    assert again.meta["tokens"] == {"tokenizer": tokenizer_fingerprint(tokenizer), "seed": 7}
    np.testing.assert_array_equal(tokenizer.decode(again).flat("pt"), tokenizer.decode(tokens).flat("pt"))


def test_unlabelled_and_empty_jets_come_back_too(tmp_path: Path) -> None:
    tokenizer, jets = small(), toy_jets(5)
    bare = type(jets).from_flat([0, *jets.offsets], {f: jets.flat(f) for f in jets.fields})
    tokens = tokenizer.encode(bare)
    again = read_tokens(write_tokens(tokens, tmp_path / "a.parquet", tokenizer=tokenizer))
    assert again.label is None
    np.testing.assert_array_equal(again.multiplicity, bare.multiplicity)


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    path = write_tokens(small().encode(toy_jets(5)), tmp_path / "a.parquet", tokenizer=small())
    assert len(read_tokens(path, tokenizer=small())) == 5
    with pytest.raises(InvalidJetsError, match=r"a.parquet: .*codebook of 16, this tokenizer has 32"):
        read_tokens(path, tokenizer=small(32))
    with pytest.raises(InvalidJetsError, match=r"made by another tokenizer .*Tokenize the jets again"):
        read_tokens(path, tokenizer=small(seed=1))


def test_a_tokenizer_keeps_its_fingerprint_in_a_folder(tmp_path: Path) -> None:
    again = zoo.from_pretrained(zoo.save_pretrained(small(), tmp_path / "model"))
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(small())


def test_files_that_cannot_be_are_refused(tmp_path: Path, jets_file: Path) -> None:
    tokenizer = small()
    tokens = tokenizer.encode(toy_jets(5))
    with pytest.raises(FileError, match=r"expected a name that ends in \.parquet"):
        write_tokens(tokens, tmp_path / "a.root", tokenizer=tokenizer)
    with pytest.raises(FileError, match="in a folder that exists"):
        write_tokens(tokens, tmp_path / "none" / "a.parquet", tokenizer=tokenizer)
    with pytest.raises(FileError, match="there is no file"):
        read_tokens(tmp_path / "b.parquet")
    with pytest.raises(FileError, match="holds no tokenized jets"):
        read_tokens(jets_file)
    path = write_tokens(tokens, tmp_path / "a.parquet", tokenizer=tokenizer)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match="may be damaged"):
        read_tokens(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet"]


# ---- command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "binned"])
def test_train_a_tokenizer_and_tokenize(kind: str, jets_file: Path, tmp_path: Path, capsys: object) -> None:
    out, tokens = tmp_path / "mine", tmp_path / "tokens.parquet"
    words = ("train", "tokenizer", jets_file, "--kind", kind, "--codes", 64, "--steps", 3, "--batch-size", 16)
    assert run(*words, "--seed", 4, "--out", out) == 0
    facts = zoo.describe(out / "model")["provenance"]
    assert (facts["seed"], facts["task"], facts["jets"]) == (4, "tokenization", {"train": 57, "valid": 3})
    card = zoo.model_card(out / "model")
    assert "interquartile range" in card
    assert "Jet mass" in card
    weights = (out / "model" / "model.safetensors").read_bytes()
    assert run(*words, "--seed", 4, "--out", out) == 0
    assert (out / "model" / "model.safetensors").read_bytes() == weights

    assert run("tokenize", jets_file, "--tokenizer", out / "model", "--out", tokens) == 0
    tokenizer = zoo.from_pretrained(out / "model")
    expected = tokenizer.encode(load_jets(jets_file))
    found = read_tokens(tokens, tokenizer=tokenizer)
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_array_equal(found.label, expected.label)
    assert found.meta["tokens"]["command"].startswith("jetlab")


def test_options_have_the_defaults_of_the_function() -> None:
    import inspect

    from jetlab.cli.train import app
    from jetlab.tasks.tokenizers import train_tokenizer

    verb = next(c.callback for c in app.registered_commands if c.name == "tokenizer")
    ours, theirs = inspect.signature(verb).parameters, inspect.signature(train_tokenizer).parameters
    for name in ours.keys() & theirs.keys() - {"out"}:
        assert ours[name].default == theirs[name].default, name
