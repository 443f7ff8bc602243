"""Machine: interprets a pickle without importing or calling anything that it names.

A pickle is a program for a stack (Python's `pickletools`). Here GLOBAL gives a `Global`, which is a
name; REDUCE, NEWOBJ, INST and OBJ give what `call` makes of that name, by default a `Placeholder`;
BUILD keeps the state in it. No class is looked up, and no method of any object runs. Opcodes that
need more than this are refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import IO, Any


class PickleError(ValueError):
    """The pickle is damaged, or needs more than data."""


@dataclass(frozen=True)
class Global:
    """A name that a pickle looks up, such as "argparse.Namespace"; nothing is imported."""

    name: str


@dataclass(eq=False)
class Placeholder:
    """What a pickle would make by calling `name`: its arguments, state, items and entries."""

    name: str
    arguments: tuple[object, ...] = ()
    state: object = None
    items: list[object] = field(default_factory=list)
    entries: dict[object, object] = field(default_factory=dict)


Call = Callable[[str, tuple[object, ...]], object]
_ATOMS = (str, bytes, int, float, bool, type(None), Global, Placeholder)
_MARK = object()


class Machine:
    """The stack and the memo of one pickle.

    `call` gives the result of calling a name, `persistent` the object of a persistent id.
    """

    def __init__(self, call: Call, persistent: Callable[[object], object]) -> None:
        self._call = call
        self._persistent = persistent
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self.globals: list[str] = []

    def run(self, data: IO[bytes]) -> object:
        """The object of the pickle that begins here; raises `PickleError`.

        The stream is left behind the pickle.
        """
        try:
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name == "STOP":
                    return self._pop()
                operation = _OPERATIONS.get(opcode.name)
                if operation is None:
                    raise PickleError(f"it needs {opcode.name}, which is not data")
                operation(self, argument)
        except PickleError:
            raise
        except (ValueError, LookupError, TypeError, OverflowError, EOFError) as error:
            raise PickleError(f"it is damaged ({error})") from error
        raise PickleError("it has no end")

    # --- the stack ---------------------------------------------------------------------------

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleError("it is damaged (the stack is empty)")
        return self._stack.pop()

    def _top(self) -> object:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleError("it is damaged (the stack is empty)")
        return self._stack[-1]

    def _marked(self) -> list[object]:
        """Everything above the last mark, which is removed with it."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                above = self._stack[place + 1 :]
                del self._stack[place:]
                return above
        raise PickleError("it is damaged (there is no mark)")

    def _memoize(self, argument: Any) -> None:
        self._memo[len(self._memo) if argument is None else int(argument)] = self._top()

    def _recall(self, argument: Any) -> None:
        self._push(self._memo[int(argument)])

    # --- containers --------------------------------------------------------------------------

    def _tuple(self, size: int) -> None:
        values = [self._pop() for _ in range(size)]
        self._push(tuple(reversed(values)))

    def _extend(self, values: list[object]) -> None:
        target = self._top()
        if isinstance(target, Placeholder):
            target.items.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        elif isinstance(target, set):
            target.update(_key(value) for value in values)
        else:
            raise PickleError(f"it is damaged (items of a {type(target).__name__})")

    def _append(self, _: Any) -> None:
        value = self._pop()
        self._extend([value])

    def _set_items(self, values: list[object]) -> None:
        target = self._top()
        entries = target.entries if isinstance(target, Placeholder) else target
        if not isinstance(entries, dict) or len(values) % 2:
            raise PickleError(f"it is damaged (entries of a {type(target).__name__})")
        for place in range(0, len(values), 2):
            entries[_key(values[place])] = values[place + 1]

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _mapping(self, _: Any) -> None:
        values = self._marked()
        self._push({})
        self._set_items(values)

    # --- what would be code ------------------------------------------------------------------

    def _global(self, name: str) -> None:
        self.globals.append(name)
        self._push(Global(name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise PickleError("it is damaged (a global without a name)")
        self._global(f"{module}.{name}")

    def _called(self, function: object, arguments: object) -> None:
        if not isinstance(arguments, tuple):
            raise PickleError("it is damaged (a call without arguments)")
        if isinstance(function, Global):
            self._push(self._call(function.name, arguments))
        elif isinstance(function, Placeholder):  # what a call returned is called
            self._push(Placeholder(f"{function.name}(…)", arguments))
        else:
            raise PickleError(f"it is damaged (a call of a {type(function).__name__})")

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._called(function, arguments)

    def _new_with_names(self, _: Any) -> None:
        _names, arguments, function = self._pop(), self._pop(), self._pop()
        self._called(function, arguments)

    def _object(self, _: Any) -> None:
        function, *arguments = self._marked()
        self._called(function, tuple(arguments))

    def _instance(self, argument: Any) -> None:
        arguments = tuple(self._marked())
        self._global(str(argument).replace(" ", "."))
        self._called(self._pop(), arguments)

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, list | set | tuple | str | bytes | int | float | None | Global):
            raise PickleError(f"it is damaged (a state of a {type(target).__name__})")
        # An OrderedDict's attributes (`_metadata`) and a tensor's are not needed.


Operation = Callable[[Machine, Any], None]


def _constant(make: Callable[[], object]) -> Operation:
    return lambda machine, _: machine._push(make())


def _literal(machine: Machine, argument: Any) -> None:
    machine._push(argument)


def _nothing(_machine: Machine, _argument: Any) -> None:
    """PROTO and FRAME are for the reader of the bytes."""


def _key(value: object) -> Any:
    """A key that is hashed at once; nested ones could take for ever."""
    atoms = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(atom, _ATOMS) for atom in atoms):
        raise PickleError("it is damaged (a key that is no name or number)")
    return value


_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
)
_OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        **dict.fromkeys(_LITERALS, _literal),
        **dict.fromkeys(("PROTO", "FRAME"), _nothing),
        **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine._memoize),
        **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._recall),
        "NONE": _constant(lambda: None),
        "NEWTRUE": _constant(lambda: True),
        "NEWFALSE": _constant(lambda: False),
        "EMPTY_TUPLE": _constant(tuple),
        "EMPTY_LIST": _constant(list),
        "EMPTY_DICT": _constant(dict),
        "EMPTY_SET": _constant(set),
        "MARK": _constant(lambda: _MARK),
        "POP": lambda machine, _: _discard(machine),
        "POP_MARK": lambda machine, _: machine._marked().clear(),
        "DUP": lambda machine, _: machine._push(machine._top()),
        "TUPLE": lambda machine, _: machine._push(tuple(machine._marked())),
        "TUPLE1": lambda machine, _: machine._tuple(1),
        "TUPLE2": lambda machine, _: machine._tuple(2),
        "TUPLE3": lambda machine, _: machine._tuple(3),
        "LIST": lambda machine, _: machine._push(machine._marked()),
        "FROZENSET": lambda machine, _: machine._push(frozenset(map(_key, machine._marked()))),
        "DICT": Machine._mapping,
        "APPEND": Machine._append,
        "APPENDS": lambda machine, _: machine._extend(machine._marked()),
        "ADDITEMS": lambda machine, _: machine._extend(machine._marked()),
        "SETITEM": Machine._set_item,
        "SETITEMS": lambda machine, _: machine._set_items(machine._marked()),
        "GLOBAL": lambda machine, name: machine._global(str(name).replace(" ", ".")),
        "STACK_GLOBAL": Machine._stack_global,
        "REDUCE": Machine._reduce,
        "NEWOBJ": Machine._reduce,
        "NEWOBJ_EX": Machine._new_with_names,
        "OBJ": Machine._object,
        "INST": Machine._instance,
        "BUILD": Machine._build,
        "BINPERSID": lambda machine, _: machine._push(machine._persistent(machine._pop())),
        "PERSID": lambda machine, key: machine._push(machine._persistent(key)),
    }
)


def _discard(machine: Machine) -> None:
    """POP, which also removes a mark."""
    if not machine._stack:
        raise PickleError("it is damaged (the stack is empty)")
    machine._stack.pop()
