"""The page of a gate without a conversion: what it shows, of classes and of labels."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_convert.parity.compare import Logits, Measurements
from resnet_convert.parity.parity_error import Subject
from resnet_convert.report import gate
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.activation.contract import sigmoid
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import accuracy, labels, numerics
from resnet_serve.precisions import find

IMAGES = spread(Digits(held_out=True), 12)
NAMES = ("none", "one", "two")
SIGMOID = Activation(Kind.SIGMOID, (0.5,))


def measured(
    reference: NDArray[Any], converted: NDArray[Any], activation: Activation, kind: str = "logits"
) -> Measurements:
    pair = reference.astype(np.float32), converted.astype(np.float32)
    several = activation.decides_labels
    averaged = kind != "logits"
    return Measurements(
        images=IMAGES.name,
        images_sha256="",
        output_kind=kind,
        numerics={8: numerics.compare(*pair)},
        logits=Logits(*pair, None),
        decisions=None if several else accuracy.decide(*pair, probabilities=averaged),
        label_decisions=labels.decide(activation, *pair, names=NAMES, probabilities=averaged)
        if several
        else None,
        runtime="onnxruntime",
        compiled={},
    )


def page(found: Measurements, activation: Activation, trained: bool = True, **more: Any) -> str:
    verdict = found.verdict(find("int8").budget, trained=trained)
    subject = Subject(IMAGES, NAMES, activation, trained, ("a <warning>",), ("a <note>",))
    return gate.render("both", verdict, found, subject, **more)


def logits() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 3, (len(IMAGES), 3))


@pytest.mark.parametrize("trained", [True, False])
def test_a_refusal_has_the_checks_the_images_and_what_to_try(trained: bool) -> None:
    found = measured(logits(), logits()[:, ::-1], SOFTMAX)
    shown = page(found, SOFTMAX, trained, refused="parity is not met", next_command="do this")
    assert "both was refused" in shown
    assert '<header class="bad">' in shown
    assert "✗ not met" in shown
    assert "<code>do this</code>" in shown
    warnings, notes = shown.index("a &lt;warning&gt;"), shown.index("a &lt;note&gt;")
    assert warnings < shown.index('<h2 id="notes">') < notes
    assert ("data:image/jpeg;base64," in shown) == trained
    assert ("Changed decisions" in shown) == trained


def test_what_passes_has_no_banner() -> None:
    shown = page(measured(logits(), logits(), SOFTMAX), SOFTMAX)
    assert "both passed parity" in shown
    assert "banner" not in shown.partition("</style>")[2]
    assert "Changed decisions" not in shown


def test_equal_outputs_are_not_shown_as_a_success() -> None:
    same = np.tile(logits()[:1], (len(IMAGES), 1))
    shown = page(measured(same, same, SOFTMAX), SOFTMAX)
    assert '<header class="neutral">' in shown
    assert "✓ passed" not in shown


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_labels_are_named_whether_logits_or_probabilities_were_compared(kind: str) -> None:
    """Probabilities of an average are read at the threshold, as logits are."""
    reference = logits()
    converted = reference.copy()
    converted[3] = -reference[3]
    pair = reference, converted
    if kind == "probabilities":
        pair = sigmoid(reference), sigmoid(converted)
    shown = html.unescape(page(measured(*pair, SIGMOID, kind), SIGMOID))
    theirs = ", ".join(n for n, z in zip(NAMES, reference[3], strict=True) if z >= 0) or "none"
    ours = ", ".join(n for n, z in zip(NAMES, reference[3], strict=True) if z < 0) or "none"
    assert f"<td>{theirs}</td><td>{ours}</td>" in shown
    assert shown.count("Average precision") == 1
