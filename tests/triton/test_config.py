"""config.pbtxt: golden files through the real protobuf, and the arithmetic of cores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from gpu_classifiers import DIGITS, IMAGENET, gpu_classifiers
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from resnet_serve.errors import UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config
from resnet_serve.triton.config import Serving

GOLDEN = Path(__file__).parent / "golden"
FOUR_CORES = Serving(max_batch_size=8, instances=2, threads=2)
ONE_CORE = Serving(max_batch_size=1, instances=1, threads=1)
TARGET = TARGETS["onnxruntime"]


def built() -> dict[str, Any]:
    return {
        **gpu_classifiers(),
        "classifier-uint8": config.classifier(
            "resnet20",
            target=TARGET,
            input_kind="uint8",
            preprocessing=DIGITS,
            classes=10,
            serving=FOUR_CORES,
        ),
        "classifier-float32": config.classifier(
            "resnet50",
            target=TARGET,
            input_kind="float32",
            preprocessing=IMAGENET,
            classes=1000,
            serving=ONE_CORE,
        ),
        "openvino-uint8-int8": config.classifier(
            "resnet20",
            target=TARGETS["openvino"],
            input_kind="uint8",
            preprocessing=DIGITS,
            classes=10,
            serving=FOUR_CORES,
            precision="int8",
        ),
        "openvino-float32-bf16": config.classifier(
            "resnet50",
            target=TARGETS["openvino"],
            input_kind="float32",
            preprocessing=IMAGENET,
            classes=1000,
            serving=ONE_CORE,
            precision="bf16",
        ),
        "preprocess-uint8": config.preprocess(
            "resnet20_preprocess",
            input_kind="uint8",
            preprocessing=DIGITS,
            serving=FOUR_CORES,
            cores=4,
        ),
        "preprocess-float32": config.preprocess(
            "resnet50_preprocess",
            input_kind="float32",
            preprocessing=IMAGENET,
            serving=ONE_CORE,
            cores=1,
        ),
        "ensemble": config.image_ensemble(
            "resnet20_image",
            preprocess_name="resnet20_preprocess",
            classifier_name="resnet20",
            classes=10,
            serving=FOUR_CORES,
        ),
    }


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.glob("*.pbtxt")} == set(built())


@pytest.mark.parametrize("name", built())
def test_equals_the_golden_file(name: str) -> None:
    text = (GOLDEN / f"{name}.pbtxt").read_text(encoding="utf-8")
    assert built()[name] == text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("name", built())
def test_text_and_message_round_trip(name: str) -> None:
    message = built()[name]
    text = config.to_text(message)
    assert config.parse(text) == message
    assert config.to_text(config.parse(text)) == text
    assert text.isascii()


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_the_ensemble_fits_its_two_models(kind: str) -> None:
    classifier = built()[f"classifier-{kind}"]
    preprocess = built()[f"preprocess-{kind}"]
    (pixels,), (image,) = preprocess.output, classifier.input
    assert (pixels.data_type, list(pixels.dims)) == (image.data_type, list(image.dims))
    assert preprocess.max_batch_size == classifier.max_batch_size
    ensemble = config.image_ensemble(
        "e",
        preprocess_name=preprocess.name,
        classifier_name=classifier.name,
        classes=classifier.output[0].dims[0],
        serving=FOUR_CORES if kind == "uint8" else ONE_CORE,
    )
    first, second = ensemble.ensemble_scheduling.step
    assert (first.model_name, second.model_name) == (preprocess.name, classifier.name)
    assert dict(first.input_map) == {preprocess.input[0].name: ensemble.input[0].name}
    assert set(first.output_map) == {pixels.name}
    assert dict(second.input_map) == {image.name: first.output_map[pixels.name]}
    assert dict(second.output_map) == {classifier.output[0].name: ensemble.output[0].name}
    assert ensemble.output[0] == classifier.output[0]
    assert ensemble.max_batch_size == classifier.max_batch_size


def test_what_must_not_be_in_it() -> None:
    """User-pains D28, and no accelerator that a CPU server would refuse."""
    for name, message in built().items():
        assert not message.dynamic_batching.preferred_batch_size
        assert message.HasField("optimization") == (name in gpu_classifiers())
        assert message.platform in ("", "ensemble", "tensorrt_plan")
        assert bool(message.platform) != bool(message.backend)


def test_the_preprocessing_can_be_read_back() -> None:
    text = built()["classifier-uint8"].parameters["preprocessing"].string_value
    assert Preprocessing.from_json(text) == DIGITS


@given(st.integers(1, 512), st.integers(-2, 600), st.integers(-2, 2**33))
def test_instances_times_threads_stay_within_the_cores(
    cores: int, instances: int, batch: int
) -> None:
    try:
        found = Serving.fitting(cores=cores, max_batch_size=batch, instances=instances)
    except UsageError as refusal:
        assert not (1 <= instances <= cores and 1 <= batch < 2**31)
        assert "\n" not in str(refusal)
        return
    assert 1 <= found.instances * found.threads <= cores
    assert cores - found.instances * found.threads < found.instances, "no core left idle needlessly"
    assert (found.instances, found.max_batch_size) == (instances, batch)
    config.classifier(
        "m",
        target=TARGET,
        input_kind="uint8",
        preprocessing=DIGITS,
        classes=10,
        serving=found,
    )


LABEL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(LABEL, max_size=20))
def test_labels_are_one_a_line_whatever_is_in_them(labels: list[str]) -> None:
    lines = config.labels_text(labels).encode().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(labels)
    for line, label in zip(lines, labels, strict=True):
        assert line.decode().split() == label.split()


def test_labels_in_other_scripts() -> None:
    assert config.labels_text(["Ente", "鴨", "duck,  mallard"]) == "Ente\n鴨\nduck, mallard\n"


@given(
    st.text(st.sampled_from("abcXYZ019_-."), min_size=1, max_size=30),
    st.sampled_from(["uint8", "float32"]),
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.integers(1, 30_000),
    st.integers(1, 64),
)
def test_any_classifier_round_trips(
    name: str, kind: str, crop: tuple[int, int], classes: int, batch: int
) -> None:
    message = config.classifier(
        name,
        target=TARGET,
        input_kind=kind,
        preprocessing=Preprocessing(crop=crop),
        classes=classes,
        serving=Serving(batch, 1, 3),
    )
    assert config.parse(config.to_text(message)) == message
    assert message.HasField("dynamic_batching") == (batch > 1)
    assert [w.batch_size for w in message.model_warmup] == sorted({1, batch})
