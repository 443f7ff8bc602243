"""Conversions end to end: what is made, in which order, and what is said of it."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from recorder import Recorder

from resnet_convert.cli import convert as cli
from resnet_convert.conversion import Conversion
from resnet_convert.pipeline import convert, run
from resnet_convert.request import Request
from resnet_serve import passport
from resnet_serve.datasets.digits import Digits
from resnet_serve.durable import sha256
from resnet_serve.passport import ConvertedPassport
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.triton import image_repository
from resnet_serve.weights import Weights

pytestmark = pytest.mark.usefixtures("quick")

KINDS = [(p, t) for p in ("fp32", "fp16", "int8") for t in ("uint8", "float32")]
Conversions = Callable[..., Conversion]


@pytest.mark.parametrize(("precision", "taken"), KINDS)
def test_end_to_end(conversions: Conversions, precision: str, taken: str) -> None:
    found = conversions(precision, taken)
    assert found.verdict.passed
    assert not found.overridden
    assert found.version == 1
    assert found.measurements.decisions.converted_top1 >= 98
    assert found.measurements.decisions.top1_agreement == 1
    assert (found.folded.fold.folded, found.folded.fold.total) == (19, 19)
    assert [layer.name for layer in found.proof.layers][:2] == ["conv1", "layer1.0.conv1"]
    assert len(found.proof.layers) == 20
    assert (
        (found.precise.calibration is not None)
        == (found.precise.quantization is not None)
        == (precision == "int8")
    )
    assert (found.precise.half is not None) == (precision == "fp16")
    repository = Path(found.request.repository)
    assert os.listdir(repository) == ["resnet20"]
    images = image_repository.of(repository)
    assert sorted(os.listdir(images)) == ["resnet20_image", "resnet20_preprocess"]
    assert sorted(repository.parent.iterdir()) == [repository, images], "no staging is left"


@pytest.mark.parametrize(("precision", "taken"), KINDS)
def test_the_deployed_file_is_the_one_that_was_proved(
    conversions: Conversions, digits: Weights, precision: str, taken: str
) -> None:
    found = conversions(precision, taken)
    file = found.path / "model.onnx"
    assert sha256(file) == found.precise.sha256
    assert file.stat().st_size == len(found.precise.data)
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    image = proto.graph.input[0]
    shape = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    wanted = ["batch", 32, 32, 3] if taken == "uint8" else ["batch", 3, 32, 32]
    assert (image.name, shape) == ("image", wanted)
    used = {node.op_type for node in proto.graph.node}
    assert not {"BatchNormalization", "DynamicQuantizeLinear"} & used
    assert ("QuantizeLinear" in used) == (precision == "int8")
    images = found.validation_set
    assert images.labels is not None
    pixels = np.stack([digits.preprocessing.pixels(images.image(i)) for i in range(24)])
    with onnxruntime_runtime.load(file, threads=1) as model:
        batch = pixels if taken == "uint8" else digits.preprocessing.normalize(pixels)
        logits = model.run(batch)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, found.measurements.logits.converted[:24], atol=1e-4)
    assert (logits.argmax(1) == images.labels[:24]).all()


@pytest.mark.parametrize(("precision", "taken"), KINDS)
def test_the_stages_come_in_their_one_order(
    conversions: Conversions, precision: str, taken: str
) -> None:
    stages = [stage.name for stage in conversions(precision, taken).stages]
    middle = {"fp32": [], "fp16": ["range", "half"], "int8": ["calibrate", "quantize", "lint"]}[
        precision
    ]
    pixels = ["pixels"] if taken == "uint8" else []
    assert stages == [
        *("weights", "reference", "trace", "fold"),
        *pixels,
        *middle,
        *("parity", "latency", "deploy"),
    ]
    assert all(stage.summary for stage in conversions(precision, taken).stages)


def test_int8_runs_in_integers(conversions: Conversions) -> None:
    for taken in ("uint8", "float32"):
        compiled = conversions("int8", taken).measurements.compiled
        assert (compiled["QLinearConv"], compiled["QLinearAdd"]) == (19, 9)
        assert not compiled.get("Conv", 0) + compiled.get("FusedConv", 0)


def test_the_passport_says_it_all(conversions: Conversions) -> None:
    found = conversions("int8")
    document = passport.read(found.path / passport.FILE_NAME)
    assert isinstance(document, ConvertedPassport)
    assert (document.architecture, document.precision) == ("resnet20", "int8")
    assert document.trained
    assert not document.overridden
    assert document.model.sha256 == found.precise.sha256
    assert document.weights.sha256 == found.weights.sha256
    assert document.contract.input == "uint8"
    assert document.contract.preprocessing.crop == (32, 32)
    assert document.calibration is not None
    assert document.calibration.images == 128
    assert document.parity.decisions is not None
    assert document.parity.decisions.images == 100
    assert set(document.parity.numerics) == {1, 8}
    assert document.gate.passed is True
    assert document.parity.layers is not None
    assert {layer["name"] for layer in document.parity.layers} >= {"conv1", "fc"}
    assert [stage.name for stage in document.stages][:3] == ["weights", "reference", "trace"]
    assert shlex.split(document.command)[0] == "resnet-convert"


def test_progress_is_told(small: dict[str, Any]) -> None:
    recorder = Recorder()
    run(Request(**{**small, "precision": "int8"}), recorder)
    assert recorder.stages == [
        *("weights", "reference", "trace", "fold", "pixels"),
        *("calibrate", "quantize", "lint"),
        *("parity", "latency", "deploy"),
    ]
    assert len(recorder.summaries) == len(recorder.stages)
    assert "19 of 19 BatchNorms folded" in recorder.summaries[3]
    assert "20 layers INT8" in recorder.summaries[6]


def test_a_second_conversion_is_version_2(small: dict[str, Any]) -> None:
    first, second = convert(**small), convert(**small)
    assert (first.version, second.version) == (1, 2)
    assert (first.path / "model.onnx").read_bytes() == (second.path / "model.onnx").read_bytes()
    assert sha256(first.path / "model.onnx") == second.precise.sha256, "the same every time"


def test_few_calibration_images_are_warned_about(
    small: dict[str, Any], conversions: Conversions
) -> None:
    found = convert(**small, precision="int8")
    assert any("only 16 calibration images" in warning for warning in found.warnings)
    stamped = passport.read(found.path / passport.FILE_NAME)
    assert any("only 16 calibration images" in warning for warning in stamped.warnings)
    assert not any("calibration images" in w for w in conversions("int8").warnings)


def test_an_untrained_network_is_said_to_be_one(tmp_path: Path) -> None:
    found = convert(arch="resnet20", weights="random:3", repository=tmp_path / "models")
    assert any("UNTRAINED" in warning for warning in found.warnings)
    assert found.verdict.passed
    assert not passport.read(found.path / passport.FILE_NAME).trained
    assert not any(c.binding for c in found.verdict.checks if "top-1" in c.name)


def test_images_that_are_not_are_counted(tmp_path: Path, small: dict[str, Any]) -> None:
    folder = tmp_path / "images"
    Digits(held_out=False).export(folder, 12)
    (folder / "0" / "notes.txt").write_text("no image")
    found = convert(**small | {"precision": "int8", "calibration": str(folder)})
    assert any("notes.txt" in warning for warning in found.warnings)
    assert found.precise.calibration.images == 12


WORD = st.text(st.sampled_from("abcXYZ 019'\"$\\;*äé-_./"), min_size=1, max_size=12).map(
    lambda text: "x" + text
)


@cache
def parser() -> Any:
    """The command line, which typer takes a third of a second to make."""
    return typer.main.get_command(cli.app)


@given(
    st.builds(
        Request,
        arch=st.sampled_from(["resnet20", "resnet50"]),
        precision=st.sampled_from(["fp32", "fp16", "int8"]),
        weights=st.none() | WORD,
        target=st.sampled_from(["auto", "onnxruntime"]),
        name=st.none() | WORD,
        repository=WORD.map(Path),
        calibration=st.none() | WORD,
        validation=st.none() | WORD,
        labels=st.none() | WORD,
        ema=st.booleans(),
        trust_pickle=st.booleans(),
        weights_sha256=st.none() | WORD,
        preprocessing=st.none() | WORD.map(Path),
        module=st.none() | WORD,
        head=st.sampled_from(["classifier", "features"]),
        input=st.sampled_from(["uint8", "float32"]),
        max_batch_size=st.integers(1, 64),
        instances=st.integers(1, 4),
        calibration_images=st.integers(1, 1000),
        validation_images=st.none() | st.integers(1, 1000),
        force=st.booleans(),
    )
)
def test_the_command_makes_the_same_request_again(request_: Request) -> None:
    asked: list[Request] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.pipeline, "run", lambda request, _: asked.append(request))
        program, *words = shlex.split(request_.command())
        with contextlib.suppress(Exception, SystemExit):  # there is no conversion to be shown
            parser().main(words, standalone_mode=False)
    assert program == "resnet-convert"
    assert asked == [request_]
