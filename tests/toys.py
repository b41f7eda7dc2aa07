"""Small random jets and models for tests: no physics, only the right shapes and units."""

from __future__ import annotations

import numpy as np

from jetlab.jets import Jets
from jetlab.models.gpt import GPTConfig
from jetlab.models.jetflow import JetFlow, JetFlowConfig
from jetlab.models.omnijet import OmniJet, OmniJetConfig
from jetlab.models.prompts import PromptConfig
from jetlab.models.tokenizers import VQVAEConfig
from jetlab.models.tokens import Vocabulary
from jetlab.vocabulary import CLASSES


def toy_jets(n: int = 60, *, seed: int = 0, low: int = 3, high: int = 20) -> Jets:
    """Jets of 500 to 1000 GeV around random axes, classes in turn."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(low, high, n)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    m = offsets[-1]
    share = rng.exponential(size=m)
    share /= np.repeat(np.add.reduceat(share, offsets[:-1]), counts)
    axis = {"eta": rng.uniform(-1.5, 1.5, n), "phi": rng.uniform(-np.pi, np.pi, n)}
    columns = {
        "pt": share * np.repeat(rng.uniform(500, 1000, n), counts),
        "eta": np.repeat(axis["eta"], counts) + rng.normal(0, 0.12, m),
        "phi": np.repeat(axis["phi"], counts) + rng.normal(0, 0.12, m),
        "mass": np.zeros(m),
    }
    return Jets.from_flat(offsets, columns, label=np.arange(n) % len(CLASSES))


def toy_config(*, codes: int = 16, classes: tuple[str, ...] = CLASSES) -> OmniJetConfig:
    """Smallest useful OmniJet: trains in seconds, generates in milliseconds."""
    vocabulary = Vocabulary(codes)
    return OmniJetConfig(
        VQVAEConfig(width=16, depth=1, heads=2, codebook_size=codes),
        PromptConfig(classes=len(classes), bins=8, width=8),
        GPTConfig(vocabulary.inputs, vocabulary.outputs, width=16, depth=2, heads=2, max_length=40),
        classes,
    )


def identified_jets(n: int = 60) -> Jets:
    """Toy jets whose constituents have charge, type and impact parameters."""
    jets, rng = toy_jets(n), np.random.default_rng(1)
    m = jets.offsets[-1]
    ptype = rng.integers(0, 5, m)
    columns = {f: jets.flat(f) for f in jets.fields} | {
        "charge": np.where(np.isin(ptype, (0, 3, 4)), rng.choice([-1, 1], m), 0),
        "ptype": ptype,
        "d0": rng.normal(0, 0.5, m),
        "d0err": rng.uniform(0, 0.3, m),
        "dz": rng.normal(0, 0.5, m),
        "dzerr": rng.uniform(0, 0.3, m),
    }
    return Jets.from_flat(jets.offsets, columns, label=jets.label)


def toy_omnijet(*, seed: int = 0) -> OmniJet:
    """Untrained toy model with its buffers filled from toy jets."""
    import torch

    from jetlab.tasks.omnijet import token_set

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OmniJet(toy_config())
    jets = toy_jets(100)
    model.prompts.set_edges(jets)
    token_set(model, jets, learn_momenta=True)
    return model.eval()


def toy_jetflow(*, network: str = "omnilearned", seed: int = 0) -> JetFlow:
    """An untrained model of flows, whose prompts have the range of toy jets."""
    import torch

    jets = identified_jets(40)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = JetFlow(JetFlowConfig.preset("tiny", classes=jets.classes, network=network))
    model.prompts.set_edges(jets)
    model.learn_range(model.prepare(jets))
    return model.eval()
