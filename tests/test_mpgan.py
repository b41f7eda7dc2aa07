"""The generators of MPGAN and their importer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import jetlab
from jetlab.errors import CheckpointError, JetLabError
from jetlab.evaluate.relative import relative_mass, relative_particles
from jetlab.models.mpgan import MAXIMA, MPGAN, MPGANConfig
from jetlab.zoo.importers import import_checkpoint
from jetlab.zoo.importers.mpgan import _PUBLISHED, _their_name
from jetlab.zoo.verify import verify
from jetlab.zoo.verify.golden import Golden

FOLDER = next((p / "shared" / "parity" / "mpgan" for p in Path(__file__).parents if (p / "shared").is_dir()), None)
needs_parity = pytest.mark.skipif(FOLDER is None, reason="the golden folders of MPGAN are not here")

TINY = MPGANConfig(
    jet="t", scales=(2.0, 0.5, 0.8), particles=6, noise=4, width=3, edge=(5, 7), node=(6,), rounds=3, slope=0.1
)


def random_net(config: MPGANConfig = TINY) -> MPGAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MPGAN(config).eval().requires_grad_(False)


def some_noise(n: int = 5, config: MPGANConfig = TINY) -> torch.Tensor:
    return torch.randn(n, config.particles, config.noise, generator=torch.Generator().manual_seed(1))


def published(folder: Path, *, args: object = None, **changed: torch.Tensor | None) -> Path:
    """Random tensors with the names and shapes of the published file; None leaves one out."""
    state = {_their_name(name): values for name, values in net_of_published_size().state_dict().items()}
    state = {name: values for name, values in (state | changed).items() if values is not None}
    torch.save(state, folder / "G.pt")
    if args is not None:
        (folder / "args.txt").write_text(args if isinstance(args, str) else repr(args))
    return folder / "G.pt"


def net_of_published_size() -> MPGAN:
    return random_net(MPGANConfig(jet="q", scales=MAXIMA["q"]))


# ---- the network ----------------------------------------------------------------------------------------------------


def test_each_round_is_what_the_paper_says() -> None:
    """Slot by slot, pair by pair: messages of real particles only, to all slots."""
    net, noise = random_net(), some_noise(3)
    counts = torch.tensor([1, 4, 6])
    relu = torch.nn.functional.leaky_relu
    for jet, count, found in zip(noise, counts, net(noise, counts), strict=True):
        real = {int(i) for i in jet[:, 0].argsort()[:count]}
        x = jet
        for part in net.rounds:
            rows = []
            for i in range(len(x)):
                total = torch.zeros(TINY.edge[-1])
                for j in real:
                    message = torch.cat([x[i], x[j]])
                    for layer in part.edge:
                        message = relu(layer(message), TINY.slope)
                    total = total + message
                hidden = relu(part.node[0](torch.cat([total, x[i]])), TINY.slope)
                rows.append(part.node[1](hidden))
            x = torch.stack(rows)
        x = (x.tanh() + torch.tensor([0, 0, 0.5])) * torch.tensor(TINY.scales)
        x[:, 2] = x[:, 2].clamp(min=0)
        for i in range(len(x)):
            expected = torch.tensor([*x[i], 1.0]) if i in real else torch.zeros(4)
            torch.testing.assert_close(found[i], expected, rtol=1e-5, atol=1e-6)


def test_a_jet_does_not_depend_on_its_company_nor_on_the_order_of_slots() -> None:
    net, noise = random_net(), some_noise(8)
    counts = torch.tensor([1, 2, 3, 4, 5, 6, 3, 4])
    together = net(noise, counts)
    torch.testing.assert_close(net(noise[4:5], counts[4:5]), together[4:5], rtol=1e-5, atol=1e-6)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(net(noise[order], counts[order]), together[order], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(net(noise.flip(1), counts), together.flip(1), rtol=1e-5, atol=1e-6)
    assert together[..., 3].sum(1).tolist() == counts.tolist()
    assert together[..., :3].var(0).max() > 0


def test_labels_are_cut_to_whole_numbers_in_float32() -> None:
    net = net_of_published_size()
    counts = torch.arange(1, 31)
    assert torch.equal(net.count_of(counts.float() / 30), counts.int())
    assert not torch.equal((((counts.float() / 30).double()) * 30).int(), counts.int())


def test_generated_jets_have_the_particles_asked_for() -> None:
    net = random_net()
    counts = np.arange(130) % 6 + 1
    jets = net.generate_relative(130, particles=counts, seed=3)
    assert jets.shape == (130, 6, 4)
    np.testing.assert_array_equal(jets[..., 3].sum(1), counts)
    np.testing.assert_array_equal(jets[jets[..., 3] == 0], 0)
    assert (jets[..., 2] >= 0).all()
    np.testing.assert_array_equal(net.generate_relative(130, particles=counts, seed=3), jets)
    assert not np.array_equal(net.generate_relative(130, particles=counts, seed=4), jets)
    np.testing.assert_array_equal(net.generate_relative(2, particles=4)[..., 3].sum(1), 4)


@pytest.mark.parametrize(
    ("n", "particles", "says"),
    [
        (0, 3, "n is 0, expected at least 1 jet"),
        (2, 7, "found jets of 7 to 7 particles, expected 1 to 6"),
        (2, [0, 3], "found jets of 0 to 3 particles"),
        (2, [1, 2, 3], r"shape \(3,\) and kind int64, expected one whole number or one for each of the 2 jets"),
        (2, 2.5, "kind float64, expected one whole number"),
    ],
)
def test_numbers_of_particles_that_make_no_sense_are_refused(n: int, particles: object, says: str) -> None:
    with pytest.raises(JetLabError, match=says):
        random_net().generate_relative(n, particles=particles)


def test_noise_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise of shape \(5, 6, 3\).*expected \(B, 6, 4\) and \(B,\)"):
        random_net()(some_noise()[..., :3], torch.full((5,), 3))


def test_the_published_size_and_the_way_through_json_and_a_folder(tmp_path: Path) -> None:
    assert sum(p.numel() for p in net_of_published_size().parameters()) == 361_123
    assert MPGANConfig.from_dict(json.loads(json.dumps(TINY.to_dict()))) == TINY
    net = random_net()
    jetlab.save_pretrained(net, tmp_path / "net")
    back = jetlab.from_pretrained(tmp_path / "net")
    assert back.config == TINY
    np.testing.assert_array_equal(back.generate_relative(5, particles=3), net.generate_relative(5, particles=3))


# ---- the published files --------------------------------------------------------------------------------------------


@needs_parity
@pytest.mark.parametrize("name", ["mp_t", "mp_g", "mp_q"])
def test_published_generators_make_the_published_jets(name: str) -> None:
    table = verify(FOLDER / name)
    assert set(table["status"]) == {"pass", "input"}
    assert set(table.index[table["status"] == "input"]) == {"noise", "labels", "n_requested", "mid_index"}


@needs_parity
def test_jets_of_a_published_generator_are_as_the_measures_take_them() -> None:
    golden = Golden.read(FOLDER / "mp_t")
    net = jetlab.from_pretrained(golden.checkpoint)
    assert (net.config.jet, net.config.scales) == ("t", tuple(golden.meta["feature_maxes"]))
    jets = net.generate_relative(100, particles=np.arange(100) % 30 + 1)
    x = relative_particles(jets)
    np.testing.assert_allclose(x.sum((1, 2)), jets[..., :3].sum((1, 2)), rtol=1e-5, atol=1e-5)
    full = relative_particles(net.generate_relative(100, particles=30))
    assert 0.7 < np.median(full[..., 2].sum(1)) < 1.1  # pT of a jet, relative to itself
    assert 0.1 < np.median(relative_mass(full)) < 0.25  # tops


def test_files_without_args_need_the_class_of_jets(tmp_path: Path) -> None:
    path = published(tmp_path)
    with pytest.raises(CheckpointError, match=r"does not say which class of jets.*settings=.'jet'.*one of g, q, t"):
        import_checkpoint(path)
    with pytest.raises(
        CheckpointError, match=r"class of jets of .* is 'w' in the setting jet; expected one of g, q, t"
    ):
        import_checkpoint(path, settings={"jet": "w"})
    net = jetlab.from_pretrained(path, settings={"jet": "q"})
    assert net.config == net_of_published_size().config
    expected = net_of_published_size().generate_relative(3, particles=9)
    np.testing.assert_array_equal(net.generate_relative(3, particles=9), expected)


def test_args_say_what_the_tensors_do_not(tmp_path: Path) -> None:
    args = _PUBLISHED | {"jets": "g", "sd": 0.3, "leaky_relu_alpha": 0.1}
    path = published(tmp_path, args=args)
    config = import_checkpoint(path).config
    assert (config.jet, config.scales, config.spread, config.slope) == ("g", MAXIMA["g"], 0.3, 0.1)
    with pytest.raises(CheckpointError, match=r"'g' in args.txt, 't' in the setting jet"):
        import_checkpoint(path, settings={"jet": "t"})


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (_PUBLISHED | {"jets": "g", "sum": False}, r"another model than the published MPGAN: sum \(False, expected Tr"),
        ({"jets": "g", "num_hits": 150}, r"num_hits \(150, expected 30\)"),
        ({"jets": "g", "sd": "wide"}, "have sd 'wide', expected a number"),
        ({"jets": ["g"]}, r"is \['g'\] in args.txt"),
        ([1], "holds a list, expected a dictionary"),
        ("{'jets': open('x')}", "cannot be read as one dictionary of plain values"),
        ("{'jets': ", "cannot be read as one dictionary of plain values"),
        ("[" * 50_000, "cannot be read as one dictionary of plain values"),
        (" " * 100_001, "100,001 bytes, more than the 100,000"),
    ],
)
def test_args_of_other_models_and_damaged_ones_are_refused(tmp_path: Path, args: object, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        import_checkpoint(published(tmp_path, args=args))


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    changed = {
        "mp_layers.1.fn.net.1.weight": None,
        "mp_layers.0.fe.net.1.weight": torch.zeros(160, 95),
        "lfc_layer.weight": torch.zeros(3),
    }
    path = published(tmp_path, args={"jets": "t"}, **changed)
    with pytest.raises(CheckpointError, match="generator of MPGAN") as e:
        import_checkpoint(path)
    for fault in (
        "mp_layers.1.fn.net.1.weight (missing)",
        "mp_layers.0.fe.net.1.weight (shape (160, 95), expected (160, 96))",
        "lfc_layer.weight (unexpected)",
    ):
        assert fault in str(e.value)


def test_layers_that_lack_altogether_are_named(tmp_path: Path) -> None:
    lacking = {f"mp_layers.0.fn.net.{k}.{kind}": None for k in range(3) for kind in ("weight", "bias")}
    with pytest.raises(CheckpointError, match=r"lack mp_layers.0.fn.net.0.weight"):
        import_checkpoint(published(tmp_path, args={"jets": "t"}, **lacking))
    lacking = {"mp_layers.0.fe.net.0.weight": None}
    with pytest.raises(CheckpointError, match=r"lack mp_layers.0.fe.net.0.weight"):
        import_checkpoint(published(tmp_path, args={"jets": "t"}, **lacking))
