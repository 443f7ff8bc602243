"""Checkpoints that do not fit or are none: refused in one line, and nothing in them is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from state_dicts import as_run, same
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import Architecture, build, find
from resnet_serve.architectures.fitting import looks_like
from resnet_serve.errors import InputFileError, UsageError

RESNET20 = find("resnet20")


@pytest.fixture
def state() -> dict[str, Tensor]:
    return dict(build(RESNET20).state_dict())


def refused(path: Path, architecture: Architecture = RESNET20, **options: object) -> str:
    with pytest.raises(InputFileError) as caught:
        weights.load(str(path), architecture, **options)  # type: ignore[arg-type]
    assert caught.value.where == str(path)
    assert caught.value.exit_code == 5
    text = str(caught.value)
    assert "\n" not in text
    assert "weights_only" not in text, "torch's advice to run the code is not for our users"
    return text


# --- what does not fit ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet32", "resnet18"])
def test_another_architecture_is_recognised(
    tmp_path: Path, state: dict[str, Tensor], name: str
) -> None:
    torch.save(state, tmp_path / "net.pth")
    text = refused(tmp_path / "net.pth", find(name))
    assert f"does not fit {name} with 10 classes" in text
    assert "this is a resnet20 with 10 classes" in text
    assert "--arch" in text


@pytest.mark.parametrize(
    "change",
    [
        {"fc.weight": None},
        {"fc.weight": torch.zeros(())},
        {"layer1.0.conv1.weight": torch.zeros(32, 16, 3, 3)},  # a wide ResNet
        {"conv1.weight": None},  # a deep stem
        {"layer2.3.conv1.weight": torch.zeros(32, 32, 3, 3)},  # a block too many
    ],
)
def test_a_cousin_of_the_family_is_not_taken_for_a_member(
    state: dict[str, Tensor], change: dict[str, Tensor | None]
) -> None:
    changed = {name: t for name, t in {**state, **change}.items() if t is not None}
    assert "not a network of the family" in looks_like(changed)


def test_labels_must_be_as_many_as_the_file_has_classes(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    state |= {"fc.weight": torch.zeros(4, 64), "fc.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UsageError) as caught:
        weights.load(str(tmp_path / "net.pth"), RESNET20, labels=("a", "b", "c"))
    assert str(caught.value) == (
        "3 labels for a network of 4 classes. Give a --labels file with one name per class."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer2.1.bn2.weight"), "layer2.1.bn2.weight is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "extra is unexpected"),
        (lambda state: state["layer1.0.conv1.weight"].fill_(torch.nan), "layer1.0.conv1.weight"),
        (
            lambda state: state["bn1.running_var"].fill_(torch.inf),
            "bn1.running_var contains values",
        ),
    ],
)
def test_what_is_strange_is_named(
    tmp_path: Path, state: dict[str, Tensor], change: Callable[[object], None], message: str
) -> None:
    state = {name: tensor.clone() for name, tensor in state.items()}
    change(state)
    torch.save(state, tmp_path / "net.pth")
    assert message in refused(tmp_path / "net.pth")


# --- what is no checkpoint --------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "legacy.pth"])
def test_a_truncated_checkpoint_is_refused(
    tmp_path: Path, state: dict[str, Tensor], kind: str, part: float
) -> None:
    path = tmp_path / f"net.{kind}"
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "pth")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    text = refused(path)
    what = ("not a complete safetensors file", "cannot be read as a PyTorch", "is empty")
    assert any(each in text for each in what)


class Bomb:
    """Unpickling this makes a file: the harmless stand-in for what a stranger would do."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open({str(self.trace)!r}, 'w').close()",)


@pytest.mark.parametrize(
    "write",
    [
        lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2)),
        lambda bomb, path: path.write_bytes(pickle.dumps({"conv1.weight": bomb})),
        lambda bomb, path: torch.save({"conv1.weight": bomb}, path),
        lambda bomb, path: torch.save(bomb, path, _use_new_zipfile_serialization=False),
        lambda bomb, path: torch.save({"state_dict": {}, "args": bomb}, path),
    ],
)
def test_pickled_code_is_never_run(tmp_path: Path, write: Callable[[Bomb, Path], None]) -> None:
    trace = tmp_path / "trace"
    write(Bomb(trace), tmp_path / "net.pth")
    text = refused(tmp_path / "net.pth")
    assert "contains pickled code, which is not run: it needs " in text
    assert ".exec" in text
    assert "state_dict()" in text
    assert not trace.exists()


def test_the_bomb_of_these_tests_does_go_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_pickled_network_gives_its_tensors(tmp_path: Path, zipped: bool) -> None:
    network = build(RESNET20)
    torch.save(network, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    loaded = weights.load(str(tmp_path / "net.pt"), RESNET20)
    assert same(loaded.state, network.state_dict())
    assert not loaded.trusted_pickle
    (said,) = [notice for notice in loaded.notices if "none of that was imported" in notice]
    assert "resnet_serve.architectures.blocks.Block" in said


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(3)], torch.zeros(3), {}, {"epoch": 3}, {"state_dict": {}}, {1: torch.zeros(1)}],
    ids=str,
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "net.pth")
    assert "contains no state dict" in refused(tmp_path / "net.pth")


@pytest.mark.parametrize("content", [b"hello, this is text", b"<!DOCTYPE html>", bytes(5000)])
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors", "net"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    text = refused(tmp_path / name)
    assert "pickled code" not in text


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such checkpoint. Give --weights imagenet" in refused(tmp_path / "absent.pth")
    assert "is a folder" in refused(tmp_path)


def test_an_unreadable_file_says_so(
    public_folder: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
    state: dict[str, Tensor],
) -> None:
    for name in ("net.pth", "net.safetensors"):
        path = public_folder / name
        path.write_bytes(b"x")
        path.chmod(0)
        with as_nobody():
            text = refused(path)
        assert "ermission denied" in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", "nonsense"),
        ("labels", "[]"),
        ("labels", '["a", "b"]'),
        ("labels", "[1, 2]"),
        ("labels", '["a", " "]'),
        ("labels", '{"0": "a"}'),
        ("labels", "[" * 100_000),
        ("preprocessing", "{}}"),
        ("preprocessing", '{"resize": -1}'),
        ("training", "[]"),
        ("training", "{"),
    ],
)
def test_nonsense_in_the_metadata_is_named(
    tmp_path: Path, state: dict[str, Tensor], field: str, value: str
) -> None:
    path = tmp_path / "net.safetensors"
    save_file(state, path, {field: value})
    assert f"its metadata '{field}' cannot be used" in refused(path)


def test_safetensors_without_metadata_loads(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(as_run(state), tmp_path / "net.safetensors")
    found = weights.load(str(tmp_path / "net.safetensors"), RESNET20)
    assert (found.trained, found.training, len(found.labels)) == (True, {}, 10)
