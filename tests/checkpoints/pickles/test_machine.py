"""Hostile pickles: whatever they name, nothing is imported, called or changed."""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.checkpoints.pickles.machine import Global, Machine, PickleError, Placeholder
from resnet_serve.checkpoints.pickles.rebuilt import called

TRACE = b"resnet-serve-test-trace"


def run(data: bytes) -> object:
    return Machine(called, lambda key: Placeholder("storage", (key,))).run(io.BytesIO(data))


@pytest.fixture
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A check that nothing ran: no file was made, no module imported, no function changed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap_module.py").write_text("open('trace', 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    defaults = called.__defaults__, called.__code__
    environment = dict(os.environ)
    environment.pop("PYTEST_CURRENT_TEST", None)

    def check() -> None:
        assert [path.name for path in tmp_path.iterdir()] == ["trap_module.py"]
        assert "trap_module" not in sys.modules
        assert (called.__defaults__, called.__code__) == defaults
        assert {**environment, **os.environ} == {**os.environ}
        assert os.environ.keys() - environment.keys() <= {"PYTEST_CURRENT_TEST"}

    return check


HOSTILE = {
    "system": b"cos\nsystem\n(S'touch trace'\ntR.",
    "posix": b"\x80\x02cposix\nsystem\n\x8c\x0btouch trace\x85R.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch trace\x85R.",
    "exec": b"c__builtin__\nexec\n(S\"open('trace','w')\"\ntR.",
    "eval of builtins": b"cbuiltins\neval\n(S\"open('trace','w')\"\ntR.",
    "instance": b"(S'touch trace'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch trace'\no.",
    "new object": b"\x80\x02csubprocess\nPopen\n\x8c\x05touch\x8c\x05trace\x86\x85\x81.",
    "new object with names": (
        b"\x80\x04\x8c\nsubprocess\x8c\x05Popen\x93)}\x8c\x04args](\x8c\x05touch\x8c\x05traceesb\x92."
    ),
    "set state": b"\x80\x02ctrap_module\nTrap\n)\x81}X\x01\x00\x00\x00aK\x01sb.",
    "import": b"\x80\x02ctrap_module\nTrap\n.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\ncos\nsystem\nX\x06\x00\x00\x00system\x86R.",
    "attribute path": b"\x80\x04\x8c\x02os\x8c\x0bpath.system\x93\x8c\x0btouch trace\x85R.",
    "call of a result": b"cos\nsystem\n)R(S'touch trace'\ntR.",
    "function's own state": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b."
    ),
    "class's own state": b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
    "append to a function": b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00aa.",
    "entries of a module": b"\x80\x02cos\nenviron\nX\x01\x00\x00\x00aX\x01\x00\x00\x00bs.",
    "extension": b"\x80\x02\x82\x01.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "rebuild with a function": (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n"
        b"X\x0b\x00\x00\x00touch trace\x85NtR."
    ),
    "ordered dict of a call": (
        b"\x80\x02ccollections\nOrderedDict\ncos\nsystem\n(X\x0b\x00\x00\x00touch tracetR\x85R."
    ),
    "persistent id": b"\x80\x02cos\nsystem\nQ.",
    "load from bytes": b"\x80\x03ctorch.storage\n_load_from_bytes\nC\x02..\x85R.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_do_nothing(untouched: Callable[[], None], name: str) -> None:
    try:
        found = run(HOSTILE[name])
    except PickleError as error:
        assert str(error)
    else:
        assert isinstance(found, Global | Placeholder)
    untouched()


def test_the_hostile_pickles_of_these_tests_are_hostile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("system", "posix", "stack global", "eval of builtins", "instance", "object"):
        pickle.loads(HOSTILE[name])
        assert (tmp_path / "trace").exists(), name
        (tmp_path / "trace").unlink()


OPCODES = [getattr(pickle, name) for name in dir(pickle) if name.isupper()]
PIECES = st.sampled_from(
    [code for code in OPCODES if isinstance(code, bytes) and len(code) == 1]
    + [
        *(b"cos\nsystem\n", b"\x8c\x0btouch trace", b"\x8c\x02os", b"\x8c\x06system", b"K\x01"),
        *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"),
        *(b"ctrap_module\nTrap\n", b"iposix\nsystem\n", b"q\x00", b"h\x00", b"\x94", b"(", b"t"),
    ]
)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_no_sequence_of_opcodes_does_anything(untouched: Callable[[], None], data: bytes) -> None:
    try:
        run(b"\x80\x04" + data + b".")
    except PickleError as error:
        assert str(error)
    untouched()


ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    ATOMS | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=8,
)


@given(VALUES, st.integers(0, 5))
def test_data_comes_back_as_it_was(value: object, protocol: int) -> None:
    found = run(pickle.dumps(value, protocol=protocol))
    assert listed(found) == listed(value)


def listed(value: object) -> object:
    """The value with sets as sorted tuples: older protocols make them by calls."""
    if isinstance(value, set | frozenset):
        return tuple(sorted(value))
    if isinstance(value, tuple):
        inner = tuple(map(listed, value))
        return (
            tuple(sorted(inner)) if inner and {type(x) for x in inner} in ({int}, {str}) else inner
        )
    if isinstance(value, list):
        return list(map(listed, value))
    return {k: listed(v) for k, v in value.items()} if isinstance(value, dict) else value


def test_objects_are_placeholders_with_all_that_they_were_given() -> None:
    import argparse

    found = run(pickle.dumps(argparse.Namespace(lr=0.1, sizes=[1, 2])))
    assert isinstance(found, Placeholder)
    assert found.name == "argparse.Namespace"
    assert found.state == {"lr": 0.1, "sizes": [1, 2]}


def test_a_key_that_takes_for_ever_to_hash_is_refused() -> None:
    nested = b"".join([b"\x80\x02}K\x01"] + [b"2\x86"] * 60 + [b"K\x01s."])
    with pytest.raises(PickleError, match="a key"):
        run(nested)
