"""OmniLearned against stored outputs of the original: models for every task, and the generator of jets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import CheckpointError
from jetlab.zoo.verify.golden import Computed, Golden, Skipped, Tolerance

if TYPE_CHECKING:
    from torch import Tensor, nn

    from jetlab.batches import ParticleBatch
    from jetlab.models.mlpgen import MLPGen
    from jetlab.models.omnilearned import OmniLearned

__all__ = ["DEFAULT", "SYSTEM", "results", "settings"]

SYSTEM = "omnilearned"

DEFAULT = Tolerance(relative=5e-6, absolute=1e-6)
"""Ten times what other attention kernels, which add in another order, change: 5e-7 of the largest number."""

_INPUTS = ("x", "y", "counts", "loss_sel", "pid", "add_info", "cond", "time", "eps", "y_feat")
_INPUTS_OF_GENERATION = ("gen_x0", "gen_tgrid", "gen_pid", "gen_add_info")
_EVENTS = 200
"""First class of events in the published pretraining; those before are of jets."""


def settings(golden: Golden) -> dict[str, Any]:
    """What the checkpoint does not say, from the arguments with which the original was made."""
    told = golden.meta.get("model_kwargs", {})
    names = {"heads": "num_heads", "neighbours": "K", "coordinates": "num_coord"}
    return {ours: told[theirs] for ours, theirs in names.items() if theirs in told}


def results(model: nn.Module, golden: Golden) -> dict[str, Computed | Skipped]:
    """What we compute for the stored arrays.

    Raises
    ------
    CheckpointError
        If the model is of another kind than the arrays.
    """
    from jetlab.models.mlpgen import MLPGen
    from jetlab.models.omnilearned import OmniLearned

    inputs = {name: Skipped("given to the model", is_input=True) for name in (*_INPUTS, *_INPUTS_OF_GENERATION)}
    if isinstance(model, MLPGen):
        return inputs | _jets(model, golden)
    if isinstance(model, OmniLearned):
        return inputs | _model(model, golden)
    msg = f"{golden.checkpoint} holds a {type(model).__name__}, expected a model of OmniLearned"
    raise CheckpointError(msg)


def _computed(values: dict[str, Tensor]) -> dict[str, Computed | Skipped]:
    return {name: Computed(tensor.numpy()) for name, tensor in values.items()}


# ---- jets and their particles ---------------------------------------------------------------------------------------


def _model(model: OmniLearned, golden: Golden) -> dict[str, Computed | Skipped]:
    import torch

    clean = _batch(golden, "x")
    steps = {"mask": clean.mask} | _steps(model, clean, "x", torch.zeros(len(clean.x)))
    label = _label(golden)
    task = model.config.task
    if model.classifier is not None:
        steps["cls_fc_x"] = model.classifier.read(model.body.tokenize(clean))
        steps["y_pred"] = model(clean)
    if task in ("segmentation", "ftag"):
        steps["z_pred"] = model.segment(clean, label)
    if task in ("generator", "pretrain"):
        steps |= _noisy(model, golden, clean, label) | _generated(model.generating, golden, label)
    return _computed(steps | (_losses(golden, steps) if "loss_sel" in golden else {}))


def _batch(golden: Golden, x: str, *, prefix: str = "", mask: str | None = None) -> ParticleBatch:
    """Jets of a stored array; the original takes log pT = 0 for padding."""
    import torch

    from jetlab.batches import ParticleBatch

    particles = golden[x]
    columns = [particles]
    columns += [golden[f"{prefix}pid"][..., None].astype(np.float32)] if f"{prefix}pid" in golden else []
    columns += [golden[f"{prefix}add_info"]] if f"{prefix}add_info" in golden else []
    real = particles[..., 2] != 0 if mask is None else golden[mask]
    cond = torch.from_numpy(golden["cond"]) if "cond" in golden else None
    joined = torch.from_numpy(np.concatenate(columns, axis=-1))
    return ParticleBatch(joined, torch.from_numpy(real), cond=cond)


def _label(golden: Golden) -> Tensor | None:
    import torch

    return torch.from_numpy(golden["y"]) if golden["y"].dtype == np.int64 else None


def _steps(model: OmniLearned, batch: ParticleBatch, which: str, time: Tensor) -> dict[str, Tensor]:
    """Steps within the body, by the names of their arrays."""
    body, mask = model.body, batch.mask
    c = body.config
    features, code, further = batch.x.split([c.features, bool(c.types), c.extra], -1)
    local = body.local(features, mask)
    steps = {
        "embed": body.embed(features, norm=body.norm_in) * mask[..., None],
        "local": local.new_zeros(*mask.shape, c.width).index_put((mask,), local),
    }
    if c.pair_bias:
        steps["pair_bias"] = body.pairs(features, mask).permute(0, 3, 1, 2).flatten(0, 1)
    if c.types:
        steps["pid_embed"] = body.codes(code[..., 0].long())
    if c.extra:
        steps["add_embed"] = body.extra(further)
    if c.conditions:
        steps["cond_embed"] = body.condition(batch.cond)
    if c.timed:
        steps |= {"MPFourier": body.waves(time), "time_embed": body.time(body.waves(time))}
    first: list[Tensor] = []
    hook = next(body.blocks.children()).register_forward_hook(lambda *told: first.append(told[-1]))
    tokens = body.tokenize(batch, time if c.timed else None)
    hook.remove()
    steps |= {"body_block0": first[0] * tokens.mask[..., None], "body": tokens.x}
    return {f"{which}_{name}": values for name, values in steps.items()}


def _noisy(model: OmniLearned, golden: Golden, clean: ParticleBatch, label: Tensor | None) -> dict[str, Tensor]:
    """Noisy jets at the stored times, and what both heads make of them."""
    from dataclasses import replace

    import torch

    time, noise = torch.from_numpy(golden["time"]), torch.from_numpy(golden["eps"])
    x = clean.x[..., : model.features_generated]
    share = time[:, None, None]
    z = (1 - share) * x + share * noise
    noisy = replace(clean, x=torch.cat([z, clean.x[..., model.features_generated :]], -1))
    out = model.denoise(noisy, time, label)
    steps = {"z": z, "v": noise - x, "z_pred": out.velocity, "alpha_sq": (1 - time).square()}
    if model.classifier is not None and out.logits is not None:
        steps["y_perturb"] = out.logits
        steps["cls_fc_z"] = model.classifier.read(model.body.tokenize(noisy, time))
    return steps | _steps(model, noisy, "z", time)


def _generated(model: OmniLearned, golden: Golden, label: Tensor | None) -> dict[str, Tensor]:
    """Jets by the published sampler, from the stored noise."""
    from dataclasses import replace

    import torch

    from jetlab.samplers.flow import integrate

    batch = _batch(golden, "gen_x0", prefix="gen_", mask="gen_mask")
    calls: list[Tensor] = []

    def velocity(x: Tensor, time: Tensor) -> Tensor:
        whole = torch.cat([x, batch.x[..., model.features_generated :]], -1)
        found = model.denoise(replace(batch, x=whole), time.expand(len(x)), label).velocity
        calls.append(found)
        return found

    start, times = batch.x[..., : model.features_generated], torch.from_numpy(golden["gen_tgrid"])
    end = integrate(velocity, start, times)
    number = (100 * batch.cond[:, -1]).long() if batch.cond is not None else batch.mask.sum(1)
    real = torch.arange(batch.mask.shape[1]) < number[:, None]
    return {
        "gen_result": end,
        "gen_v_first": calls[0],
        "gen_v_last": calls[-1],
        "gen_nparts": number,
        "gen_mask": real,
    }


# ---- losses ---------------------------------------------------------------------------------------------------------


def _losses(golden: Golden, steps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses of the jets on which they are stored: all but the empty ones."""
    import torch

    rows = torch.from_numpy(golden["loss_sel"])
    held = {name: values[rows] for name, values in steps.items() if len(values) == len(golden["y"])}
    y = torch.from_numpy(golden["y"])[rows]
    found = _terms(held, y)
    if "loss_event" in golden:
        events, contrastive = _terms(held, y, events=_EVENTS), _terms(held, y, events=_EVENTS, contrastive=True)
        found |= {f"{name}_event": value for name, value in events.items()}  # in its place: loss_class of jets alone
        found |= {f"{name}_event_clip": value for name, value in contrastive.items()}
    return found


def _terms(
    held: dict[str, Tensor], y: Tensor, *, events: int | None = None, contrastive: bool = False
) -> dict[str, Tensor]:
    """Parts of the published loss and their sum, by the names that its log has."""
    import torch

    from jetlab.objectives.denoising import velocity_loss
    from jetlab.objectives.flow import contrastive_losses

    none = torch.zeros(())
    terms = {f"loss_{name}": none for name in ("class", "class_event", "gen", "clip")}
    for name, share in (("y_pred", None), ("y_perturb", held.get("alpha_sq"))):
        if name in held:
            jets, of_events = _class_terms(held[name], y, share, events)
            terms["loss_class"] = terms["loss_class"] + jets
            terms["loss_class_event"] = terms["loss_class_event"] + of_events
    if "v" in held:
        counted = held["v"][..., 0] != 0  # also particles of log pT = 0, which the network never sees
        terms["loss_gen"] = velocity_loss(held["z_pred"], held["v"], counted, mean_over="jets")
    if contrastive:
        each = contrastive_losses(held["x_body"].flatten(1), held["z_body"].flatten(1))
        terms["loss_clip"] = held["alpha_sq"].mean() * each.mean()
    return terms | {"loss": torch.stack(list(terms.values())).sum()}


def _class_terms(logits: Tensor, y: Tensor, share: Tensor | None, events: int | None) -> tuple[Tensor, Tensor]:
    """Losses of jets and of events, or the squared error of numbers that are estimated."""
    import torch
    import torch.nn.functional as F

    from jetlab.objectives.denoising import class_weights, own_classes

    if y.is_floating_point():
        return F.mse_loss(logits, y), torch.zeros(())
    losses = F.cross_entropy(own_classes(logits, y, events), y, reduction="none")
    for weight in (class_weights(y, logits.shape[1], "balanced"), share):
        losses = losses if weight is None else losses * weight
    if events is None:
        return losses.mean(), torch.zeros(())
    return losses[y < events].mean(), losses[y >= events].mean()


# ---- jets alone -----------------------------------------------------------------------------------------------------


def _jets(model: MLPGen, golden: Golden) -> dict[str, Computed | Skipped]:
    import torch

    from jetlab.samplers.flow import integrate

    cond = torch.from_numpy(golden["cond"])
    x, time = torch.from_numpy(golden["y_feat"]), torch.from_numpy(golden["time"])
    averaged = model.generating

    def velocity(state: Tensor, now: Tensor) -> Tensor:
        return averaged(state, now.expand(len(state)), cond)

    end = integrate(velocity, torch.from_numpy(golden["gen_x0"]), torch.from_numpy(golden["gen_tgrid"]))
    return _computed({"v_pred": model(x, time, cond), "v_pred_ema": averaged(x, time, cond), "gen_result": end})
