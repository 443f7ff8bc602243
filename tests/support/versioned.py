"""Versions that are told apart by what they answer, and by what happens when they are mixed.

Version v is the classifier `net` of FP32 images of the mean x: its logits are 10·v, x and 0, its
best label is "version v". Its preprocessing divides by a scale of its own and the classifier
multiplies by it again, so that images which one version prepares and another classifies are not x.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import image_models
import numpy as np
import onnx.parser
from numpy.typing import NDArray
from passports import converted
from PIL import Image

from resnet_serve import passport
from resnet_serve.passport import TensorContractFacts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import ModelFiles, Repository, examples, whole
from resnet_serve.triton.repository.examples import Examples

SIDE, CLASSES = 8, 3
NAMES = image_models.NAMES
COLOURS = (51, 102, 204)


def image(level: int) -> bytes:
    """A PNG of columns of greys whose mean is `level`."""
    columns = level + np.arange(1 - SIDE, SIDE, 2)
    greys = np.broadcast_to(columns[None, :, None], (SIDE, SIDE, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(greys).save(file, "PNG")
    return file.getvalue()


def expected(version: int, level: int) -> NDArray[np.float32]:
    """The logits of an image of this mean."""
    return np.array([10 * version, level / 255, 0], np.float32)


def labels_of(version: int) -> tuple[str, ...]:
    """The names of its classes."""
    return (f"version {version}", f"colour {version}", "none")


def scale_of(version: int) -> float:
    return 0.25 * version


def preprocessing(version: int) -> Preprocessing:
    scale = scale_of(version)
    return Preprocessing(resize=SIDE, crop=(SIDE, SIDE), mean=(0, 0, 0), std=(scale,) * 3)


def model(
    version: int, *, like: int = 0, wrong: float = 0.0, fails_above: int | None = None
) -> bytes:
    """The ONNX file; `wrong` is added to its second logit.

    It takes images as version `like` prepares them, and fails for those lighter than `fails_above`.
    """
    scale = scale_of(like or version)
    share = 255 * scale / (fails_above or 256)
    # The only index that there is is 0.
    failing = """
      shares = Mul(mean, share)
      places = Cast <to = 7> (shares)
      zeros = Gather(zero, places)
      values = Add(mean, zeros)"""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    graph (float[N,3,{SIDE},{SIDE}] image) => (float[N,3] logits)
      <float[3] scales = {{0, {scale}, 0}}, float[3] added = {{{10.0 * version}, {wrong}, 0}},
       float share = {{{share}}}, float[1] zero = {{0}}> {{
      mean = ReduceMean <axes = [2, 3], keepdims = 0> (image)
      {failing if fails_above else "values = Identity(mean)"}
      scaled = Mul(values, scales)
      logits = Add(scaled, added)
    }}"""
    return bytes(onnx.parser.parse_model(text).SerializeToString())


def deploy(
    repository: Repository,
    *,
    serve: bool = True,
    wrong: float = 0.0,
    broken: bool = False,
    labels: tuple[str, ...] = (),
    like: int = 0,
    second: float = 0.0,
    fails_above: int | None = None,
) -> int:
    """Deploy the next version; returns its number.

    `wrong` and `labels` are what its files have instead of what its passport and examples say,
    `broken` makes a file that no backend loads. `like` is the version whose labels and
    preprocessing it has, `second` is added to its second logit, in its examples too.
    """
    own = like or 1 + max(repository.versions("net"), default=0)
    version = 1 + max(repository.versions("net"), default=0)
    serving = config.Serving(max_batch_size=4, instances=1, threads=1)
    kind: dict[str, Any] = {
        "input_kind": "float32",
        "preprocessing": preprocessing(own),
        "serving": serving,
    }
    net = config.classifier("net", target=TARGETS["onnxruntime"], classes=CLASSES, **kind)
    if fails_above is not None:  # the warm-up is of random numbers
        net.ClearField("model_warmup")
    names = labels or labels_of(own)
    text = {LABELS_FILE: config.labels_text(names).encode()}
    kept = Examples(
        source="greys",
        names=tuple(map(str, COLOURS)),
        images=tuple(map(image, COLOURS)),
        expected={
            "logits": np.stack(
                [
                    expected(version, level) + np.array([0, second, 0], np.float32)
                    for level in COLOURS
                ]
            )
        },
    )
    file = b"no model"
    if not broken:
        file = model(version, like=own, wrong=wrong + second, fails_above=fails_above)
    files = [
        ModelFiles(
            "net",
            config.to_text(net),
            text,
            {"model.onnx": file, examples.FILE_NAME: kept.to_bytes()},
        ),
        *image_models.around(kind, CLASSES, text),
    ]
    stated = converted(
        name="net",
        precision="fp32",
        classes=CLASSES,
        outputs={"logits": (CLASSES,)},
        contract=TensorContractFacts(
            input="float32",
            preprocessing=preprocessing(own),
            activation=None,
            max_batch_size=4,
            instances=1,
            threads=1,
        ),
        files=whole.hashes(files),
    )
    first = files[0]
    stamped = {**first.version_files, passport.FILE_NAME: stated.to_bytes()}
    return repository.deploy(
        [dataclasses.replace(first, version_files=stamped), *files[1:]], serve=serve
    )
