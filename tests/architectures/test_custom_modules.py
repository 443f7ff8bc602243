"""Finding and asking a network of the user's own: every way to fail is one line."""

from __future__ import annotations

from pathlib import Path

import classifiers
import pytest
from torch import nn

from resnet_serve.architectures import build, custom_modules
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import Preprocessing

SMALL = Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")
FILE = Path(classifiers.__file__)


@pytest.mark.parametrize("spec", ["classifiers:VGGLike", f"{FILE}:VGGLike"])
def test_it_is_found_by_module_and_by_file(spec: str) -> None:
    factory = custom_modules.find_factory(spec)
    found = custom_modules.describe(spec, factory, custom_modules.make(factory, spec), SMALL)
    assert (found.name, found.classes, found.channels) == ("VGGLike", 10, 3)
    assert found.parameters == sum(p.numel() for p in classifiers.VGGLike().parameters())
    assert spec in found.summary
    network = build(found)
    assert isinstance(network, nn.Module)
    assert not network.training


def test_the_working_directory_is_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here_17.py").write_text("from torch import nn\nmade = nn.Identity\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [each for each in __import__("sys").path if each])
    assert custom_modules.find_factory("only_here_17:made") is nn.Identity


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("classifiers", UsageError, "does not name a factory"),
        ("classifiers:", UsageError, "does not name a factory"),
        (":VGGLike", UsageError, "does not name a factory"),
        ("classifiers:a-b", UsageError, "does not name a factory"),
        ("no_such_module:made", InputFileError, "No module named 'no_such_module'"),
        ("no/such/file.py:made", UsageError, "there is no file"),
        ("classifiers:missing", UsageError, "has no 'missing'"),
        ("classifiers:ready_made", UsageError, "is a int, which cannot be called"),
    ],
)
def test_what_cannot_be_found(spec: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as refusal:
        custom_modules.find_factory(spec)
    assert "\n" not in str(refusal.value)


def test_a_file_that_fails_says_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise ValueError('first\\nsecond')\n")
    with pytest.raises(InputFileError, match=r"cannot be imported \(ValueError: first\)"):
        custom_modules.find_factory(f"{tmp_path / 'bad.py'}:made")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", r"fails \(RuntimeError: no weights here\)"),
        ("no_network", "returned a int, not a torch.nn.Module"),
        ("Mixed", r"fails \(TypeError: .*'inputs'\)"),
    ],
)
def test_what_makes_no_network(name: str, said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        custom_modules.make(
            custom_modules.find_factory(f"classifiers:{name}"), f"classifiers:{name}"
        )


@pytest.mark.parametrize(
    ("network", "size", "said"),
    [
        (classifiers.two_answers(), 32, "returns tuple for one image"),
        (nn.Identity(), 32, r"returns \[1, 3, 32, 32\] for one image"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), 32, "fails for an image FP32"),
    ],
)
def test_what_is_no_classifier(network: nn.Module, size: int, said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        custom_modules.describe("here:made", lambda: network, network, SMALL)


def test_a_network_of_grey_images_names_the_file_that_states_them(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputFileError, match="to have 1 channels, but got 3") as caught:
        custom_modules.describe("here:made", lambda: network, network, SMALL)
    remedy = str(caught.value.remedy)
    assert "--preprocessing" in remedy
    stated = Preprocessing.from_json(remedy[remedy.index("{") : remedy.index("}") + 1])
    described = custom_modules.describe("here:made", lambda: network, network, stated)
    assert (described.channels, described.classes) == (1, 4)
