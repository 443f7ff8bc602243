"""The gate on a really trained network: CIFAR-10 ResNet-20, INT8, 250 to 10,000 photographs.

Every network runs once, over all images; the gate is a function of the logits, so that its verdict
on fewer images is taken from the rows of these. That this is what a command finds that is given
fewer images is tested with one command per number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cifar10
import faults
import numpy as np
import pytest
from numpy.typing import NDArray
from quick import quicken
from trace_once import trace_once

from resnet_convert import Conversion, convert
from resnet_convert.graph.model_file import serialize
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.opening import PRECISION_CHECK
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.reference_check.stage import ReferenceRefusedError
from resnet_convert.stage_log import Silent
from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.datasets import open_images, pixel_batches
from resnet_serve.datasets.selection import positions
from resnet_serve.parity import accuracy, numerics
from resnet_serve.parity.gate import Verdict
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import open_on_cpu
from resnet_serve.weights import class_names

ALL = 10_000
SIZES = (250, 1000, ALL)
TARGETS = ("onnxruntime", "openvino")
BROKEN = ("conv1", "layer2.2.conv2")
pytestmark = pytest.mark.slow
Convert = Callable[..., Conversion]


@pytest.fixture(scope="module", autouse=True)
def moment() -> Iterator[None]:
    """Times of a moment, and one trace: what the gate says matters here."""
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        trace_once(patch)
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All photographs, `test` and `calibration`, and how the network takes them."""
    place = tmp_path_factory.mktemp("cifar10")
    cifar10.extract("test", ALL, place)
    cifar10.extract("calibration", 520, place)
    how = Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")
    (place / "preprocessing.json").write_text(how.to_json(), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def command(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """A conversion to INT8 with default options."""

    def run(target: str, **changes: Any) -> Conversion:
        options = {
            "labels": "cifar10",
            "preprocessing": images / "preprocessing.json",
            "repository": tmp_path_factory.mktemp("models"),
            **changes,
        }
        return convert(
            arch="resnet20",
            weights=str(cifar10.checkpoint()),
            precision="int8",
            target=target,
            calibration=str(images / "calibration"),
            validation=str(images / "test"),
            **options,
        )

    return run


@pytest.fixture(scope="module")
def converted(command: Convert) -> Callable[[str], Conversion]:
    """The conversion for a target, over all images; made once."""
    made: dict[str, Conversion] = {}

    def find_or_make(target: str) -> Conversion:
        if target not in made:
            made[target] = command(target)
        return made[target]

    return find_or_make


@pytest.fixture(scope="module")
def pixels(images: Path) -> NDArray[np.uint8]:
    how = Preprocessing.from_json((images / "preprocessing.json").read_text(encoding="utf-8"))
    names = class_names.built_in("cifar10")
    found = open_images(str(images / "test"), names, split="validation")
    return np.concatenate(list(pixel_batches(found, how, 64)))


@pytest.fixture(scope="module")
def broken(
    converted: Callable[[str], Conversion], pixels: NDArray[np.uint8]
) -> Callable[[str, str], Measurements]:
    """The comparison over all images of a graph with one channel out of scale; made once."""
    made: dict[tuple[str, str], Measurements] = {}

    def find_or_make(target: str, layer: str) -> Measurements:
        if (target, layer) not in made:
            good = converted(target)
            logits = good.measurements.logits
            assert logits is not None
            recorded = ReferenceOutputs(
                name="cifar10",
                pixels=pixels,
                logits=logits.reference,
                labels=logits.labels,
                names=tuple(map(str, range(ALL))),
                input_kind="uint8",
                preprocessing=good.weights.preprocessing,
            )
            model = good.precise.model.clone()
            faults.scaled(layer)(model)
            with open_on_cpu(target, "int8", serialize(model), 1) as runtime:
                found = compare(recorded, Candidate(runtime, target), recorded, Silent())
            made[target, layer] = found
        return made[target, layer]

    return find_or_make


def verdict(conversion: Conversion, found: Measurements, size: int) -> Verdict:
    """The gate on `size` of the images that were compared, evenly chosen."""
    logits = found.logits
    assert logits is not None
    assert logits.labels is not None
    rows = list(positions(len(logits.labels), size))
    reference, ours, labels = logits.reference[rows], logits.converted[rows], logits.labels[rows]
    part = replace(
        found,
        numerics={
            batch: numerics.compare(reference[:count], ours[:count])
            for batch, count in ((1, 8), (8, size))
        },
        decisions=accuracy.decide(reference, ours, labels),
    )
    return part.verdict(conversion.request.gate_budget, trained=True)


@pytest.mark.parametrize("target", TARGETS)
def test_it_is_deployed_with_default_options_over_10_000_images(
    converted: Callable[[str], Conversion], target: str
) -> None:
    conversion = converted(target)
    decisions = conversion.measurements.decisions
    assert conversion.version == 1
    assert decisions is not None
    assert decisions.images == ALL
    assert decisions.reference_top1 == pytest.approx(81.03, abs=0.05)
    assert not conversion.verdict.unshown, "10,000 images show it"


@pytest.mark.parametrize(("target", "size"), [("onnxruntime", 250), ("openvino", 1000)])
def test_a_command_with_fewer_images_finds_what_their_rows_say(
    command: Convert, converted: Callable[[str], Conversion], target: str, size: int
) -> None:
    found = command(target, validation_images=size)
    assert found.version == 1
    assert found.verdict.passed
    whole = converted(target)
    rows = list(positions(ALL, size))
    ours, all_of_them = found.measurements.logits, whole.measurements.logits
    assert ours is not None
    assert all_of_them is not None
    np.testing.assert_allclose(ours.reference, all_of_them.reference[rows], atol=1e-3)
    np.testing.assert_allclose(ours.converted, all_of_them.converted[rows], atol=1e-3)
    expected = verdict(whole, whole.measurements, size)
    checks = {each.name: each.passed for each in found.verdict.checks}
    assert checks.pop(PRECISION_CHECK)
    assert checks == {each.name: each.passed for each in expected.checks}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", SIZES)
def test_it_passes_with_any_number_of_images(
    converted: Callable[[str], Conversion], size: int, target: str
) -> None:
    conversion = converted(target)
    found = verdict(conversion, conversion.measurements, size)
    assert found.passed, found.failures


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("layer", BROKEN)
@pytest.mark.parametrize("size", SIZES)
def test_one_channel_out_of_scale_is_refused(
    converted: Callable[[str], Conversion],
    broken: Callable[[str, str], Measurements],
    size: int,
    layer: str,
    target: str,
) -> None:
    assert layer in faults.LAYERS
    assert not verdict(converted(target), broken(target, layer), size).passed


@pytest.mark.parametrize("name", faults.MISTAKES)
@pytest.mark.parametrize("size", SIZES)
def test_a_mistaken_reference_is_refused(
    command: Convert, images: Path, tmp_path: Path, size: int, name: str
) -> None:
    """Both networks would be wrong alike: only the reference's own accuracy tells."""
    given = weights.load(
        str(cifar10.checkpoint()), find("resnet20"), labels=class_names.built_in("cifar10")
    )
    how = Preprocessing.from_json((images / "preprocessing.json").read_text(encoding="utf-8"))
    mistaken = faults.MISTAKES[name](replace(given, preprocessing=how))
    preprocessing, labels = tmp_path / "preprocessing.json", tmp_path / "labels.json"
    preprocessing.write_text(mistaken.preprocessing.to_json(), encoding="utf-8")
    labels.write_text(json.dumps(mistaken.labels), encoding="utf-8")
    repository = tmp_path / "models"
    with pytest.raises(ReferenceRefusedError):
        command(
            TARGETS[0],
            validation_images=size,
            preprocessing=preprocessing,
            labels=labels,
            repository=repository,
        )
    assert not repository.exists()
