"""Classifiers of greys, two of which decide some images differently.

`shades` calls an image dark, medium or light by its mean grey; `shades-int8` calls one light from
about 160 on, where `shades` still says medium. `tones` has labels of which a light image has two
and a dark one none. All are deployed as a conversion would, with a passport, examples and a report,
and need no training.
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
from passports import converted
from PIL import Image

from resnet_serve import passport
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.passport import OnnxFacts, TensorContractFacts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import ModelFiles, Repository, examples, whole
from resnet_serve.triton.repository.examples import Examples

LABELS = ("dark", "medium", "light")
TONES = ("low", "middle", "high")
SIDE = 16
DARK, MEDIUM, DISPUTED, LIGHT = 30, 120, 165, 230  # of which one is decided differently
_CENTRES = (40 / 255, 125 / 255, 220 / 255)
REPORT = "<!doctype html><title>Report</title><style>p { color: rgb(0, 128, 0) }</style><p>Proved."


def image(level: int, *, side: int = 64, kind: str = "PNG") -> bytes:
    """An image file of one grey."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (level,) * 3).save(file, kind)
    return file.getvalue()


def deploy(path: Path) -> Path:
    """All of them, in a repository there."""
    repository = Repository(path)
    _deploy(repository, "shades", "fp32", 0.0)
    _deploy(repository, "shades-int8", "int8", 0.3)
    each_label = Activation(Kind.SIGMOID, (0.5,))
    _deploy(repository, "tones", "fp32", 0.0, labels=TONES, activation=each_label)
    return path


def redeploy(path: Path) -> None:
    """Another version of `shades-int8`, which decides as `shades` does."""
    _deploy(Repository(path), "shades-int8", "int8", 0.0)


def _model(added: float, less: float) -> bytes:
    """FP32 planes [N,3,16,16] to logits: the nearest of the centres; `added` favours light.

    All logits are smaller by `less`.
    """
    scales = ", ".join(str(60 * 2 * each) for each in _CENTRES)
    offsets = ", ".join(str(-60 * each**2 - less) for each in _CENTRES)
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    graph (float[N,3,{SIDE},{SIDE}] image) => (float[N,3] logits)
      <float[3] scales = {{{scales}}}, float[3] offsets = {{{offsets}}},
       float[3] favour = {{0, 0, {60 * added / 5}}}> {{
      mean = ReduceMean <axes = [2, 3], keepdims = 0> (image)
      scaled = Mul(mean, scales)
      moved = Add(scaled, offsets)
      logits = Add(moved, favour)
    }}"""
    return bytes(onnx.parser.parse_model(text).SerializeToString())


def _deploy(
    repository: Repository,
    name: str,
    precision: str,
    added: float,
    *,
    labels: tuple[str, ...] = LABELS,
    activation: Activation | None = None,
) -> None:
    preprocessing = Preprocessing(resize=SIDE, crop=(SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    serving = config.Serving(max_batch_size=4, instances=1, threads=1)
    kind: dict[str, Any] = {
        "input_kind": "float32",
        "preprocessing": preprocessing,
        "serving": serving,
    }
    written = config.classifier(
        name,
        target=TARGETS["onnxruntime"],
        classes=len(labels),
        activation=activation or SOFTMAX,
        **kind,
    )
    levels = (DARK, MEDIUM, DISPUTED, LIGHT)
    kept = Examples(
        source="greys",
        names=tuple(map(str, levels)),
        images=tuple(map(image, levels)),
        expected={"logits": np.zeros((len(levels), len(LABELS)), np.float32)},
    )
    model = _model(added, 0.0 if activation is None else 20.0)
    files = ModelFiles(
        name,
        config.to_text(written),
        {LABELS_FILE: config.labels_text(labels).encode()},
        {
            "model.onnx": model,
            examples.FILE_NAME: kept.to_bytes(),
            "report.html": REPORT.encode(),
        },
    )
    stated = converted(
        name=name,
        precision=precision,
        classes=len(LABELS),
        outputs={"logits": (len(LABELS),)},
        model=OnnxFacts(
            file="model.onnx", sha256="1" * 64, size_bytes=len(model), opset=17, ir_version=8
        ),
        contract=TensorContractFacts(
            input="float32",
            preprocessing=preprocessing,
            activation=activation or SOFTMAX,
            max_batch_size=4,
            instances=1,
            threads=1,
        ),
        files=whole.hashes([files]),
    )
    stamped = {**files.version_files, passport.FILE_NAME: stated.to_bytes()}
    repository.deploy([dataclasses.replace(files, version_files=stamped)])
