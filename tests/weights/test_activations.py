"""The activation of a checkpoint: stated, assumed and said, or asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from resnet_serve import weights
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.architectures import find
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.weights import class_names
from resnet_serve.weights.activations import Labelling, decide
from resnet_serve.weights.assumptions import Subject

pytestmark = pytest.mark.usefixtures("one_thread")
HALF = Activation(Kind.SIGMOID, (0.5,))


def network(classes: int, labels: tuple[str, ...] | None = None) -> weights.Weights:
    """A resnet20 that counts as trained, of which no file says anything."""
    row = find("resnet20").with_classes(classes)
    names = labels or class_names.default(classes)
    loaded = weights.load("random:1", row)
    return replace(loaded, architecture=row, labels=names, trained=True)


def assumed(loaded: weights.Weights) -> dict[Subject, str]:
    return {each.subject: each.remedy for each in loaded.assumptions}


# --- several outputs ---------------------------------------------------------------------------


def test_several_outputs_are_assumed_to_be_a_softmax_and_that_is_said() -> None:
    found = decide(network(3))
    assert found.activation == SOFTMAX
    assert assumed(found) == {Subject.ACTIVATION: "--activation softmax"}
    stated = decide(network(3), kind="softmax")
    assert stated.activation == SOFTMAX
    assert not assumed(stated)


def test_images_with_several_labels_are_a_sigmoids() -> None:
    found = decide(network(3), images=Labelling(several=True))
    assert found.activation == HALF
    assert assumed(found) == {Subject.ACTIVATION: "--activation sigmoid"}
    with pytest.raises(UsageError, match="decides for one"):
        decide(network(3), kind="softmax", images=Labelling(several=True))


def test_the_option_wins_over_the_file_and_the_contradiction_is_said() -> None:
    stated = replace(network(3), activation=HALF, activation_from="config.json beside w.pth")
    assert decide(stated).activation == HALF
    assert not decide(stated).notices
    found = decide(stated, kind="none")
    assert found.activation == Activation(Kind.NONE)
    assert found.notices == (
        "--activation none is used, although config.json beside w.pth says sigmoid",
    )


def test_untrained_networks_are_not_said_to_be_anything() -> None:
    assert not decide(replace(network(3), trained=False)).assumptions


# --- one output --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [None, "softmax"])
def test_one_output_is_asked_for_and_the_remedy_works(kind: str | None) -> None:
    with pytest.raises(UsageError) as refused:
        decide(network(1), kind=kind)
    assert refused.value.exit_code == 2
    remedies = [
        word for word in ("sigmoid", "none") if f"--activation {word}" in str(refused.value)
    ]
    assert remedies == ["sigmoid", "none"]
    assert [decide(network(1), kind=each).activation.kind for each in remedies] == remedies


def test_two_names_are_the_negative_and_the_positive() -> None:
    found = decide(network(1, ("cat", "dog")), kind="sigmoid")
    assert (found.labels, found.activation) == (("dog",), replace(HALF, negative="cat"))
    assert not found.assumptions
    with pytest.raises(UsageError, match="two labels for one output"):
        decide(network(1, ("cat", "dog")), kind="none")


@pytest.mark.parametrize(
    ("labels", "folders", "positive", "negative", "said"),
    [
        (("dog",), (), "dog", None, False),
        (("dog",), ("dog", "wolf"), "dog", "wolf", False),
        (None, ("cat", "dog"), "dog", "cat", True),
        (None, (), "positive", "negative", True),
    ],
)
def test_the_outcomes_have_names(
    labels: tuple[str, ...] | None,
    folders: tuple[str, ...],
    positive: str,
    negative: str | None,
    said: bool,
) -> None:
    found = decide(network(1, labels), kind="sigmoid", images=Labelling(folders=folders))
    assert (found.labels, found.activation.negative) == ((positive,), negative)
    assert (Subject.LABELS in assumed(found)) == said


# --- thresholds --------------------------------------------------------------------------------


def test_thresholds_are_of_sigmoids(tmp_path: Path) -> None:
    assert decide(network(3), kind="sigmoid", threshold="0.2").activation.thresholds == (0.2,)
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"b": 0.3, "a": 0.7}))
    found = decide(network(2, ("a", "b")), kind="sigmoid", threshold=str(path))
    assert found.activation.thresholds == (0.7, 0.3)
    with pytest.raises(UsageError, match="the activation is softmax") as refused:
        decide(network(3), threshold="0.2")
    assert "--activation sigmoid" in str(refused.value)
    stated = replace(network(1), activation=Activation(Kind.SIGMOID, (0.9,)), activation_from="x")
    assert decide(stated).activation.thresholds == (0.9,)
    assert decide(stated, threshold="0.4").activation.thresholds == (0.4,)


# --- what files state --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "classes", "labels"),
    [
        (Activation(Kind.SIGMOID, (0.3,), "cat"), 1, ("dog",)),
        (Activation(Kind.SIGMOID, (0.3, 0.6)), 2, ("a", "b")),
        (Activation(Kind.NONE), 1, ("age",)),
        (SOFTMAX, 2, ("a", "b")),
    ],
)
def test_our_own_metadata_keeps_it(
    tmp_path: Path, activation: Activation, classes: int, labels: tuple[str, ...]
) -> None:
    path = tmp_path / "net.safetensors"
    given = replace(network(classes, labels), activation=activation, activation_from="training")
    weights.save(path, given)
    found = decide(weights.load(str(path), None))
    assert (found.activation, found.labels) == (activation, labels)
    assert found.activation_from == f"the metadata of {path}"
    assert Subject.ACTIVATION not in assumed(found)


def test_metadata_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    for text in ("softmax", Activation(Kind.SIGMOID, (0.5, 0.5, 0.5)).to_text()):
        save_file(dict(network(2).state), path, {"activation": text})
        with pytest.raises(InputFileError, match="metadata 'activation' cannot be used"):
            weights.load(str(path), None)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ("multi_label_classification", Kind.SIGMOID),
        ("single_label_classification", Kind.SOFTMAX),
        ("regression", Kind.NONE),
        (None, None),
    ],
)
def test_transformers_states_it(tmp_path: Path, problem: str | None, kind: Kind | None) -> None:
    path = tmp_path / "model.safetensors"
    save_file(dict(network(3).state), path)
    config = {"model_type": "resnet", "layer_type": "basic", "problem_type": problem}
    path.with_name("config.json").write_text(json.dumps(config))
    found = weights.load(str(path), find("resnet20"))
    assert (found.activation_from is not None) == (kind is not None)
    assert decide(found).activation.kind is (kind or Kind.SOFTMAX)


def test_the_shipped_network_is_a_softmax() -> None:
    found = decide(weights.load("digits", find("resnet20")))
    assert found.activation == SOFTMAX
    assert Subject.ACTIVATION not in assumed(found)
