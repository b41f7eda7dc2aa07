"""Files of ``torch.save`` read as data: tensors and plain containers, and everything else as a description of itself.

PyTorch writes a program for a small machine (the pickle format) that makes objects again when it runs, any objects,
with any consequences. The reader here runs no such program. It goes through the instructions and notes what each would
make: a named thing stays a name, a call stays a name with its arguments. So no import, no class and no function that a
file names is ever touched, and what surrounds the weights, such as the settings of a training, can still be looked up.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from jetlab.errors import CheckpointError

__all__ = ["Described", "Name", "Storage", "StoredTensor", "read_instructions"]

MAX_STEPS = 1_000_000
"""Instructions that are followed: a model of a thousand tensors with its optimizer takes a tenth."""


@dataclass(frozen=True)
class Name:
    """Something that a file names, such as a class: only the words, as in ``torch.optim.adamw.AdamW``."""

    words: str


@dataclass(eq=False)
class Described:
    """An object that a file describes: what would be called, with which arguments, and what would be put into it."""

    kind: str
    arguments: Any = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Storage:
    """A block of numbers in the archive: the name of its kind, of its entry, and how many numbers it says it has."""

    kind: str
    key: str
    length: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that a file describes: a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def read_instructions(data: bytes | BinaryIO, *, storages: dict[str, Storage] | None = None) -> Any:
    """Read what the instructions would make.

    Parameters
    ----------
    data : bytes or file
        The entry ``data.pkl`` of an archive, or a file that is read up to the end of the instructions.
    storages : dict of str to Storage, optional
        Filled with the blocks of numbers that are referred to.

    Returns
    -------
    object
        Numbers, texts, lists, tuples and dictionaries; `StoredTensor`, `Name` and `Described` for the rest.

    Raises
    ------
    CheckpointError
        If the instructions are cut short, make no sense, or use what files of weights never need.
    """
    machine = _Machine()
    try:
        for step, (instruction, argument, _) in enumerate(pickletools.genops(data)):
            if step == MAX_STEPS:
                msg = f"it has more than {MAX_STEPS:,} instructions, more than any model needs"
                raise CheckpointError(msg)
            machine.do(instruction.name, argument)
        if storages is not None:
            storages.update(machine.storages)
        return machine.result
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        msg = f"its instructions make no sense ({type(error).__name__}: {str(error)[:100]}). Is it damaged?"
        raise CheckpointError(msg) from error


class _Machine:
    """Stack, marks and memory of the pickle format, without its powers."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.result: Any = None

    def do(self, instruction: str, argument: Any) -> None:
        """Follow one instruction."""
        if instruction in _LITERALS:
            self.stack.append(_LITERALS[instruction]())
        elif instruction in _PUSHES:
            self.stack.append(argument)
        elif instruction in _ACTIONS:
            _ACTIONS[instruction](self, argument)
        elif instruction not in _IGNORED:
            msg = f"it uses the instruction {instruction}, which files of weights never need"
            raise CheckpointError(msg)

    def pop(self) -> Any:
        """Take the uppermost object, which must lie above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            msg = "an instruction takes an object that is not there"
            raise ValueError(msg)
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """Take all objects above the last mark."""
        start = self.marks.pop()
        taken, self.stack[start:] = self.stack[start:], []
        return taken

    def take(self, count: int) -> tuple[Any, ...]:
        """Take some objects, as a tuple."""
        return tuple(self.pop() for _ in range(count))[::-1]

    def remember(self, place: int | None) -> None:
        """Keep the uppermost object."""
        self.memory[len(self.memory) if place is None else place] = self.stack[-1]

    def recall(self, place: int) -> None:
        """Put a kept object on the stack again."""
        self.stack.append(self.memory[place])

    def call(self) -> None:
        """Note a call."""
        called, arguments = self.take(2)
        self.stack.append(_noted(called, arguments))

    def call_named(self) -> None:
        """Note a call with named arguments."""
        called, arguments, named = self.take(3)
        self.stack.append(Described(_words(called), arguments, state=named))

    def build(self) -> None:
        """Note what would be put into an object; attributes of plain containers and tensors do not matter."""
        state = self.pop()
        if isinstance(self.stack[-1], Described):
            self.stack[-1].state = state

    def append(self, values: list[Any]) -> None:
        """Lengthen a list."""
        target = self.stack[-1]
        (target.elements if isinstance(target, Described) else _of(list, target)).extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Fill a dictionary."""
        target = self.stack[-1]
        items = target.items if isinstance(target, Described) else _of(dict, target)
        if len(values) % 2:
            msg = "a dictionary has a key without a value"
            raise ValueError(msg)
        for key, value in zip(values[::2], values[1::2], strict=True):
            items[_key(key)] = value


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        msg = f"a {type(value).__name__} is filled like a {kind.__name__}"
        raise ValueError(msg)
    return value


def _key(key: Any) -> Hashable:
    """Keys that are safe to look up: deep tuples overflow the stack, chosen large integers all collide."""
    plain = isinstance(key, str | bytes | bool | Name) or key is None or (isinstance(key, int) and abs(key) < 2**31)
    if not plain:
        msg = f"a dictionary has a {type(key).__name__} as key; expected texts or small integers"
        raise CheckpointError(msg)
    return key


def _words(called: Any) -> str:
    if isinstance(called, Name):
        return called.words
    return f"a call of {called.kind}" if isinstance(called, Described) else f"a call of a {type(called).__name__}"


def _noted(called: Any, arguments: Any) -> Any:
    """What a call of this would give, if it is one of the few that make plain data, and its description otherwise."""
    words = _words(called)
    known = _PLAIN_CALLS.get(words)
    return Described(words, arguments) if known is None else known(*_of(tuple, arguments))


def _empty_dictionary(*_: Any) -> dict[Any, Any]:
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    numbers = (offset, *_of(tuple, shape), *_of(tuple, stride))
    if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
        msg = "a tensor is described wrongly"
        raise ValueError(msg)
    return StoredTensor(storage, offset, shape, stride)


def _storage(machine: _Machine) -> None:
    entry = machine.pop()
    match entry:
        case ("storage", Name(words=kind), str(key), _, int(length)) | (
            "storage", Name(words=kind), str(key), _, int(length), None
        ):  # fmt: skip
            machine.stack.append(machine.storages.setdefault(key, Storage(kind, key, length)))
        case _:
            msg = "it refers to something outside that is no block of numbers"
            raise ValueError(msg)


def _name(machine: _Machine, argument: Any) -> None:
    module, words = argument.split(" ", 1) if argument is not None else machine.take(2)
    machine.stack.append(Name(f"{_of(str, module)}.{_of(str, words)}"))


def _old_object(machine: _Machine, argument: Any) -> None:
    taken = machine.pop_mark()
    kind = argument.replace(" ", ".") if argument is not None else _words(taken.pop(0))
    machine.stack.append(Described(kind, tuple(taken)))


def _finish(machine: _Machine, _: Any) -> None:
    machine.result = machine.pop()


_PLAIN_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _empty_dictionary,
    "collections.defaultdict": _empty_dictionary,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}

_LITERALS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Described("builtins.set"),
}

_PUSHES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}

_IGNORED = {"PROTO", "FRAME"}

_ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.pop() if len(m.stack) > (m.marks[-1] if m.marks else 0) else m.marks.pop(),
    "POP_MARK": lambda m, _: m.pop_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.stack.append(m.take(1)),
    "TUPLE2": lambda m, _: m.stack.append(m.take(2)),
    "TUPLE3": lambda m, _: m.stack.append(m.take(3)),
    "LIST": lambda m, _: m.stack.append(m.pop_mark()),
    "FROZENSET": lambda m, _: m.stack.append(Described("builtins.frozenset", tuple(m.pop_mark()))),
    "DICT": lambda m, _: _new_dictionary(m),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_mark()),
    "ADDITEMS": lambda m, _: m.append(m.pop_mark()),
    "SETITEM": lambda m, _: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "PUT": lambda m, place: m.remember(place),
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "MEMOIZE": lambda m, _: m.remember(None),
    "GET": lambda m, place: m.recall(place),
    "BINGET": lambda m, place: m.recall(place),
    "LONG_BINGET": lambda m, place: m.recall(place),
    "GLOBAL": _name,
    "STACK_GLOBAL": _name,
    "REDUCE": lambda m, _: m.call(),
    "NEWOBJ": lambda m, _: m.call(),
    "NEWOBJ_EX": lambda m, _: m.call_named(),
    "INST": _old_object,
    "OBJ": _old_object,
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: _storage(m),
    "STOP": _finish,
}


def _new_dictionary(machine: _Machine) -> None:
    values = machine.pop_mark()
    machine.stack.append({})
    machine.set_items(values)
