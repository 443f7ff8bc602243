"""The gate of sigmoid heads: rounding passes at any number of images, a broken label never does."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_serve.activation import Activation, Kind
from resnet_serve.parity.label_gate import checks
from resnet_serve.parity.labels import decide
from resnet_serve.parity.verdict import Check
from resnet_serve.precisions import find

INT8 = find("int8").budget
HALF = Activation(Kind.SIGMOID, (0.5,))
RARE = 4  # the label that few images have
MANY = [100, 1000, 10_000]


def logits(images: int, outputs: int = 5, seed: int = 0) -> np.ndarray:
    """Of a trained network: mostly sure, one image in twenty has the rare label."""
    generator = np.random.default_rng(seed)
    signs = np.where(generator.random((images, outputs)) < 0.3, 1, -1)
    if outputs > RARE:
        signs[:, RARE] = np.where(np.arange(images) % 20 == 0, 1, -1)
    return (signs * generator.gamma(2, 1.5, (images, outputs))).astype(np.float32)


def rounded(reference: np.ndarray, noise: float = 0.15) -> np.ndarray:
    """As a good INT8 network has it, at 29 dB."""
    generator = np.random.default_rng(1)
    return reference + generator.normal(0, noise, reference.shape).astype(np.float32)


def truth_of(reference: np.ndarray) -> np.ndarray:
    """What the reference says is right nine times in ten."""
    wrong = np.random.default_rng(2).random(reference.shape) < 0.1
    return ((reference >= 0) ^ wrong).astype(np.int64)


def failed(reference: np.ndarray, converted: np.ndarray, *, known: bool = False) -> list[str]:
    truth = truth_of(reference) if known else None
    found = decide(HALF, reference, converted, truth, names=tuple("abcde")[: reference.shape[1]])
    return [
        each.name for each in checks(INT8, found, trained=True) if each.binding and not each.passed
    ]


@pytest.mark.parametrize("images", MANY)
@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("known", [False, True])
def test_rounding_passes(images: int, outputs: int, known: bool) -> None:
    for seed in range(5):
        reference = logits(images, outputs, seed)
        assert not failed(reference, rounded(reference), known=known)


@pytest.mark.parametrize("images", MANY)
def test_a_rare_label_that_is_never_found_is_refused(images: int) -> None:
    """It is right on 95 % of the images, and all others are as they were."""
    reference = logits(images)
    converted = rounded(reference)
    converted[:, RARE] = -np.abs(converted[:, RARE])
    assert "worst label" in failed(reference, converted)
    found = decide(HALF, reference, converted, names=tuple("abcde"))
    (check,) = (each for each in checks(INT8, found, trained=True) if each.name == "worst label")
    assert check.found.startswith("e: ")


@pytest.mark.parametrize("images", MANY)
@pytest.mark.parametrize("outputs", [1, 5])
def test_shuffled_images_are_refused(images: int, outputs: int) -> None:
    reference = logits(images, outputs)
    names = failed(reference, np.roll(reference, 1, axis=0), known=True)
    assert {"decisions changed, by margin", "worst label"} <= set(names)
    assert names[-1] in ("accuracy lost", "images with every label right, lost")


@pytest.mark.parametrize("images", MANY)
def test_swapped_labels_are_refused(images: int) -> None:
    reference = logits(images)
    assert failed(reference, reference[:, [1, 0, 2, 3, 4]])


def of(name: str, found: tuple[Check, ...]) -> Check:
    return next(each for each in found if each.name == name)


def test_untrained_decisions_are_shown_and_do_not_bind() -> None:
    reference = logits(100)
    found = checks(INT8, decide(HALF, reference, -reference), trained=False)
    assert not any(each.passed or each.binding for each in found)


def test_a_budget_of_the_user_binds() -> None:
    reference = logits(1000, 1)
    converted = rounded(reference, noise=1.0)
    found = decide(HALF, reference, converted, truth_of(reference))
    plain = checks(INT8, found, trained=True)
    assert not of("decisions that agree", plain).binding
    asked = checks(INT8.allowing(agreement=0.999), found, trained=True)
    assert of("decisions that agree", asked).binding
    assert not of("decisions that agree", asked).passed
    allowed = checks(INT8.allowing(top1_points=20), found, trained=True)
    assert of("accuracy lost", allowed).passed
    assert not of("decisions changed, by margin", allowed).binding
