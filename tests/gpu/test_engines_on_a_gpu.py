"""Plans on a real GPU: built, inspected, as exact as PyTorch, fast, and built again elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet_convert import Conversion
from resnet_convert.build_plan.build import build_plan
from resnet_convert.stage_log import Silent
from resnet_convert.tensorrt.builder import BuildHost
from resnet_serve import passport
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.runtimes import tensorrt

pytestmark = pytest.mark.gpu

Engines = Callable[[str, str], Conversion]
ARCHITECTURES = ("resnet18", "resnet50")
PRECISIONS = ("fp32", "fp16", "int8")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_plan_is_built_inspected_and_held_to_the_gate(
    engines: Engines, arch: str, precision: str
) -> None:
    conversion = engines(arch, precision)
    assert conversion.missing is None
    assert conversion.proof.engine is not None
    built = conversion.proof.engine.built
    assert built is not None
    assert built.inspection.wrong == ()
    assert conversion.verdict.passed
    assert conversion.measurements.runtime == "tensorrt"
    assert conversion.path is not None
    assert (conversion.path / "model.plan").read_bytes() == built.engine.plan
    stamped = passport.read(conversion.path / passport.FILE_NAME)
    assert stamped.engine_state == "built"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_residual_addition_is_part_of_its_convolution(engines: Engines, precision: str) -> None:
    engine = engines("resnet50", precision).proof.engine
    assert engine is not None
    assert engine.built is not None
    inspection = engine.built.inspection
    assert (inspection.fused, len(inspection.residuals)) == (16, 16)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_digits_keep_their_accuracy(engines: Engines, precision: str) -> None:
    decisions = engines("resnet20", precision).measurements.decisions
    assert decisions is not None
    assert decisions.converted_top1 is not None
    assert decisions.converted_top1 >= 99.0


@pytest.mark.timeout(900)
def test_every_batch_of_the_profile_and_none_outside(
    engines: Engines, build_host: BuildHost
) -> None:
    plan = engines("resnet20", "fp16").plan
    assert plan is not None
    images = np.random.default_rng(0).integers(0, 256, (17, 32, 32, 3), dtype=np.uint8)
    with tensorrt.load(plan, device=build_host.device) as model:
        whole = model.run(images[:16])
        for size in range(1, 16):
            for _ in range(3):  # plain, captured, replayed
                np.testing.assert_allclose(model.run(images[:size]), whole[:size], atol=2e-2)
        with pytest.raises(UsageError, match="outside the engine's profiles"):
            model.run(images)


@pytest.mark.timeout(900)
def test_int8_is_faster_than_fp32_and_both_than_pytorch(engines: Engines) -> None:
    """Ratios of one run on one machine; never a time."""
    ratios = {p: engines("resnet50", p).measurements.speedup for p in PRECISIONS}
    assert all(ratio is not None and not ratio.slower for ratio in ratios.values())
    times = {p: engines("resnet50", p).proof.engine for p in PRECISIONS}
    medians = {p: record.latencies[8].median_ms for p, record in times.items() if record}
    assert medians["fp16"] < medians["fp32"]
    assert medians["int8"] < medians["fp32"]


@pytest.mark.timeout(900)
def test_a_prepared_version_is_built_by_the_command(engines: Engines, tmp_path: Path) -> None:
    conversion = engines("resnet20", "int8")
    assert conversion.path is not None
    copy = tmp_path / "1"
    copy.mkdir()
    for name in ("model.onnx", "reference_outputs.npz", "passport.json"):
        (copy / name).write_bytes((conversion.path / name).read_bytes())
    made = build_plan(copy, Silent(), timing_cache=tmp_path / "timing")
    assert made.verdict.passed
    assert (copy / "model.plan").is_file()
    again = build_plan(copy, Silent(), timing_cache=tmp_path / "timing")
    assert again.record.built is not None
    assert again.record.built.engine.timing_cache_reused


@pytest.mark.timeout(900)
def test_a_damaged_plan_is_refused(engines: Engines, build_host: BuildHost) -> None:
    plan = engines("resnet20", "fp16").plan
    assert plan is not None
    with pytest.raises(InputFileError, match="cannot load this plan"):
        tensorrt.load(plan[: len(plan) // 2], device=build_host.device)
