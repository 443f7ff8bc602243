"""Versions prepared on one host and built on another, which has a double of TensorRT."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from quick import quicken
from tensorrt_conversions import DIGITS, Start, converted, stamped

from resnet_convert import Conversion
from resnet_convert.build_plan.build import PlanBuild, build_plan
from resnet_convert.parity.parity_error import GateError
from resnet_convert.report import gate
from resnet_convert.request.check import check
from resnet_convert.request.recorded import parse
from resnet_convert.stage_log import Silent
from resnet_serve import durable, passport
from resnet_serve.errors import ConversionError, InputFileError, UsageError
from resnet_serve.passport import BuiltEngineFacts, EngineState

Prepared = Callable[..., Conversion]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Conversion]:
    """A conversion for each set of options, made once: none depends on the version of TensorRT."""

    @cache
    def make(precision: str, **options: Any) -> Conversion:
        with pytest.MonkeyPatch.context() as patch:
            quicken(patch)
            return converted(tmp_path_factory.mktemp("prepared"), precision, **options)

    return make


@pytest.fixture
def elsewhere(made_once: Callable[..., Conversion], tmp_path: Path) -> Callable[..., Conversion]:
    """A conversion that was made on another host, with its repository copied to this one."""

    def copied(precision: str = "int8", **options: Any) -> Conversion:
        made = made_once(precision, **options)
        assert made.path is not None
        source, place = Path(made.request.repository), tmp_path / "models"
        shutil.copytree(source, place, dirs_exist_ok=True)
        return replace(made, path=place / made.path.relative_to(source))

    return copied


@pytest.fixture
def prepared(elsewhere: Callable[..., Conversion]) -> Callable[..., Conversion]:
    """A version whose plan is to be built here."""
    return partial(elsewhere, prepare_only=True)


def built(directory: Path, tmp_path: Path, **options: Any) -> PlanBuild:
    return build_plan(directory, Silent(), timing_cache=tmp_path / "timing", **options)


def test_prepared_on_one_host_built_on_another(
    start: Start, tmp_path: Path, api: Any, prepared: Prepared
) -> None:
    conversion = prepared()
    host = start("int8")
    assert conversion.path is not None
    assert not (conversion.path / "model.plan").exists()
    assert stamped(conversion).engine_state is EngineState.NOT_BUILT
    made = built(tmp_path / "models" / "digits", tmp_path)
    assert made.path == conversion.path
    assert host.opened == 1
    assert made.verdict.passed
    assert made.measurements.decisions.images == DIGITS["validation_images"]
    assert made.measurements.decisions.top1_agreement == (
        conversion.measurements.decisions.top1_agreement
    )
    engine = stamped(conversion).engine
    assert isinstance(engine, BuiltEngineFacts)
    assert engine.tensorrt == api.version
    assert engine.gate is not None
    assert engine.gate.passed
    assert engine.parity is not None
    assert engine.parity.runtime == "tensorrt"
    plan = (conversion.path / "model.plan").read_bytes()
    assert engine.plan_sha256 == durable.sha256(plan)
    assert json.loads(json.dumps(made.to_json()))["state"] == "built"
    again = built(conversion.path, tmp_path)
    assert again.record.built is not None
    assert again.record.built.engine.timing_cache_reused


def test_what_was_prepared_can_be_overridden_where_it_is_built(
    start: Start, tmp_path: Path, prepared: Prepared
) -> None:
    conversion = prepared(workspace=100)
    start("int8")
    assert conversion.path is not None
    made = built(conversion.path, tmp_path, level=5)
    assert (made.record.options.level, made.record.options.workspace_mib) == (5, 100)


@pytest.mark.parametrize("host", [{"fell_back": {"conv1": "fp16"}}, {"wrong_by": 3.0}])
def test_a_plan_that_is_refused_is_not_written(
    start: Start, tmp_path: Path, host: dict[str, Any], prepared: Prepared
) -> None:
    conversion = prepared()
    start("int8", **host)
    assert conversion.path is not None
    before = sorted(path.name for path in conversion.path.iterdir())
    with pytest.raises(GateError, match="no plan was written") as refused:
        built(conversion.path, tmp_path)
    found = refused.value
    following = found.next_command or ""
    again, then = following.split(" && ")
    check(parse(again))
    assert shlex.split(then) == ["resnet-convert", "build-plan", str(conversion.path.parent)]
    assert found.result()["next"] == following
    page = gate.render(
        "the plan",
        found.verdict,
        found.measurements,
        found.subject,
        refused=found.what,
        next_command=following,
    )
    assert "✗ not met" in page
    assert "data:image/jpeg;base64," in page
    assert sorted(path.name for path in conversion.path.iterdir()) == before
    assert stamped(conversion).engine_state is EngineState.NOT_BUILT
    forced = built(conversion.path, tmp_path, force=True)
    assert not forced.verdict.passed
    assert stamped(conversion).overridden


def test_a_model_that_is_not_its_passports(
    start: Start, tmp_path: Path, prepared: Prepared
) -> None:
    conversion = prepared("fp16")
    start("fp16")
    assert conversion.path is not None
    model = conversion.path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(InputFileError, match="SHA-256 differs"):
        built(conversion.path, tmp_path)
    model.unlink()
    with pytest.raises(InputFileError, match="no such file"):
        built(conversion.path, tmp_path)


def test_a_graph_that_breaks_a_rule_is_refused_before_the_build(
    start: Start, tmp_path: Path, prepared: Prepared, elsewhere: Prepared
) -> None:
    """A u8 graph for ONNX Runtime in the place of the one for TensorRT."""
    conversion = prepared("int8")
    other = elsewhere("int8", target="onnxruntime", name="cpu")
    start("int8")
    assert conversion.path is not None
    assert other.path is not None
    data = (other.path / "model.onnx").read_bytes()
    (conversion.path / "model.onnx").write_bytes(data)
    stamp = stamped(conversion)
    stamp = replace(stamp, model=replace(stamp.model, sha256=durable.sha256(data)))
    (conversion.path / passport.FILE_NAME).write_bytes(stamp.to_bytes())
    with pytest.raises(ConversionError, match="TensorRT rule T1") as refusal:
        built(conversion.path, tmp_path)
    assert refusal.value.exit_code == 5
    assert "--target tensorrt" in str(refusal.value)


def test_a_model_for_another_target(start: Start, tmp_path: Path, elsewhere: Prepared) -> None:
    other = elsewhere("fp32", target="onnxruntime", name="cpu")
    start("fp32")
    assert other.path is not None
    with pytest.raises(UsageError, match=r"converted for onnxruntime.*--target tensorrt"):
        built(other.path, tmp_path)


def test_a_plan_for_the_gpu_here_is_for_no_other(
    start: Start, tmp_path: Path, prepared: Prepared
) -> None:
    conversion = prepared("fp16")
    start("fp16")
    assert conversion.path is not None
    with pytest.raises(UsageError, match="--for is not for engines of TensorRT"):
        built(conversion.path, tmp_path, gpus="l4")


def test_a_directory_that_is_no_model(start: Start, tmp_path: Path) -> None:
    start("fp32")
    with pytest.raises(InputFileError, match="no such directory"):
        built(tmp_path / "nowhere", tmp_path)
    with pytest.raises(InputFileError, match="no model that resnet-convert deployed"):
        built(tmp_path, tmp_path)
