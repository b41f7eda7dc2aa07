"""Tokenizers of OmniJet-alpha: the NormFormer, the older transformer and the unconditional network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted
from jetlab.zoo.importers.omnijet.config import model_settings, published_recipe
from jetlab.zoo.importers.omnijet.sizes import check_settings, count, integer, matrix_shape, number

if TYPE_CHECKING:
    from jetlab.models.tokenizers import VQVAE, VQVAEConfig

__all__ = ["load_tokenizer"]

_CODEBOOK = "model.vqlayer.codebook.weight"

_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.qkv": "attn.in_proj_",
    "attention.out": "attn.out_proj",
    "norm3": "mlp.0",
    "mlp.0": "mlp.1",
    "mlp.2": "mlp.4",
}
"""Parts of our NormFormer block, and theirs."""

_AROUND = {
    "normformer": {
        "embed": "input_projection",
        "encoder": "encoder_normformer.blocks",
        "to_latent": "latent_projection_in",
        "from_latent": "latent_projection_out",
        "decoder": "decoder_normformer.blocks",
        "out": "output_projection",
    },
    "transformer": {
        "embed": "encoder.project_in",
        "encoder": "encoder.blocks",
        "to_latent": "encoder.project_out",
        "from_latent": "decoder.project_in",
        "decoder": "decoder.blocks",
        "out": "decoder.project_out",
    },
    "mlp": {"encoder": "encoder", "decoder": "decoder"},
}
"""Parts of our tokenizers, and theirs."""


def load_tokenizer(checkpoint: Checkpoint) -> VQVAE:
    """Load a tokenizer, with the recipe from the ``config.yaml`` beside it.

    Raises
    ------
    CheckpointError
        If tensors or settings are missing, unexpected, or do not fit together.
    """
    import torch

    from jetlab.models.tokenizers import VQVAE

    config = _tokenizer_config(checkpoint)
    with torch.random.fork_rng(devices=[]):
        tokenizer = VQVAE(config)
    own = tokenizer.state_dict()
    theirs = {name: _tokenizer_name(name, config.network) for name in own}
    expected = {theirs[name]: values for name, values in own.items() if theirs[name]}
    expected |= {name: values[None] for name, values in expected.items() if ".affine_transform." in name}
    found = fitted(
        checkpoint,
        expected,
        kind="VQVAE",
        unused=("model.vqlayer._counts", "model.vqlayer.data_initialized"),
    )
    filled = {name: found[theirs[name]].reshape(own[name].shape) for name in own if theirs[name]}
    steps = torch.ones_like(own["quantizer.steps"])  # its codebook has been started
    tokenizer.load_state_dict(own | filled | {"quantizer.steps": steps})
    return tokenizer


def _tokenizer_config(checkpoint: Checkpoint) -> VQVAEConfig:
    from jetlab.models.tokenizers import VQVAEConfig

    state = checkpoint.state
    recipe, settings = published_recipe(checkpoint), model_settings(checkpoint)["model_kwargs"]
    network = next((kind for kind, names in _AROUND.items() if f"model.{_first(kind)}.weight" in state), None)
    if network is None:
        known = ", ".join(f"model.{_first(kind)}.weight" for kind in _AROUND)
        msg = f"the tokenizer in {checkpoint.path} has none of {known}: its encoder is missing or of an unknown kind"
        raise CheckpointError(msg)
    quantizer = settings.get("vq_kwargs")
    if not isinstance(quantizer, dict):
        msg = f"the settings of {checkpoint.path} have no vq_kwargs, which tell the constants of the codebook"
        raise CheckpointError(msg)
    strange = {
        name: str(quantizer[name]) for name in ("norm", "cb_norm", "groups") if quantizer.get(name) not in (None, 1)
    }
    if strange:
        msg = f"the codebook in {checkpoint.path} has settings that jetlab does not know: {joined(strange)}"
        raise CheckpointError(msg)
    codes, latent = matrix_shape(checkpoint, _CODEBOOK)
    width, inputs = matrix_shape(checkpoint, f"model.{_first(network)}.weight")
    if inputs != recipe.width:
        msg = (
            f"the tokenizer in {checkpoint.path} reads {inputs} features, the feature_dict beside it has {recipe.width}"
        )
        raise CheckpointError(msg)
    is_mlp = network == "mlp"
    prefix = f"model.{_AROUND[network]['encoder']}"
    depth = count(state, rf"{prefix}\.(\d+)\.{'weight' if is_mlp else 'norm1'}") - is_mlp
    hidden = None if is_mlp else matrix_shape(checkpoint, f"{prefix}.0.mlp.1.weight")[0]
    learned = {"hidden_dim": width, "num_blocks": depth, "latent_dim": latent, "input_dim": inputs}
    check_settings(checkpoint, settings | {"num_codes": quantizer.get("num_codes")}, learned | {"num_codes": codes})
    affine = _affine(checkpoint, quantizer)
    return VQVAEConfig(
        width=width,
        depth=depth,
        heads=1 if is_mlp else integer(checkpoint, settings, "num_heads"),
        codebook_size=codes,
        latent_width=latent,
        recipe=recipe,
        network=network,  # type: ignore[arg-type]
        expansion=1 if hidden is None else max(hidden // width, 1),
        learning="gradient",
        affine=affine,
        beta=number(checkpoint, quantizer, "beta"),
        sync_nu=number(checkpoint, quantizer, "sync_nu"),
        wait=0,
        alpha=number(checkpoint, settings, "alpha"),
        weighting="equal",
    )


def _first(network: str) -> str:
    """Their name of the first layer."""
    return "encoder.0" if network == "mlp" else _AROUND[network]["embed"]


def _affine(checkpoint: Checkpoint, quantizer: Mapping[str, Any]) -> float:
    affine = number(checkpoint, quantizer, "affine_lr")
    has_map = any(".affine_transform." in name for name in checkpoint.state)
    if has_map != (affine > 0):
        found = "has" if has_map else "lacks"
        msg = f"{checkpoint.path} {found} model.vqlayer.affine_transform, but its settings have affine_lr {affine:g}"
        raise CheckpointError(msg)
    return affine


def _tokenizer_name(name: str, network: str) -> str:
    """Their name of a tensor of our tokenizer; empty for what they do not have."""
    quantizer = {"codebook": "codebook.weight", "scale": "affine_transform.scale", "shift": "affine_transform.bias"}
    if name.startswith("quantizer."):
        words = quantizer.get(name.removeprefix("quantizer."))
        return f"model.vqlayer.{words}" if words else ""
    part, _, rest = name.partition(".")
    if network != "mlp" and part in ("encoder", "decoder"):
        block, _, words = rest.partition(".")
        layer, _, kind = words.rpartition(".")
        theirs = _BLOCK[layer]
        rest = f"{block}.{theirs}{kind}" if theirs.endswith("_") else f"{block}.{theirs}.{kind}"
    return f"model.{_AROUND[network][part]}.{rest}"
