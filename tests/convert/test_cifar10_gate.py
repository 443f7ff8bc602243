"""The gate on a really trained network: CIFAR-10 ResNet-20, INT8, 250 to 10,000 photographs."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from quantized import node

from resnet_convert import Conversion, convert
from resnet_convert.graph.initializers import array_of, assign
from resnet_convert.graph.model_file import serialize
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import compare
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.stage_log import Silent
from resnet_serve.datasets import open_images, pixel_batches
from resnet_serve.datasets.selection import positions
from resnet_serve.parity import accuracy
from resnet_serve.parity.verdict import Verdict
from resnet_serve.runtimes import open_on_cpu

DATA = Path(__file__).parents[3] / "shared/data/cifar10"
SIZES = (250, 1000, 10_000)
TARGETS = ("onnxruntime", "openvino")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the CIFAR-10 network is not in {DATA}"),
]


@dataclass(frozen=True)
class Converted:
    """A conversion with default options over all images, and what it was compared with."""

    conversion: Conversion
    recorded: ReferenceOutputs

    def verdict(self, size: int, data: bytes) -> Verdict:
        """The gate on a graph, over `size` of the images, evenly chosen."""
        rows = list(positions(len(self.recorded), size))
        labels = self.recorded.labels
        part = replace(
            self.recorded,
            pixels=self.recorded.pixels[rows],
            expected={"logits": self.recorded.logits[rows]},
            labels=None if labels is None else labels[rows],
            names=tuple(self.recorded.names[row] for row in rows),
        )
        request = self.conversion.request
        with open_on_cpu(request.row.name, "int8", data, 2) as model:
            found = compare(part, Candidate(model, request.row.name), part, Silent())
        return found.verdict(request.gate_budget, trained=True)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cifar10")
    for name in ("test-jpeg.tar", "calibration-jpeg.tar"):
        with tarfile.open(DATA / name) as archive:
            archive.extractall(place, filter="data")
    return place


@pytest.fixture(scope="module", params=TARGETS)
def converted(
    request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Converted]:
    own = images / "preprocessing.json"
    own.write_text(
        json.dumps(
            {
                "resize": 32,
                "crop": [32, 32],
                "resize_mode": "exact",
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
            }
        )
    )
    conversion = convert(
        arch="resnet20",
        weights=str(DATA / "resnet20-12fca82f.th"),
        labels="cifar10",
        preprocessing=own,
        precision="int8",
        target=request.param,
        calibration=str(images / "calibration"),
        validation=str(images / "test"),
        repository=tmp_path_factory.mktemp("models"),
    )
    how = conversion.weights.preprocessing
    validation = open_images(str(images / "test"), conversion.weights.labels, split="validation")
    logits = conversion.measurements.logits
    assert logits is not None
    yield Converted(
        conversion,
        ReferenceOutputs(
            name="cifar10",
            pixels=np.concatenate(list(pixel_batches(validation, how, 64))),
            expected={"logits": logits.reference},
            labels=logits.labels,
            names=tuple(map(str, range(len(validation)))),
            input_kind="uint8",
            preprocessing=how,
        ),
    )


def scaled(layer: str, channel: int, factor: float) -> Callable[[ir.Model], None]:
    def change(model: ir.Model) -> None:
        weight = node(model, layer).inputs[1]
        assert weight is not None
        scale = weight.producer().inputs[1]
        values = array_of(scale).copy()
        values[channel] *= factor
        assign(scale, values)

    return change


def test_it_is_deployed_with_default_options_over_10_000_images(converted: Converted) -> None:
    decisions = converted.conversion.measurements.decisions
    assert converted.conversion.version == 1
    assert decisions is not None
    assert decisions.images == 10_000
    assert decisions.reference_top1 == pytest.approx(81.03, abs=0.05)
    assert not converted.conversion.verdict.unshown, "10,000 images show it"


@pytest.mark.parametrize("size", SIZES)
def test_it_passes_with_any_number_of_images(converted: Converted, size: int) -> None:
    verdict = converted.verdict(size, converted.conversion.precise.data)
    assert verdict.passed, verdict.failures


@pytest.mark.parametrize("layer", ["conv1", "layer2.2.conv2"])
@pytest.mark.parametrize("size", SIZES)
def test_one_channel_out_of_scale_is_refused(converted: Converted, size: int, layer: str) -> None:
    model = converted.conversion.precise.model.clone()
    scaled(layer, 1, 4.0)(model)
    assert not converted.verdict(size, serialize(model)).passed


@pytest.mark.parametrize("size", SIZES)
def test_shuffled_labels_show_a_reference_at_chance(converted: Converted, size: int) -> None:
    """Both networks are wrong alike: only the reference's own accuracy tells."""
    logits = converted.conversion.measurements.logits
    assert logits is not None
    assert logits.labels is not None
    rows = list(positions(len(logits.labels), size))
    shuffled = np.random.default_rng(0).permutation(logits.labels)[rows]
    found = accuracy.decide(logits.reference[rows], logits.converted[rows], shuffled)
    assert found.reference_interval is not None
    low, high = found.reference_interval
    assert low < 11
    assert high < 20
