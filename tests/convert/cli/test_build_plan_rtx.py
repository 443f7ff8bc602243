"""`build-plan` of versions for TensorRT-RTX: built by the real builder, in a child process."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest
import rtx
from repositories import copied

from resnet_convert.build_plan.prepared import Prepared
from resnet_convert.tensorrt.epcontext import FILE_NAME
from resnet_serve import durable, passport
from resnet_serve.passport import BuiltEngineFacts, EngineFacts, EngineState

Call = Callable[..., tuple[int, str, str]]
DIGITS = ("--arch", "resnet20", "--weights", "digits", "--name", "d", "--target", "tensorrt-rtx")
IMAGES = ("--validation", "digits", "--validation-images", "24")
FOR = ("--for", "rtx-4090,rtx-3060", "--batch", "1:2:4")
VERSION = Path("model_repository/d/1")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the repository of the prepared version."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture
def prepared(once: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a version that was prepared without the library; the current folder holds it."""
    monkeypatch.chdir(once)
    if not VERSION.exists():
        code, out, err = call(*DIGITS, *IMAGES, *FOR, "--prepare-only")
        assert code == 0, err
        assert "Next, on any host with TensorRT-RTX: resnet-convert build-plan" in out
    copied(once / "model_repository", tmp_path / "there" / "model_repository")
    monkeypatch.chdir(tmp_path / "there")
    return Path.cwd()


def built(*words: str, folder: Path) -> tuple[int, str, str]:
    return rtx.command("resnet_convert.cli", *words, folder=folder)


def engine() -> EngineFacts:
    found = passport.read(VERSION / passport.FILE_NAME).engine
    assert found is not None
    return found


def test_what_it_is_for_is_kept_until_it_is_built(prepared: Path) -> None:
    assert engine().state is EngineState.NOT_BUILT
    assert engine().targets == ("8.6", "8.9")
    assert not (VERSION / "model.rtx").exists()


@pytest.mark.slow
def test_the_real_builder_builds_it_and_builds_it_again(prepared: Path) -> None:
    code, out, err = built("build-plan", "model_repository/d", folder=prepared)
    assert code == 0, err
    text = " ".join(out.split())
    assert "TensorRT-RTX 1.7.1.116 for compute capability 8.6, 8.9" in text
    assert "it was never run here" in text
    assert "Next, on the host with the GPU: resnet-serve verify d --host" in text
    assert "images/s" not in out + err
    made = engine()
    assert isinstance(made, BuiltEngineFacts)
    assert made.state is EngineState.NOT_RUN
    assert (made.targets, made.profiles, made.gpu) == (("8.6", "8.9"), ("1:2:4",), None)
    assert made.plan_sha256 == durable.sha256(VERSION / "model.rtx")
    assert made.gate is not None
    assert made.gate.passed
    assert made.gate.checks[0].name == "precision in the engine"
    assert made.parity is not None
    assert made.parity.runtime == "emulation"
    assert not made.latency
    (VERSION / FILE_NAME).write_bytes(b"an engine of another version")
    words = ("build-plan", "model_repository/d", "--for", "rtx-5090", "--json")
    code, out, err = built(*words, folder=prepared)
    assert code == 0, err
    again = json.loads(out)
    assert (again["state"], again["targets"]) == ("built but never run", ["12.0"])
    assert again["plan_sha256"] != made.plan_sha256
    (node,) = onnx.load(VERSION / FILE_NAME).graph.node
    inside = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    assert inside["ep_cache_context"] == (VERSION / "model.rtx").read_bytes()
    assert inside["hardware_architecture"] == b"120"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--for", "h200"), 2, "is not supported by TensorRT-RTX"),
        (("--triton", "26.09"), 2, "--triton is not for engines of TensorRT-RTX"),
        (("--timing-cache", "kept"), 2, "--timing-cache is not for engines of TensorRT-RTX"),
        (("--optimization-level", 5), 2, "TensorRT-RTX has no optimization levels"),
        ((), 4, "TensorRT-RTX is not installed here"),
    ],
)
def test_what_cannot_be_leaves_the_version_alone(
    prepared: Path, call: Call, words: tuple[Any, ...], code: int, says: str
) -> None:
    if code == 4 and find_spec("tensorrt_rtx_bindings") is not None:
        pytest.skip("the library is installed here")
    before = {path.name: path.read_bytes() for path in VERSION.iterdir()}
    found, out, err = call("build-plan", "model_repository/d", *words)
    assert (found, out) == (code, "")
    assert says in err
    assert {path.name: path.read_bytes() for path in VERSION.iterdir()} == before


def test_a_version_without_targets_is_built_for_the_default_ones(prepared: Path) -> None:
    """Those prepared before the passport kept them."""
    file = VERSION / passport.FILE_NAME
    data = json.loads(file.read_text(encoding="utf-8"))
    del data["engine"]["targets"]
    file.write_text(json.dumps(data), encoding="utf-8")
    unchanged = dict.fromkeys(("workspace_mib", "level", "triton", "timing_cache", "gpus"))
    found = Prepared.open(VERSION).changed(**unchanged)
    assert found.targets == ("8.0", "8.6", "8.9", "12.0")
