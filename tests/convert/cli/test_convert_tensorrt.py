"""`--target tensorrt` and `build-plan` where there is no GPU: what they say and what they leave.

Nothing here may claim that an engine exists.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from quick import quicken

from resnet_convert import convert
from resnet_convert.parity import reference_outputs
from resnet_serve import passport
from resnet_serve.comparison.recorded import FILE_NAME
from resnet_serve.passport import EngineFacts, EngineState
from resnet_serve.triton import config
from resnet_serve.triton.queue_bound import QueueBound, bound_of
from resnet_serve.triton.repository import Repository

Call = Callable[..., tuple[int, str, str]]
DIGITS = ("--arch", "resnet20", "--weights", "digits", "--name", "d", "--target", "tensorrt")
IMAGES = ("--validation", "digits", "--validation-images", 24)
CALIBRATED = ("--calibration", "digits", "--calibration-images", 16)
VERSION = Path("model_repository/d/1")
GOLDEN = Path(__file__).parents[2] / "triton" / "golden" / "tensorrt-uint8.pbtxt"

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a prepared version, made once."""
    place = tmp_path_factory.mktemp("prepared") / "model_repository"
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        convert(
            arch="resnet20",
            weights="digits",
            name="d",
            target="tensorrt",
            validation="digits",
            validation_images=24,
            prepare_only=True,
            repository=place,
        )
    return place


@pytest.fixture
def prepared(prepared_once: Path, call: Call) -> Call:
    """`call`, in a directory with a prepared version in its repository."""
    shutil.copytree(prepared_once, "model_repository")
    return call


def the_error(err: str) -> str:
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert "Traceback" not in err
    return line


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_prepared_only_is_what_was_asked(call: Call, precision: str) -> None:
    code, out, err = call(
        *DIGITS,
        *IMAGES,
        *CALIBRATED,
        "--precision",
        precision,
        "--batch",
        "1:4:6",
        "--prepare-only",
    )
    assert code == 0, err
    assert "plan is NOT built" in out
    assert f"resnet-convert build-plan {Path.cwd() / VERSION}" in out
    assert "images/s" not in out
    assert "latency" not in out + err
    names = {path.name for path in VERSION.iterdir()}
    assert names == {
        *("model.onnx", "reference_outputs.npz", "passport.json", "report.html"),
        *("config.pbtxt", "labels.txt", "examples.npz"),
    }
    stamped = passport.read(VERSION / passport.FILE_NAME)
    assert type(stamped.engine) is EngineFacts
    assert stamped.engine.state is EngineState.NOT_BUILT
    assert stamped.engine.profiles == ("1:4:6",)
    assert stamped.latency.speedup is None
    assert stamped.parity.runtime == "emulation"
    assert stamped.model.opset == {"int8": 19, "bf16": 22}.get(precision, 17)
    onnx.checker.check_model(str(VERSION / "model.onnx"), full_check=True)
    message = config.parse((VERSION.parent / "config.pbtxt").read_text(encoding="utf-8"))
    assert (message.platform, message.max_batch_size) == ("tensorrt_plan", 6)
    is_golden((VERSION / "config.pbtxt").read_text(encoding="utf-8"))
    report = (VERSION / "report.html").read_text(encoding="utf-8")
    assert "The TensorRT plan is not built" in report
    assert "Speed at batch 1" not in report
    assert "None" not in report.replace("<p>None.</p>", "").replace("<p>None: both", "")


def is_golden(text: str) -> None:
    """Precision is in the plan alone, so that the configurations are one."""
    found = config.parse(text)
    golden = config.parse(GOLDEN.read_text(encoding="utf-8"))
    assert bound_of(found) == QueueBound(2 * 6)  # two full batches: no latency was measured
    found.dynamic_batching.ClearField("default_queue_policy")
    for message in (found, golden):
        message.name = ""
        message.parameters[config.PREPROCESSING].string_value = ""
        message.parameters.pop(config.ACTIVATION, None)
    assert found == golden


def test_without_that_word_it_ends_with_the_advice(call: Call) -> None:
    code, out, err = call(*DIGITS, *IMAGES, "--precision", "fp16")
    assert code == 4
    line = the_error(err)
    assert "the plan of d version 1 is not built, the rest is deployed" in line
    assert "tensorrt, which is not installed here" in line
    assert f"resnet-convert build-plan {Path.cwd() / VERSION}" in line
    assert "plan is NOT built" in out
    assert passport.read(VERSION / passport.FILE_NAME).engine_state is EngineState.NOT_BUILT
    assert not (VERSION / "model.plan").exists()


def test_build_plan_says_what_this_host_lacks_and_leaves_the_version_alone(prepared: Call) -> None:
    before = {path.name: path.read_bytes() for path in VERSION.iterdir()}
    code, out, err = prepared("build-plan", "model_repository/d")
    assert (code, out) == (4, "")
    assert "tensorrt, which is not installed here" in the_error(err)
    assert {path.name: path.read_bytes() for path in VERSION.iterdir()} == before


def without_profiles(version: Path) -> None:
    file = version / "passport.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    del data["engine"]["profiles"]
    file.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        (lambda v: (v / "model.onnx").write_bytes(b"x"), 5, "SHA-256 differs"),
        (
            lambda v: (v / "reference_outputs.npz").write_bytes(b"x"),
            5,
            "does not hold the reference outputs",
        ),
        (
            lambda v: (v / "reference_outputs.npz").unlink(),
            5,
            "does not hold the reference outputs",
        ),
        (lambda v: (v / "passport.json").write_text("{}"), 5, "not a passport"),
        (without_profiles, 5, "not a passport: engine.profiles is missing"),
        (lambda v: (v / "passport.json").unlink(), 5, "no model that resnet-convert deployed"),
    ],
)
def test_a_damaged_version_is_said_first(
    prepared: Call, damage: Callable[[Path], Any], code: int, said: str
) -> None:
    damage(VERSION)
    found, _, err = prepared("build-plan", "model_repository/d")
    assert found == code
    assert said in the_error(err)


def test_a_model_for_cpus_has_no_plan(call: Call) -> None:
    assert call("--arch", "resnet20", "--weights", "digits", "--name", "d", *IMAGES)[0] == 0
    code, _, err = call("build-plan", VERSION)
    assert code == 2
    assert "converted for onnxruntime" in the_error(err)


def test_build_plan_explains_itself(call: Call) -> None:
    code, out, _ = call("build-plan", "--help")
    assert code == 0
    assert "MODEL_DIR" in out
    code, out, _ = call("--help")
    assert "build-plan" in out


def test_no_network_named(call: Call) -> None:
    code, _, err = call("--precision", "fp16")
    assert code == 2
    assert "--arch" in the_error(err)


def test_the_dry_run_of_an_engine(call: Call) -> None:
    code, out, _ = call(*DIGITS, *CALIBRATED, "--precision", "int8", "--dry-run", "--json")
    assert code == 4  # as the conversion will end: everything but the plan can be made here
    steps = {step["stage"]: step for step in json.loads(out)["steps"]}
    assert list(steps) == [
        "weights", "trace", "fold", "pixels", "calibrate", "quantize", "half", "lint", "engine",
        "inspect", "parity", "latency", "deploy",
    ]  # fmt: skip
    assert steps["engine"]["status"] == "missing"
    code, out, _ = call(*DIGITS, "--prepare-only", "--dry-run", "--json")
    assert {"engine", "latency"}.isdisjoint(step["stage"] for step in json.loads(out)["steps"])


def test_the_accelerator_builds_in_the_server(call: Call) -> None:
    words = (
        "--arch",
        "resnet20",
        "--weights",
        "digits",
        "--name",
        "d",
        "--accelerator",
        "tensorrt",
    )
    code, out, err = call(*words, *IMAGES, *CALIBRATED, "--precision", "int8", "--workspace", 512)
    assert code == 0, err
    assert "server builds its TensorRT engine when it loads the model" in out
    assert {path.name for path in VERSION.iterdir()} == {
        *("model.onnx", "passport.json", "report.html"),
        *("config.pbtxt", "labels.txt", "examples.npz"),
    }
    stamped = passport.read(VERSION / passport.FILE_NAME)
    assert (stamped.target, stamped.engine_state) == ("onnxruntime", EngineState.BY_SERVER)
    message = config.parse((VERSION.parent / "config.pbtxt").read_text(encoding="utf-8"))
    assert message.backend == "onnxruntime"
    (accelerator,) = message.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters["max_workspace_size_bytes"] == str(512 * 2**20)
    sha256 = stamped.model.sha256
    assert accelerator.parameters["trt_engine_cache_prefix"] == sha256[:16]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--triton", "26.05", "--precision", "int8", *CALIBRATED), "from 26.06 on"),
        (("--precision", "bf16"), "onnxruntime has no bf16"),
        (("--prepare-only",), "--target tensorrt"),
    ],
)
def test_what_the_accelerator_cannot(call: Call, words: tuple[object, ...], said: str) -> None:
    code, _, err = call(
        "--arch", "resnet20", "--weights", "digits", "--accelerator", "tensorrt", *words
    )
    assert code == 2
    assert said in the_error(err)


def test_the_command_makes_it_again(call: Call) -> None:
    words = (*DIGITS, *IMAGES, "--batch", "1:2:4", "--batch", "4:8:8", "--prepare-only")
    assert call(*words, "--triton", "26.09", "--workspace", 64)[0] == 0
    first = passport.read(VERSION / passport.FILE_NAME)
    code, _, err = call(*first.command.split()[1:])
    assert code == 0, err
    second = Repository("model_repository").deployed()[-1]
    assert second.version == 2
    assert second.passport.model.sha256 == first.model.sha256
    assert second.passport.engine == first.engine
    contract = first.contract
    digests = {
        reference_outputs.read(
            path / FILE_NAME,
            first.outputs,
            contract.input,
            contract.preprocessing,
        ).digest()
        for path in (VERSION, second.path)
    }
    assert len(digests) == 1
