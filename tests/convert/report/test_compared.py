"""The page of a comparison: every row, the flipped images, and nothing from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from resnet_convert.autoselect.comparison import Comparison
from resnet_convert.autoselect.entrants import Entrant, EntrantResult
from resnet_convert.parity.compare import Logits, Measurements
from resnet_convert.report import compared
from resnet_convert.request import Request
from resnet_serve import host, weights
from resnet_serve.architectures import find
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import accuracy, numerics
from resnet_serve.parity.latency import Latency, Ratio

pytest.importorskip("jinja2")

IMAGES = spread(Digits(held_out=True), 8)
PASSED, REFUSED, IMPOSSIBLE = (
    Entrant("onnxruntime", "fp32", 1, 2),
    Entrant("openvino", "int8", 1, 2),
    Entrant("tensorrt", "fp16", 1, 2),
)


def measurements(wrong: int) -> Measurements:
    """Right logits, with another class for the first `wrong` images."""
    labels = IMAGES.labels
    assert labels is not None
    reference = np.eye(10, dtype=np.float32)[labels]
    converted = reference.copy()
    converted[:wrong] = np.roll(reference[:wrong], 1, axis=1)
    return Measurements(
        images=IMAGES.name,
        images_sha256="",
        output_kind="logits",
        numerics={8: numerics.compare(reference, converted)},
        logits=Logits(reference, converted, labels),
        decisions=accuracy.decide(reference, converted, labels),
        runtime="onnxruntime",
        compiled={},
    )


def page(*, caution: bool = False) -> str:
    ratio = Ratio(2.0, 0.5, 9.0) if caution else Ratio(2.0, 1.9, 2.1)
    passed = EntrantResult(
        PASSED, None, 1.0, Latency(1, (2.0,)), ratio, found=measurements(0), size_bytes=2_000_000
    )
    refused = EntrantResult(REFUSED, "no parity: <SQNR>", 0.75, found=measurements(2))
    found = Comparison.of(
        "latency",
        order=[PASSED, REFUSED, IMPOSSIBLE],
        results=[passed, refused, EntrantResult(IMPOSSIBLE, "TensorRT is not installed here")],
        rates=[],
        graphs={},
        pytorch=Latency(1, (4.0,)),
    )
    return compared.render(
        found,
        request=Request(arch="resnet20", weights="digits"),
        weights=weights.load("digits", find("resnet20")),
        images=IMAGES,
        machine=host.describe(),
        warnings=("a warning & more",),
        created=datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_every_row_has_its_numbers_or_its_reason() -> None:
    text = page()
    assert "1 of 2 pass the gate" in text
    assert "TensorRT is not installed here" in text
    assert "no parity: &lt;SQNR&gt;" in text
    assert "2.0×" in text
    assert "2 MB" in text
    assert "best for latency" in text
    assert "a warning &amp; more" in text
    assert "100.00\N{NO-BREAK SPACE}%" in text
    assert "75.00\N{NO-BREAK SPACE}%" in text


def test_flipped_images_are_shown_with_both_decisions() -> None:
    text = page()
    assert "OpenVINO INT8: 2 images decided otherwise than by PyTorch" in text
    assert text.count("data:image/jpeg") == 2
    assert "ONNX Runtime FP32: " not in text


def test_a_wide_interval_states_no_speed() -> None:
    text = page(caution=True)
    assert "not stated: host busy" in text
    assert "2.0×" not in text


def test_needs_nothing_else() -> None:
    assert "<script" not in page()
    assert "http" not in page().replace("http-equiv", "")
