"""A missing engine refuses when it is used, with the command that installs it, and not before."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from resnet_serve.errors import HostError
from resnet_serve.optional import optional

REFUSAL = r"this needs nowhere, .*not installed here.*pip install 'resnet-serve\[convert\]'"


@pytest.fixture
def missing() -> object:
    return optional("nowhere.deep", extra="convert")


def test_nothing_is_imported_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    module = optional("colorsys", extra="convert")
    assert "colorsys" not in sys.modules
    assert module.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)
    assert "colorsys" in sys.modules


def test_a_submodule_is_reached_as_an_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "xml.dom.pulldom", raising=False)
    dom = importlib.import_module("xml.dom")
    monkeypatch.delattr(dom, "pulldom", raising=False)
    assert optional("xml", extra="convert").dom.__name__ == "xml.dom"
    assert optional("xml.dom", extra="convert").pulldom.__name__ == "xml.dom.pulldom"


def test_an_attribute_that_does_not_exist_is_an_attribute_error() -> None:
    json = optional("json", extra="convert")
    assert not hasattr(json, "no_such_thing")
    with pytest.raises(AttributeError, match=r"'json'.*'no_such_thing'"):
        _ = json.no_such_thing


@pytest.mark.parametrize(
    "use",
    [
        lambda package: package.load("x"),
        lambda package: package.Session(providers=[]),
        lambda package: package.backends.cpu,
        lambda package: package.backends.cpu.is_available(),
    ],
)
def test_using_a_missing_package_says_how_to_get_it(missing: object, use: object) -> None:
    with pytest.raises(HostError, match=REFUSAL) as caught:
        use(missing)  # type: ignore[operator]
    assert caught.value.exit_code == 4


def test_a_class_of_a_missing_package_can_be_derived_from_but_not_made(missing: object) -> None:
    class Block(missing.Module):  # type: ignore[name-defined,misc]
        expansion = 4

        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width

    class Wider(Block):
        pass

    assert Block.expansion == 4
    for kind in (Block, Wider):
        with pytest.raises(HostError, match=REFUSAL):
            kind(64)


def test_isinstance_and_except_with_a_missing_package_answer_no(missing: object) -> None:
    assert not isinstance(3, missing.Tensor)  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        try:
            raise KeyError("mine")
        except missing.Error:  # type: ignore[attr-defined]
            pytest.fail("caught by a class that does not exist")


def test_the_refusal_is_not_hidden_by_an_except_clause_on_the_package(missing: object) -> None:
    with pytest.raises(HostError, match=REFUSAL):
        try:
            missing.open("x")  # type: ignore[attr-defined]
        except (OSError, missing.Error):  # type: ignore[attr-defined]
            pytest.fail("the refusal was swallowed")


@pytest.mark.parametrize("failure", ["ImportError('no numpy')", "OSError('libcuda.so.1: gone')"])
def test_a_package_that_is_there_but_broken_says_why(
    failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_an_engine.py").write_text(f"raise {failure}")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HostError, match=r"no numpy|libcuda\.so\.1: gone"):
        optional("half_an_engine", extra="server").run()


def test_a_package_that_appears_later_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = optional("late_engine", extra="server")
    with pytest.raises(HostError):
        engine.answer()
    (tmp_path / "late_engine.py").write_text("def answer(): return 42")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert engine.answer() == 42
