"""OmniJet-alpha against stored outputs of the original: tokenizers, generators and classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.omnijet.ids import ids_of_tokens, our_ids, our_outputs
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor, nn

    from jetlab.models.alpha import OmniJetAlpha
    from jetlab.models.tagger import Tagger
    from jetlab.models.tokenizers import VQVAE
    from jetlab.models.tokens import TokenSequences

__all__ = ["DEFAULT", "SYSTEM", "results"]

SYSTEM = "omnijet_alpha"

DEFAULT = Tolerance(relative=5e-6, absolute=1e-6)
"""Ten times what other attention kernels, which add in another order, change: 5e-7 of the largest number."""

MARGIN = Tolerance(absolute=1e-4)
"""Of distances and of how clearly a choice was made: theirs are rounded sums and differences."""

SAFE_MARGIN = 3e-4
"""Distances of float32 are wrong by up to 6e-5: only points with a clearly nearest code must have the same code."""

_COLUMNS = {"part_pt": "pt", "part_etarel": "deta", "part_phirel": "dphi"}


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays.

    Raises
    ------
    CheckpointError
        If the model is of another kind than the arrays.
    """
    from jetlab.models.alpha import OmniJetAlpha
    from jetlab.models.sequences import SequenceBackbone
    from jetlab.models.tagger import Tagger
    from jetlab.models.tokenizers import VQVAE

    if isinstance(model, VQVAE):
        return _tokenizer(model, golden)
    if isinstance(model, OmniJetAlpha):
        return _generator(model, golden)
    if isinstance(model, Tagger) and isinstance(model.backbone, SequenceBackbone):
        return _classifier(model, golden)
    kind = f"{type(model.backbone).__name__} tagger" if isinstance(model, Tagger) else type(model).__name__
    msg = f"{golden.checkpoint} holds a {kind}, expected a tokenizer, generator or classifier of OmniJet-alpha"
    raise CheckpointError(msg)


def _inputs(*names: str) -> dict[str, Computed | Skipped]:
    return {name: Skipped("given to the model", is_input=True) for name in names}


# ---- tokenizers -----------------------------------------------------------------------------------------------------


def _tokenizer(model: VQVAE, golden: Golden) -> dict[str, Computed | Skipped]:
    import torch

    from jetlab.models.tokens import TokenSequences

    prepared, kept = _prepared(model, golden)
    x, mask = torch.from_numpy(golden["x"]), torch.from_numpy(golden["mask"])
    steps = _encoder_steps(model, x, mask)
    z = steps["z_e"]
    codes = model.quantizer.codes(z.flatten(0, 1)).view(mask.shape)
    vectors = model.quantizer.vectors()
    z_q = vectors[codes]
    steps |= {"z_q": z_q, "codebook": vectors} | _decoder_steps(model, z_q, mask)
    distances = torch.cdist(z.double(), vectors.double()).sort(-1).values
    commitment = (z - z_q).square().mean()  # both sides of the loss have this value
    reconstruction = (steps["x_reco"] - x).square().mean()
    steps |= {
        "code_dist": distances[..., 0],
        "code_margin": distances[..., 1] - distances[..., 0],
        "reco_loss": reconstruction,
        "vq_loss": commitment,
        "loss": reconstruction + model.alpha * commitment,
    }
    clear = golden["code_margin"] > SAFE_MARGIN
    found: dict[str, Computed | Skipped] = {name: Computed(values.numpy()) for name, values in steps.items()}
    found |= {
        "x": Computed(prepared),
        "mask": Computed(kept),
        "codes": Computed(codes.numpy(), clear, _share(clear)),
        "z_q": Computed(z_q.numpy(), clear, _share(clear)),
        "code_dist": Computed(steps["code_dist"].numpy(), note="theirs is rounded", tolerance=MARGIN),
        "code_margin": Computed(steps["code_margin"].numpy(), tolerance=MARGIN),
    }
    real = golden["mask"]
    offsets = np.concatenate([[0], np.cumsum(real.sum(1))])
    tokens = TokenSequences(codes.numpy()[real], offsets, model.codebook_size)
    theirs = TokenSequences(golden["tok_flat"], offsets, model.codebook_size) if "tok_flat" in golden else tokens
    found |= _sequences(tokens, clear, real) | _decoded(model, theirs)
    return found | _inputs(*_COLUMNS, "counts")


def _share(clear: npt.NDArray[np.bool_]) -> str:
    unclear = int((~clear).sum())
    return f"without {unclear} whose two nearest codes are equally near" if unclear else ""


def _prepared(model: VQVAE, golden: Golden) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Inputs from the physical columns by the recipe of the tokenizer, padded."""
    offsets = np.concatenate([[0], np.cumsum(golden["counts"])])
    columns = {ours: golden[theirs] for theirs, ours in _COLUMNS.items()}
    features = model.recipe.from_columns(offsets, columns, jets={})
    kept = np.diff(features.offsets)
    length = max(golden["mask"].shape[1], int(kept.max()))
    mask = np.arange(length) < kept[:, None]
    x = np.zeros((*mask.shape, model.recipe.width), np.float32)
    x[mask] = features.x
    return x, mask


def _encoder_steps(model: VQVAE, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
    z = model.latents(x, mask)
    if model.config.network == "mlp":
        return {"enc_out": z, "z_e": z}
    first = model.embed(x)
    h = first
    steps = {"in_proj": first}
    for i, block in enumerate(model.encoder.children()):
        h = block(h, mask)
        steps |= {"enc_block0": h} if i == 0 else {}
    h = h * mask[..., None]
    inner = model.config.network == "transformer"  # its stacks end with a projection
    return steps | {"enc_out": z * mask[..., None] if inner else h, "z_e": z * mask[..., None]}


def _decoder_steps(model: VQVAE, points: Tensor, mask: Tensor) -> dict[str, Tensor]:
    if model.config.network == "mlp":  # theirs decodes padding too
        import torch

        return {"x_reco": model.rebuild(points, torch.ones_like(mask))}
    first = model.from_latent(points)
    h = first
    for block in model.decoder.children():
        h = block(h, mask)
    return {"dec_in": first, "dec_out": h * mask[..., None], "x_reco": model.rebuild(points, mask)}


def _sequences(
    tokens: TokenSequences, clear: npt.NDArray[np.bool_], real: npt.NDArray[np.bool_]
) -> dict[str, Computed | Skipped]:
    ids, counts = ids_of_tokens(tokens)
    firm = clear[real]
    around = np.insert(firm, tokens.offsets[1:], True)
    around = np.insert(around, tokens.offsets[:-1] + np.arange(len(tokens)), True)
    return {
        "tok_counts": Computed(tokens.multiplicity),
        "tok_flat": Computed(tokens.codes, firm),
        "seq_counts": Computed(counts),
        "seq_flat": Computed(ids, around),
    }


def _decoded(model: VQVAE, tokens: TokenSequences) -> dict[str, Computed | Skipped]:
    """Constituents from stored codes."""
    x = model.decode_inputs(tokens)
    columns = {f.field: f.inverse(x[:, i]) for i, f in enumerate(model.recipe.features)}
    return {f"reco_{theirs}": Computed(columns[ours]) for theirs, ours in _COLUMNS.items()}


# ---- generators -----------------------------------------------------------------------------------------------------


def _generator(model: OmniJetAlpha, golden: Golden) -> dict[str, Computed | Skipped]:
    import torch

    codes = model.vocabulary.codes
    ids, mask = torch.from_numpy(our_ids(golden["ids"], codes)), torch.from_numpy(golden["mask"])
    first: list[Tensor] = []
    hook = next(model.gpt.blocks.children()).register_forward_hook(lambda *told: first.append(told[-1]))
    hidden = model.gpt(ids, mask=mask)
    hook.remove()
    logits = model.gpt.head(hidden)[..., _theirs_from_ours(codes)]
    targets = torch.from_numpy(golden["targets"])
    ce = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    found: dict[str, Computed | Skipped] = {
        name: Computed(values.numpy())
        for name, values in {
            "block0": first[0],
            "hidden": hidden,
            "logits": logits,
            "ce": ce,
            "loss": ce.mean(),
            "loss_valid_only": ce[mask].mean(),
            "logsumexp": logits.logsumexp(-1),
            "target_logit": logits.gather(-1, targets[..., None])[..., 0],
            "hidden_nomask": model.gpt(torch.from_numpy(our_ids(golden["full_prefix"], codes))),
        }.items()
    }
    found |= _written(model, golden)
    return found | _inputs("ids", "targets", "mask", "full_prefix", "uniforms", "prompts", "n_prompt_steps")


def _theirs_from_ours(codes: int) -> npt.NDArray[np.int64]:
    """Our output for each of theirs."""
    return np.argsort(our_outputs(codes))


def _written(model: OmniJetAlpha, golden: Golden) -> dict[str, Computed | Skipped]:
    """Sequences that the model writes, most probable ids and ids drawn with stored random numbers."""
    codes = model.vocabulary.codes
    steps = golden["greedy_ids"].shape[-1]
    greedy, greedy_margin = _write(model, np.zeros((1, 1), np.int64), steps)
    sampled, sampled_margin = _write(model, np.zeros((len(golden["uniforms"]), 1), np.int64), steps, golden["uniforms"])
    prompted, prompt_margin = _write(model, golden["prompts"], int(golden["n_prompt_steps"]))
    until_stop = [row[: _length(row, codes + 1)] for row in sampled]
    return {
        "greedy_ids": Computed(greedy[0]),
        "greedy_until_stop": Computed(np.concatenate([[0], greedy[0, : _length(greedy[0], codes + 1)]])),
        "greedy_min_margin": Computed(greedy_margin, tolerance=MARGIN),
        "sampled_ids": Computed(sampled),
        "sampled_counts": Computed([1 + len(row) for row in until_stop]),
        "sampled_flat": Computed(np.concatenate([np.concatenate([[0], row]) for row in until_stop])),
        "sampled_min_margin": Computed(sampled_margin, tolerance=MARGIN),
        "prompt_greedy_ids": Computed(np.concatenate([golden["prompts"], prompted], axis=1)),
        "prompt_min_margin": Computed(prompt_margin, tolerance=MARGIN),
    }


def _zeros(n: int) -> Tensor:
    import torch

    return torch.zeros(n, dtype=torch.int64)


def _length(row: npt.NDArray[np.int64], stop: int) -> int:
    return int(np.argmax(row == stop)) if (row == stop).any() else len(row)


def _write(
    model: OmniJetAlpha, prompts: npt.NDArray[np.int64], steps: int, uniforms: npt.NDArray[np.float64] | None = None
) -> tuple[npt.NDArray[np.int64], float]:
    """Continue prompts by so many ids without end at a stop, as the original does.

    Parameters
    ----------
    model : OmniJetAlpha
    prompts : ndarray of int, shape (n, t)
        In their ids.
    steps : int
    uniforms : ndarray, shape (n, steps), optional
        Random numbers: the id drawn is the first whose cumulated probability reaches them. Without, the most probable.

    Returns
    -------
    ndarray of int, shape (n, steps)
        In their ids.
    float
        By how little a choice was made: in logits, or in cumulated probability.
    """
    import torch

    codes = model.vocabulary.codes
    state, given = model.begin(_zeros(len(prompts))), our_ids(prompts, codes)
    logits = [model.step(torch.from_numpy(column), state) for column in given.T][-1]
    written, margins = [], []
    for t in range(steps):
        logits = logits[:, : model.vocabulary.outputs]  # codes and stop, in their order
        if uniforms is None:
            best = logits.topk(2).values
            chosen, margin = logits.argmax(1), (best[:, 0] - best[:, 1]).min()
        else:
            edges, drawn = logits.softmax(1).double().cumsum(1), torch.from_numpy(uniforms[:, t : t + 1].copy())
            chosen = torch.searchsorted(edges, drawn)[:, 0].clamp(max=codes)
            margin = (edges - drawn).abs().min()
        written.append(chosen.numpy() + 1)
        margins.append(float(margin))
        if t < steps - 1:
            logits = model.step(chosen, state)
    return np.stack(written, axis=1), min(margins)


# ---- classifiers ----------------------------------------------------------------------------------------------------


def _classifier(model: Tagger, golden: Golden) -> dict[str, Computed | Skipped]:
    import torch

    from jetlab.models.heads import ClassAttentionHead, SummationHead
    from jetlab.models.tokens import SequenceBatch

    gpt, head = model.backbone.gpt, model.head
    ids = torch.from_numpy(our_ids(golden["ids"], gpt.config.vocabulary.codes))
    mask, label = torch.from_numpy(golden["mask"]), torch.from_numpy(golden["labels"])
    batch = SequenceBatch(ids, mask, label)
    logits, encoding = model(batch), model.backbone.encode(batch)
    steps = {
        "hidden": gpt(ids, mask=mask),
        "logits": logits,
        "loss": torch.nn.functional.cross_entropy(logits, label),
    }
    if isinstance(head, SummationHead):
        steps["embedding_sum"] = head.summed(encoding)
    if isinstance(head, ClassAttentionHead):
        steps["class_tokens"] = head.tokens(encoding)
    found: dict[str, Computed | Skipped] = {name: Computed(values.numpy()) for name, values in steps.items()}
    return found | _inputs("ids", "mask", "labels")
