"""Official files are read as data: whatever they ask for, nothing of it happens."""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from jetlab.errors import CheckpointError
from jetlab.zoo.importers.checkpoint import plain, read_checkpoint
from jetlab.zoo.importers.inert import Described, Name, read_instructions


class Call:
    """Asks its reader to call something."""

    def __init__(self, called: object, *arguments: object) -> None:
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.called, self.arguments


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def archive(path: Path, instructions: bytes, **entries: bytes) -> Path:
    """A file as torch.save writes them, with these instructions."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        made.writestr("archive/data.pkl", instructions)
        for name, data in entries.items():
            made.writestr(f"archive/data/{name.removeprefix('n')}", data)
    return path


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_tensors_of_every_kind_and_form_are_those_that_were_saved(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "plain": base,
        "turned": base.T,
        "part": base[1:3, ::2],
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        **{
            str(t): torch.arange(5).to(t)
            for t in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8)
        },
        "bool": torch.tensor([True, False]),
    }
    found = read_checkpoint(saved(state, tmp_path / "x.pt")).state
    assert list(found) == list(state)
    for name, values in state.items():
        assert found[name].dtype == values.dtype
        assert torch.equal(found[name], values), name


def test_what_stands_beside_the_weights_can_be_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partials, settings of OmegaConf and classes that are not installed, as Lightning saves them."""
    foreign = types.ModuleType("omegaconf.dictconfig")
    foreign.DictConfig = type("DictConfig", (), {"__module__": "omegaconf.dictconfig"})
    foreign.AnyNode = type("AnyNode", (), {"__module__": "omegaconf.dictconfig"})
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, "omegaconf.dictconfig", foreign)
    settings, width = foreign.DictConfig(), foreign.AnyNode()
    width._val = 32
    settings._content, settings._parent = {"width": width, "names": ["a", "b"]}, settings
    content = {
        "state_dict": OrderedDict(a=torch.ones(2)),
        "epoch": 3,
        "hyper_parameters": {"optimizer": functools.partial(torch.optim.AdamW, lr=1e-3), "model_kwargs": settings},
    }
    path = saved(content, tmp_path / "x.ckpt")
    monkeypatch.undo()
    assert "omegaconf" not in sys.modules
    checkpoint = read_checkpoint(path)
    assert list(checkpoint.state) == ["a"]
    assert checkpoint.beside["epoch"] == 3
    optimizer = checkpoint.beside["hyper_parameters"]["optimizer"]
    assert isinstance(optimizer, Described)
    assert optimizer.arguments == (Name("torch.optim.adamw.AdamW"),)
    assert optimizer.state[2] == {"lr": 1e-3}
    assert plain(checkpoint.beside["hyper_parameters"]) == {
        "optimizer": "functools.partial",
        "model_kwargs": {"width": 32, "names": ["a", "b"]},
    }
    assert "omegaconf" not in sys.modules


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_understood(protocol: int) -> None:
    content = {"n": [1, -2, 2**40, 1.5, None, True], "t": (("a",), b"b", "ü"), "d": OrderedDict(), "s": {1, 2}}
    found = read_instructions(pickle.dumps(content, protocol))
    assert found["n"] == content["n"]
    assert found["t"][0] == ("a",)
    assert found["t"][2] == "ü"
    assert found["d"] == {}
    assert isinstance(found["s"], Described)


# ---- hostile files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["state_dict", "beside", "alone"])
@pytest.mark.parametrize("call", ["system", "eval", "open", "import"])
def test_calls_are_never_made(call: str, place: str, tmp_path: Path) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "x.ckpt"
    trap = {
        "system": Call(os.system, f"touch {sprung}"),
        "eval": Call(eval, f"open({str(sprung)!r}, 'w').close()"),
        "open": Call(open, str(sprung), "w"),
        "import": Call(__import__, "antigravity"),
    }[call]
    content = {
        "state_dict": {"state_dict": OrderedDict(a=torch.ones(2), b=trap)},
        "beside": {"state_dict": OrderedDict(a=torch.ones(2)), "hyper_parameters": {"optimizer": trap}},
        "alone": trap,
    }[place]
    torch.save(content, path)
    if place == "beside":
        assert isinstance(read_checkpoint(path).beside["hyper_parameters"]["optimizer"], Described)
    else:
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
    assert not sprung.exists()
    assert "antigravity" not in sys.modules


def test_an_object_that_builds_itself_stays_a_description() -> None:
    """Old instructions that make instances, and states that would be set."""
    for instructions in (
        b"(S'touch sprung'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch sprung'\no.",  # OBJ
        b"cos\nsystem\n(S'touch sprung'\ntR(dS'x'\nS'y'\nsb.",  # REDUCE and BUILD
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x06sprung\x85R.",  # STACK_GLOBAL
    ):
        found = read_instructions(instructions)
        assert isinstance(found, Described)
        assert found.kind == "os.system"


@pytest.mark.parametrize(
    "instructions",
    [
        b"",
        b"garbage",
        b"\x80\x02}q\x00",  # no end
        b"\x80\x02.",  # nothing to give
        b"0.",
        b"\x80\x02(K\x01a.",  # append to nothing
        b"\x80\x02]K\x01K\x02s.",  # a list filled like a dictionary
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02h\x07.",  # something never kept
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x05\x97.",  # buffers from outside
        b"Pname\n.",  # persistent text
        b"\x80\x02K\x01Q.",  # a storage that is none
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",  # a tensor of nothing
        b"\x80\x02\x8a\xff" + b"\x01" * 3,  # a number cut short
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # a number of two gigabytes
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # bytes without end
        b"I" + b"9" * 10_000 + b"\n.",  # more digits than are ever converted
        b"\x80\x02}(\x8a\x09" + b"\xff" * 8 + b"\x1fK\x01u.",  # keys that are made to collide
        b"\x80\x02}(" + b")\x85" * 2 + b"K\x01u.",  # keys that nest
    ],
)
def test_nonsense_is_refused(instructions: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        read_checkpoint(archive(tmp_path / "x.pt", instructions))


def test_deep_brackets_neither_crash_nor_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."
    with pytest.raises(CheckpointError, match="holds a list"):
        read_checkpoint(archive(tmp_path / "x.pt", deep))
    tuples = b"\x80\x02)" + b"\x85" * 100_000 + b"."
    with pytest.raises(CheckpointError, match="holds a tuple"):
        read_checkpoint(archive(tmp_path / "y.pt", tuples))
    monkeypatch.setattr("jetlab.zoo.importers.inert.MAX_STEPS", 1000)
    with pytest.raises(CheckpointError, match="more than 1,000 instructions"):
        read_checkpoint(tmp_path / "y.pt")


def test_settings_that_repeat_themselves_without_end_are_refused() -> None:
    """A list of ten times a list of ten times a list, and a list within itself."""
    bomb: list[object] = []
    for _ in range(30):
        bomb = [bomb] * 10
    with pytest.raises(CheckpointError, match="more than 10000 entries"):
        plain(read_instructions(pickle.dumps(bomb, 2)))
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(CheckpointError, match="nested more than 40 deep"):
        plain(read_instructions(pickle.dumps(endless, 2)))


def tensor_instructions(*, length: int = 4, offset: int = 0, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A dictionary with one tensor, whatever it says of itself."""

    class Storage:
        pass

    class Writer(pickle.Pickler):
        def persistent_id(self, thing: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", length) if isinstance(thing, Storage) else None

    buffer = io.BytesIO()
    tensor = Call(torch._utils._rebuild_tensor_v2, Storage(), offset, shape, stride, False, OrderedDict())
    Writer(buffer, 2).dump({"a": tensor})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"shape": (2**40,), "stride": (0,)}, "reach beyond"),
        ({"shape": (5,), "stride": (1,)}, "reach beyond"),
        ({"shape": (2, 2), "stride": (1,)}, "reach beyond"),
        ({"shape": (4,), "stride": (1,), "offset": 1}, "reach beyond"),
        ({"shape": (2,), "stride": (2**62,)}, "reach beyond"),
        ({"shape": (0, 2**62), "stride": (1, 1)}, "reach beyond"),
        ({"shape": (1,) * 20, "stride": (1,) * 20}, "reach beyond"),
        ({"shape": (-1,), "stride": (1,)}, "described wrongly"),
        ({"shape": (2,), "stride": (-1,)}, "described wrongly"),
        ({"shape": (2,), "stride": (1,), "length": 2**40}, "bytes, expected"),
    ],
)
def test_tensors_that_are_larger_than_their_numbers_are_refused(said: dict, message: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", tensor_instructions(**said), n0=np.ones(4, "f4").tobytes())
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_tensor_within_its_numbers_is_read(tmp_path: Path) -> None:
    numbers = np.arange(4, dtype="f4")
    path = archive(tmp_path / "x.pt", tensor_instructions(shape=(2, 2), stride=(1, 2)), n0=numbers.tobytes())
    assert read_checkpoint(path).state["a"].tolist() == [[0, 2], [1, 3]]


def test_entries_that_lack_are_packed_repeat_or_overlap_are_refused(tmp_path: Path) -> None:
    told = tensor_instructions(shape=(4,), stride=(1,))
    with pytest.raises(CheckpointError, match="lacks archive/data/0"):
        read_checkpoint(archive(tmp_path / "a.pt", told))
    with zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", told)
        packed.writestr("archive/data/0", b"\0" * 10_000_000)
    with pytest.raises(CheckpointError, match="packed entries"):
        read_checkpoint(tmp_path / "b.pt")
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as twice:
        twice.writestr("archive/data.pkl", told)
        with pytest.warns(UserWarning, match="Duplicate"):
            twice.writestr("archive/data.pkl", told)
    with pytest.raises(CheckpointError, match="several entries of the same name"):
        read_checkpoint(tmp_path / "c.pt")
    path = archive(tmp_path / "d.pt", told, n0=np.ones(4, "f4").tobytes())
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")  # the size of the last entry in the directory
    data[place + 20 : place + 28] = (2**31).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="larger than the file"):
        read_checkpoint(path)


def test_endless_instructions_and_big_endian_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jetlab.zoo.importers.checkpoint.MAX_INSTRUCTIONS", 1000)
    with pytest.raises(CheckpointError, match=r"take 1,003 bytes, more than 1,000"):
        read_checkpoint(archive(tmp_path / "x.pt", b"\x80\x02" + b"N" * 1000 + b"."))
    with zipfile.ZipFile(tmp_path / "y.pt", "w") as made:
        made.writestr("a/data.pkl", b"\x80\x02}.")
        made.writestr("a/byteorder", b"big")
    with pytest.raises(CheckpointError, match="byte order, expected little"):
        read_checkpoint(tmp_path / "y.pt")


def test_a_file_cut_short_anywhere_raises_our_error(tmp_path: Path) -> None:
    saved({"state_dict": {"a": torch.arange(100.0)}, "epoch": 1}, tmp_path / "x.ckpt")
    whole = (tmp_path / "x.ckpt").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.ckpt").write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "cut.ckpt")


def test_flipped_bits_are_noticed(tmp_path: Path) -> None:
    saved({"state_dict": {"a": torch.arange(100.0)}}, tmp_path / "x.ckpt")
    data = bytearray((tmp_path / "x.ckpt").read_bytes())
    data[data.index(np.arange(100, dtype="f4").tobytes()) + 50] ^= 16
    (tmp_path / "x.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match="Bad CRC-32"):
        read_checkpoint(tmp_path / "x.ckpt")
