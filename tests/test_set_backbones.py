"""DeepSets and the plain transformer: order and padding do not matter, and taggers stand on them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from jetlab.batches import ParticleBatch, ParticleSet
from jetlab.models.deepsets import DeepSets, DeepSetsConfig
from jetlab.models.particle_transformer import ParticleTransformer, ParticleTransformerConfig
from jetlab.models.tagger import Tagger, TaggerConfig

from .toys import toy_jets

NETWORKS = {
    "deepsets": (DeepSets, DeepSetsConfig),
    "transformer": (ParticleTransformer, ParticleTransformerConfig),
}


@pytest.fixture(params=NETWORKS)
def backbone(request: pytest.FixtureRequest) -> torch.nn.Module:
    network, config = NETWORKS[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return network(config.preset("tiny")).eval()


def batch_of(backbone: torch.nn.Module) -> ParticleBatch:
    return ParticleSet(toy_jets(6), backbone.config.recipe).batch(np.arange(6))


@torch.no_grad()
def test_encoding_keeps_the_contract(backbone: torch.nn.Module) -> None:
    batch = batch_of(backbone)
    particles, jet, mask, _ = backbone.encode(batch)
    assert particles.shape[:2] == batch.mask.shape
    assert jet.shape == (6, backbone.config.width)
    assert torch.equal(mask, batch.mask)
    assert not particles[~mask].any()


@torch.no_grad()
def test_jets_do_not_depend_on_padding_or_order(backbone: torch.nn.Module) -> None:
    batch = batch_of(backbone)
    expected = backbone.encode(batch).jet
    wide = ParticleBatch(
        torch.nn.functional.pad(batch.x, (0, 0, 0, 3), value=7.0), torch.nn.functional.pad(batch.mask, (0, 3))
    )
    torch.testing.assert_close(backbone.encode(wide).jet, expected, rtol=1e-4, atol=1e-5)
    turned = ParticleBatch(batch.x.flip(1), batch.mask.flip(1))
    torch.testing.assert_close(backbone.encode(turned).jet, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_empty_jets_are_finite(backbone: torch.nn.Module) -> None:
    batch = ParticleBatch(torch.zeros(2, 4, 3), torch.zeros(2, 4, dtype=torch.bool))
    assert backbone.encode(batch).jet.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("preset", ["published", "tiny"])
def test_taggers_stand_on_them_and_are_rebuilt_from_their_configuration(name: str, preset: str) -> None:
    tagger = Tagger(TaggerConfig(NETWORKS[name][1].preset(preset), hidden=())).eval()
    again = Tagger.from_config(json.loads(json.dumps(tagger.config_dict()))).eval()
    assert again.config == tagger.config
    again.load_state_dict(tagger.state_dict())
    batch = batch_of(tagger.backbone)
    with torch.no_grad():
        torch.testing.assert_close(again(batch), tagger(batch))
    assert tagger(batch).shape == (6, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_unknown_presets_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected one of published, tiny"):
        NETWORKS[name][1].preset("huge")
