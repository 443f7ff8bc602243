"""`--head features` and `pyramid` for TensorRT: plans of several outputs, on a double's host.

Names and signatures are those of the real bindings; numbers come from the ONNX graph itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from repositories import at
from tensorrt_conversions import Start, converted, stamped

from resnet_client import contract as client
from resnet_convert.build_plan.build import build_plan
from resnet_convert.head import HEADS
from resnet_convert.stage_log import Silent
from resnet_serve import listing, passport
from resnet_serve.errors import InputFileError, ParityError
from resnet_serve.passport import BuiltEngineFacts, EngineState
from resnet_serve.triton import config
from resnet_serve.triton.repository import Repository

OUTPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "features": {"features": (64,)},
    "pyramid": {"c2": (16, 32, 32), "c3": (32, 16, 16), "c4": (64, 8, 8)},
}


def headed(tmp_path: Path, head: str, precision: str, **options: Any) -> Any:
    return converted(tmp_path, precision, head=head, validation_images=16, **options)


@pytest.mark.parametrize(
    ("head", "precision"),
    [("features", "fp32"), ("features", "int8"), ("pyramid", "fp16"), ("pyramid", "bf16")],
)
def test_every_output_of_the_plan_is_judged_and_deployed(
    start: Start, tmp_path: Path, head: str, precision: str
) -> None:
    start(precision, outputs=OUTPUTS[head])
    conversion = headed(tmp_path, head, precision)
    assert conversion.verdict.passed
    names = [check.name for check in conversion.verdict.checks]
    assert names[0] == "precision in the engine"
    assert f"cosine of the {HEADS[head]}, batch 8" in names
    assert conversion.measurements.runtime == "tensorrt"
    stamp = stamped(conversion)
    assert isinstance(stamp, passport.ConvertedPassport)
    assert (stamp.head, stamp.outputs, stamp.classes) == (head, OUTPUTS[head], None)
    assert isinstance(stamp.engine, BuiltEngineFacts)
    assert set(stamp.engine.latency) == {8}
    (row,) = listing.rows(Repository(conversion.request.repository).deployed())
    assert (row["engine"], row["head"], row["agreement"]) == ("built", head, None)


@pytest.mark.parametrize("head", OUTPUTS)
def test_prepared_on_one_host_built_on_another(start: Start, tmp_path: Path, head: str) -> None:
    conversion = headed(tmp_path, head, "fp16", prepare_only=True)
    assert conversion.measurements.runtime == "emulation"
    assert stamped(conversion).engine_state is EngineState.NOT_BUILT
    assert conversion.path is not None
    start("fp16", outputs=OUTPUTS[head], wrong_by=1.0)  # one output of several
    with pytest.raises(ParityError, match=f"no plan was written: .* of the {HEADS[head]}"):
        build_plan(conversion.path, Silent(), timing_cache=tmp_path / "timing")
    assert not (conversion.path / "model.plan").exists()
    start("fp16", outputs=OUTPUTS[head])
    made = build_plan(conversion.path, Silent(), timing_cache=tmp_path / "timing")
    assert made.verdict.passed
    assert made.measurements.count == 16
    assert made.measurements.output_kind == HEADS[head]
    engine = stamped(conversion).engine
    assert isinstance(engine, BuiltEngineFacts)
    assert engine.gate is not None
    assert engine.gate.passed


def test_reference_outputs_of_another_head_are_refused(start: Start, tmp_path: Path) -> None:
    pyramid = headed(tmp_path, "pyramid", "fp16", prepare_only=True)
    features = headed(tmp_path, "features", "fp16", prepare_only=True, name="features")
    start("fp16", outputs=OUTPUTS["pyramid"])
    assert pyramid.path is not None
    assert features.path is not None
    recorded = (features.path / "reference_outputs.npz").read_bytes()
    (pyramid.path / "reference_outputs.npz").write_bytes(recorded)
    with pytest.raises(InputFileError, match="does not hold the reference outputs"):
        build_plan(pyramid.path, Silent(), timing_cache=tmp_path / "timing")


@pytest.mark.parametrize("target", [{}, {"target": "onnxruntime", "accelerator": "tensorrt"}])
@pytest.mark.parametrize("head", OUTPUTS)
def test_the_configuration_has_every_output(
    tmp_path: Path, head: str, target: dict[str, str]
) -> None:
    """On this host nothing is built; the Extractor reads what NVIDIA's backend reads."""
    made = {"batch": ("1:2:4",), **target, **({} if target else {"prepare_only": True})}
    headed(tmp_path, head, "fp16", **made)
    for name in ("digits", "digits_image"):
        file = at(tmp_path / "models", f"{name}/config.pbtxt")
        message = config.parse(file.read_text(encoding="utf-8"))
        assert {each.name: tuple(each.dims) for each in message.output} == OUTPUTS[head]
        assert not any(each.label_filename for each in message.output)
        assert message.max_batch_size == 4
        found = client.read(name, "1", message, "client", classifies=False)
        assert (found.classes, found.max_batch_size) == (0, 4)
    message = config.parse((tmp_path / "models/digits/config.pbtxt").read_text(encoding="utf-8"))
    assert message.instance_group[0].kind == message.instance_group[0].KIND_GPU
    assert message.platform == ("" if target else "tensorrt_plan")
