"""Repositories for the client's tests: the digits network taken apart, and one of three means."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray

from resnet_client import Prediction
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import UNBOUNDED, QueueBound
from resnet_serve.triton.repository import ModelFiles, Repository

MEANS = Preprocessing(resize=20, crop=(16, 24), interpolation="bicubic")
COLOURS = ("red", "green", "blue")
_MEANS_ONNX = """
<ir_version: 8, opset_import: ["" : 17]>
means (float[N,3,16,24] image) => (float[N,3] logits)
{ logits = ReduceMean <axes = [2, 3], keepdims = 0> (image) }
"""


@dataclass(frozen=True)
class Pictures:
    """The held-out digits as PNG files in the order of `paths`, with their labels."""

    folder: Path
    paths: tuple[Path, ...]
    labels: tuple[str, ...]


def logits(predictions: Iterable[Prediction]) -> NDArray[np.float64]:
    """All logits in the order of the classes."""
    return np.array([p.logit for p in sorted(predictions, key=lambda p: p.index)])


def only(converted: Path, repository: Path, name: str) -> Path:
    """Copy one classifier with its companions into a repository of its own."""
    for model in image_repository.directories(converted):
        if model.name.startswith(name):
            shutil.copytree(model, image_repository.directory(repository, model.name))
    return repository


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Rewrite a configuration; a change that changes nothing is a mistake of the test."""
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)


def deploy_means(repository: Path, queue: QueueBound = UNBOUNDED) -> None:
    """Deploy `means`: normalised FP32 planes in, the mean of each of the three as logits out."""
    serving = config.Serving(max_batch_size=4, instances=1, threads=1)
    classifier = config.classifier(
        "means",
        target=TARGETS["onnxruntime"],
        input_kind="float32",
        preprocessing=MEANS,
        classes=len(COLOURS),
        serving=serving,
    )
    before = config.preprocess(
        "means_preprocess",
        input_kind="float32",
        preprocessing=MEANS,
        serving=serving,
        cores=1,
        queue=queue,
    )
    image = config.image_ensemble(
        "means_image",
        preprocess_name="means_preprocess",
        classifier_name="means",
        classes=len(COLOURS),
        serving=serving,
    )
    labels = {LABELS_FILE: config.labels_text(COLOURS).encode()}
    model = {"model.onnx": onnx.parser.parse_model(_MEANS_ONNX).SerializeToString()}
    stored = {"preprocessing.json": MEANS.to_json().encode()}
    Repository(repository).deploy(
        [
            ModelFiles("means", config.to_text(classifier), labels, model),
            ModelFiles("means_preprocess", config.to_text(before), version_files=stored),
            ModelFiles("means_image", config.to_text(image), labels, {"steps.txt": b"two"}),
        ]
    )
