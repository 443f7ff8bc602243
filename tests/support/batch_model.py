"""Two tiny models with passports, as conversions deploy them: a classifier, and features."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from passports import converted
from PIL import Image
from toy_repository import BATCH, CLASSES, LABELS, SIDE, toy_model

from resnet_serve import durable, passport
from resnet_serve.passport import OnnxFacts, TensorContractFacts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import ModelFiles, Repository, whole

CHANNELS = 8
PREPROCESSING = Preprocessing(resize=SIDE, crop=(SIDE, SIDE))


def deploy(path: Path, *, seed: int = 0) -> Path:
    """Deploy `toy`, a classifier, and `embed`, with features; another `seed`, other weights."""
    for models in (_classifier(seed), _features()):
        Repository(path).deploy(models)
    return path


def _classifier(seed: int) -> list[ModelFiles]:
    model = toy_model() if seed == 0 else toy_model(hidden=64 + seed)
    kind = {"input_kind": "uint8", "preprocessing": PREPROCESSING, "serving": _serving()}
    net = config.classifier("toy", target=TARGETS["onnxruntime"], classes=CLASSES, **kind)
    before = config.preprocess("toy_preprocess", cores=1, **kind)
    image = config.image_ensemble(
        "toy_image",
        preprocess_name="toy_preprocess",
        classifier_name="toy",
        classes=CLASSES,
        serving=_serving(),
    )
    labels = {LABELS_FILE: config.labels_text(LABELS).encode()}
    stored = {"preprocessing.json": PREPROCESSING.to_json().encode()}
    models = [
        ModelFiles("toy", config.to_text(net), labels, {"model.onnx": model}),
        ModelFiles("toy_preprocess", config.to_text(before), version_files=stored),
        ModelFiles("toy_image", config.to_text(image), labels, {"ensemble.txt": b"two steps"}),
    ]
    return _stamped(models, "toy", model, {"logits": (CLASSES,)}, classes=CLASSES)


def _features() -> list[ModelFiles]:
    model = features_model()
    net = config.classifier(
        "embed",
        target=TARGETS["onnxruntime"],
        features={"features": (CHANNELS,)},
        input_kind="uint8",
        preprocessing=PREPROCESSING,
        serving=_serving(),
    )
    models = [ModelFiles("embed", config.to_text(net), {}, {"model.onnx": model})]
    return _stamped(models, "embed", model, {"features": (CHANNELS,)}, classes=None)


def _serving() -> config.Serving:
    return config.Serving(max_batch_size=BATCH, instances=1, threads=1)


def _stamped(
    models: list[ModelFiles],
    name: str,
    model: bytes,
    outputs: dict[str, tuple[int, ...]],
    *,
    classes: int | None,
) -> list[ModelFiles]:
    stamp = converted(
        name=name,
        architecture="toy",
        outputs=outputs,
        classes=classes,
        head="classifier" if classes else "features",
        precision="fp32",
        model=OnnxFacts(
            file="model.onnx",
            sha256=durable.sha256(model),
            size_bytes=len(model),
            opset=17,
            ir_version=8,
        ),
        contract=TensorContractFacts(
            input="uint8", preprocessing=PREPROCESSING, max_batch_size=BATCH, instances=1, threads=1
        ),
        files=whole.hashes(models),
    )
    first = models[0]
    kept = {**first.version_files, passport.FILE_NAME: stamp.to_bytes()}
    return [replace(first, version_files=kept), *models[1:]]


def features_model() -> bytes:
    """`image` UINT8 [N,32,32,3] to `features` FP32 [N,8]."""
    values = SIDE * SIDE * 3
    weights = np.random.default_rng(1).normal(0, 0.01, (values, CHANNELS)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["values"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["features"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    out = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", CHANNELS])
    held = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "embed", [image], [out], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def picture(seed: int) -> bytes:
    """A small PNG, a different one for each seed."""
    values = np.random.default_rng(seed).integers(0, 256, (36, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


BAD = {
    "cut.jpg": "damaged",
    "empty.png": "empty",
    "gone.jpg": "missing",
    "long.png": "refused",
    "text.jpg": "not an image",
}


def pictures(folder: Path, count: int, *, bad: bool = False) -> Path:
    """A folder of `count` images in two subfolders, and with `bad` one of each kind of `BAD`."""
    for number in range(count):
        place = folder / f"class{number % 2}" / f"{number:05d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
    if bad:
        file = io.BytesIO()
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(file, "JPEG")
        (folder / "cut.jpg").write_bytes(file.getvalue()[:300])
        (folder / "empty.png").write_bytes(b"")
        (folder / "gone.jpg").symlink_to("nowhere.jpg")
        Image.new("RGB", (4000, 2)).save(folder / "long.png")
        (folder / "text.jpg").write_bytes(b"no image at all")
        (folder / "notes.md").write_text("skipped by its name")
    return folder
