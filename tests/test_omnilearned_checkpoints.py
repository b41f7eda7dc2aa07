"""The published checkpoints of OmniLearned: golden folders, what is inferred from tensors, and what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import jetlab
from jetlab.cli import main
from jetlab.errors import CheckpointError
from jetlab.features import PET2_RECIPES
from jetlab.models.mlpgen import MLPGen, MLPGenConfig
from jetlab.models.omnilearned import OmniLearned, OmniLearnedConfig, Task
from jetlab.models.pet2 import PET2Config
from jetlab.models.prior import Prior
from jetlab.zoo.importers.omnilearned import _JET_PARTS, _their_name, their_name
from jetlab.zoo.verify import verify
from jetlab.zoo.verify.golden import Golden
from jetlab.zoo.verify.omnilearned import _batch, settings

PARITY = next(
    (p / "shared" / "parity" / "omnilearned" for p in Path(__file__).parents if (p / "shared").is_dir()), None
)
needs_parity = pytest.mark.skipif(PARITY is None, reason="the golden folders of OmniLearned are not here")

FOLDERS = {
    "classifier_bare": 12,
    "classifier_full": 16,
    "classifier_int_only": 13,
    "pretrain": 48,
    "generator": 23,
    "regression": 14,
    "segmentation": 9,
    "ftag": 12,
    "mlpgen": 3,
}
"""Golden folders and how many of their arrays are compared."""

BODY = PET2Config(width=16, depth=2, heads=2, tokens=3, local_depth=1)
NAMES = ("class 0", "class 1", "class 2")


def config(task: Task, **options: Any) -> OmniLearnedConfig:
    timed = task in ("generator", "pretrain")
    inputs = options.pop("inputs", "kin")
    recipe = PET2_RECIPES[inputs]
    body = replace(
        BODY, timed=timed, recipe=recipe, types=0 if inputs == "kin" else 9, extra=4 if inputs == "full" else 0,
        **{name: options.pop(name) for name in ("pair_bias", "local_pairs", "conditions") if name in options},
    )  # fmt: skip
    particle = 4 if task in ("segmentation", "ftag") else 0
    classes = () if task == "segmentation" else NAMES
    return OmniLearnedConfig(body, task, options.pop("classes", classes), particle, 2, averaged=timed, **options)


def state_of(model: torch.nn.Module, *, averages: bool = True) -> dict[str, Any]:
    """Weights as the package writes them, with what it writes beside them."""
    parts: dict[str, Any] = {}
    for name, values in model.state_dict().items():
        theirs = _their_name(name, _JET_PARTS) if isinstance(model, MLPGen) else their_name(name)
        part, _, rest = theirs.partition(".")
        if averages or not part.startswith("ema_"):
            parts.setdefault(part, {})[rest] = values[None] if rest == "token" else values
    beside = {"optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}, "epoch": 3}
    return parts | beside | {"loss": 0.4, "sched": {"lr_lambdas": [None], "last_epoch": 1}}


def random_model(given: OmniLearnedConfig | MLPGenConfig) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = OmniLearned(given) if isinstance(given, OmniLearnedConfig) else MLPGen(given)
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return model


def written(path: Path, state: dict[str, Any]) -> Path:
    torch.save(state, path / "best_model_x.pt")
    return path / "best_model_x.pt"


# ---- golden folders -------------------------------------------------------------------------------------------------


@needs_parity
@pytest.mark.parametrize("name", FOLDERS)
def test_golden_folders_are_reproduced(name: str) -> None:
    assert PARITY is not None
    found = verify(PARITY / name)
    compared = found[found["status"].isin(["pass", "fail"])]
    assert (compared["status"] == "pass").all(), compared
    assert len(compared) == FOLDERS[name]
    assert compared["relative"].max() < 1e-5
    assert set(found["status"]) == {"input", "pass"}


@needs_parity
def test_they_are_verified_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert PARITY is not None
    with pytest.raises(SystemExit) as ended:
        main(["models", "verify", str(PARITY / "generator"), str(PARITY / "mlpgen")])
    assert not ended.value.code
    assert "All folders pass: 2" in capsys.readouterr().out


@needs_parity
def test_a_wrong_number_of_heads_or_neighbours_is_noticed() -> None:
    assert PARITY is not None
    path = PARITY / "classifier_bare" / "best_model_fixture.pt"
    with np.load(PARITY / "classifier_bare" / "io.npz") as stored:
        x, logits = torch.from_numpy(stored["x"]), torch.from_numpy(stored["y_pred"])
    batch = jetlab.batches.ParticleBatch(x, x[..., 2] != 0)
    right = {"heads": 4, "neighbours": 5}
    for told, same in ((right, True), (right | {"heads": 2}, False), (right | {"neighbours": 6}, False)):
        model = jetlab.from_pretrained(path, settings=told)
        with torch.inference_mode():
            assert (float((model.classify(batch) - logits).abs().max()) < 1e-5) == same


@needs_parity
def test_a_pretrained_body_reads_clean_jets_without_a_token_of_time() -> None:
    """As in the original when it is fine-tuned as a classifier."""
    assert PARITY is not None
    golden = Golden.read(PARITY / "pretrain")
    model = jetlab.from_pretrained(golden.checkpoint, settings=settings(golden))
    with np.load(PARITY / "pretrain" / "finetune.npz") as stored, torch.inference_mode():
        tokens = model.body.tokenize(_batch(golden, "x"))
        torch.testing.assert_close(tokens.x, torch.from_numpy(stored["x_body"]), rtol=1e-5, atol=1e-5)
        read = model.classifier.read(tokens)
        torch.testing.assert_close(read, torch.from_numpy(stored["cls_fc"]), rtol=1e-5, atol=1e-5)


# ---- what is inferred -----------------------------------------------------------------------------------------------

CASES: dict[str, OmniLearnedConfig] = {
    "bare classifier": config("classifier", pair_bias=False, local_pairs=False),
    "classifier": config("classifier", inputs="types", conditions=2),
    "published flags": config("classifier", local_pairs=False),
    "one number": config("regression", classes=("number 0",)),
    "generator": config("generator", conditions=4),
    "generator of all": config("generator", classes=()),
    "pretrained": config("pretrain", inputs="full"),
    "segmentation": config("segmentation", inputs="full"),
    "ftag": config("ftag", conditions=1),
}


@pytest.mark.parametrize("name", CASES)
def test_every_flag_follows_from_the_tensors(name: str, tmp_path: Path) -> None:
    model = random_model(CASES[name])
    bare = not CASES[name].body.pair_bias
    found = jetlab.from_pretrained(written(tmp_path, state_of(model)), settings={"heads": 2} if bare else None)
    assert isinstance(found, OmniLearned)
    assert not found.training
    assert found.config == CASES[name]
    for key, values in model.state_dict().items():
        assert torch.equal(found.state_dict()[key], values), key


def test_a_loaded_model_is_saved_as_one_of_ours(tmp_path: Path) -> None:
    found = jetlab.from_pretrained(written(tmp_path, state_of(random_model(CASES["pretrained"]))))
    jetlab.save_pretrained(found, tmp_path / "mine")
    back = jetlab.from_pretrained(tmp_path / "mine")
    assert back.config == found.config
    assert all(torch.equal(values, back.state_dict()[name]) for name, values in found.state_dict().items())


def test_without_running_averages_the_weights_generate(tmp_path: Path) -> None:
    state = state_of(random_model(CASES["generator"]), averages=False)
    found = jetlab.from_pretrained(written(tmp_path, state))
    assert found.averaged is None
    assert found.generating is found


def test_averages_of_a_body_that_does_not_generate_are_left_out(tmp_path: Path) -> None:
    state = state_of(random_model(CASES["classifier"]))
    found = jetlab.from_pretrained(written(tmp_path, state | {"ema_body": state["body"]}))
    assert found.averaged is None


def test_settings_say_what_tensors_do_not(tmp_path: Path) -> None:
    path = written(tmp_path, state_of(random_model(CASES["classifier"])))
    told = {"neighbours": 4, "coordinates": 3, "classes": ("q", "g", "t"), "task": "regression"}
    found = jetlab.from_pretrained(path, settings=told).config
    assert (found.body.neighbours, found.body.coordinates) == (4, 3)
    assert (found.classes, found.task) == (("q", "g", "t"), "regression")
    json.dumps(found.to_dict())


def test_the_published_widths_tell_the_heads(tmp_path: Path) -> None:
    body = replace(BODY, width=128, depth=1, heads=8, pair_bias=False)
    model = random_model(OmniLearnedConfig(body, "classifier", NAMES))
    assert jetlab.from_pretrained(written(tmp_path, state_of(model))).config.body.heads == 8


def test_the_generator_of_jets_comes_back(tmp_path: Path) -> None:
    model = random_model(MLPGenConfig(width=12, depth=2, expansion=3, conditions=2, averaged=True))
    found = jetlab.from_pretrained(written(tmp_path, state_of(model)))
    assert found.config == model.config
    assert all(torch.equal(values, found.state_dict()[name]) for name, values in model.state_dict().items())
    jetlab.save_pretrained(found, tmp_path / "mine")
    assert jetlab.from_pretrained(tmp_path / "mine").config == model.config


def test_inputs_that_are_not_published_have_names_that_no_jet_has(tmp_path: Path) -> None:
    recipe = replace(PET2_RECIPES["full"], features=(*PET2_RECIPES["full"].features, PET2_RECIPES["full"].features[-1]))
    body = replace(BODY, types=8, extra=5, recipe=recipe)
    found = jetlab.from_pretrained(
        written(tmp_path, state_of(random_model(OmniLearnedConfig(body, "classifier", NAMES))))
    )
    assert [f.field for f in found.recipe.features][4:6] == ["particle code of 8", "further input 0"]
    with pytest.raises(jetlab.errors.InvalidJetsError, match="needs particle code of 8"):
        found.recipe.transform(jetlab.load_jets("sample", n=3))


def test_six_features_have_a_plain_prior(tmp_path: Path) -> None:
    features = (*PET2_RECIPES["kin"].features, *PET2_RECIPES["kin"].features[:2])
    body = replace(BODY, timed=True, recipe=replace(PET2_RECIPES["kin"], features=features))
    model = random_model(OmniLearnedConfig(body, "generator", NAMES, prior=Prior.standard(6)))
    assert jetlab.from_pretrained(written(tmp_path, state_of(model))).prior == Prior.standard(6)


# ---- what does not fit ----------------------------------------------------------------------------------------------


def test_missing_unexpected_and_misshapen_tensors_are_listed(tmp_path: Path) -> None:
    state = state_of(random_model(CASES["pretrained"]))
    del state["body"]["norm.weight"], state["ema_body"]["norm.alpha"]
    state["body"]["surprise"] = torch.ones(1)
    state["generator_head"]["fc.0.fc2.bias"] = torch.ones(5)
    with pytest.raises(CheckpointError) as caught:
        jetlab.from_pretrained(written(tmp_path, state))
    for fault in (
        "body.norm.weight (missing)",
        "ema_body.norm.alpha (missing)",
        "body.surprise (unexpected)",
        "generator_head.fc.0.fc2.bias (shape (5,), expected (16,))",
    ):
        assert fault in str(caught.value)


def test_a_network_with_skips_is_refused(tmp_path: Path) -> None:
    state = state_of(random_model(CASES["classifier"]))
    state["body"]["out_blocks.0.skip_linear.weight"] = torch.ones(16, 32)
    with pytest.raises(CheckpointError, match=r"body\.out_blocks\.0\.skip_linear\.weight \(unexpected\)"):
        jetlab.from_pretrained(written(tmp_path, state))


@pytest.mark.parametrize(
    ("case", "told", "message"),
    [
        ("bare classifier", {}, r"does not tell how many heads its attention of width 16 has.*settings=\{.heads.: "),
        ("bare classifier", {"heads": 3}, "3 do not divide it"),
        ("classifier", {"heads": 4}, "settings say that .* has 4 heads; its pair bias is for 2"),
        ("classifier", {"layers": 4}, "has no setting layers; expected heads, neighbours"),
        ("classifier", {"neighbours": 0}, "have neighbours 0, expected a whole number of at least 1"),
        ("classifier", {"task": "generator"}, "has the heads of a model for classifier; settings say 'generator'"),
        ("classifier", {"classes": ("a",)}, r"has 3 classes, the settings name \('a',\)"),
    ],
)
def test_settings_that_do_not_fit_are_refused(case: str, told: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, state_of(random_model(CASES[case])))
    with pytest.raises(CheckpointError, match=message):
        jetlab.from_pretrained(path, settings=told)


def test_parts_of_a_checkpoint_are_refused(tmp_path: Path) -> None:
    state = state_of(random_model(CASES["classifier"]))
    with pytest.raises(CheckpointError, match=r"lack classifier_head or generator_head\. Are they a part"):
        jetlab.from_pretrained(written(tmp_path, {"body": state["body"]}))
    state["body"]["token"] = torch.ones(3, 16)
    with pytest.raises(CheckpointError, match=r"body.token in .* has shape \(3, 16\), expected \(1, tokens, width\)"):
        jetlab.from_pretrained(written(tmp_path, state))
    generator = state_of(random_model(CASES["generator"]))
    del generator["generator_head"]
    with pytest.raises(CheckpointError, match="lack generator_head"):
        jetlab.from_pretrained(written(tmp_path, generator))


def test_settings_are_for_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="settings are for official files"):
        jetlab.from_pretrained("omnijet-tiny", settings={"heads": 4})


def test_what_lies_beside_the_weights_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    state = state_of(random_model(CASES["classifier"]))
    assert isinstance(jetlab.from_pretrained(written(tmp_path, state | {"optimizer": Trap()})), OmniLearned)
    state["body"]["norm.weight"] = Trap()
    with pytest.raises(CheckpointError, match="could run a program"):
        jetlab.from_pretrained(written(tmp_path, state))
    assert not (tmp_path / "sprung").exists()
