"""A classifier that needs no training: real files for the real backends, deployed as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import ModelFiles, Repository

SIDE, CLASSES, BATCH = 32, 10, 4
LABELS = tuple(f"class {index}" for index in range(CLASSES))


def toy_model(hidden: int = 1024) -> bytes:
    """`image` UINT8 [N,32,32,3] to `logits` FP32 [N,10]; about a millisecond of one core."""
    random = np.random.default_rng(0)
    values = SIDE * SIDE * 3
    shapes = {"first": (values, hidden), "second": (hidden, CLASSES)}
    weights = [
        numpy_helper.from_array(random.normal(0, 0.01, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["values"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(nodes, "toy", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def deploy_toy(path: Path) -> Path:
    """Deploy `toy`, `toy_preprocess` and `toy_image` as a conversion would."""
    preprocessing = Preprocessing(resize=SIDE, crop=(SIDE, SIDE))
    serving = config.Serving(max_batch_size=BATCH, instances=1, threads=1)
    kind = {"input_kind": "uint8", "preprocessing": preprocessing, "serving": serving}
    toy = config.classifier("toy", target=TARGETS["onnxruntime"], classes=CLASSES, **kind)
    before = config.preprocess("toy_preprocess", cores=1, **kind)
    image = config.image_ensemble(
        "toy_image",
        preprocess_name="toy_preprocess",
        classifier_name="toy",
        classes=CLASSES,
        serving=serving,
    )
    labels = {LABELS_FILE: config.labels_text(LABELS).encode()}
    stored = {"preprocessing.json": preprocessing.to_json().encode()}
    Repository(path).deploy(
        [
            ModelFiles("toy", config.to_text(toy), labels, {"model.onnx": toy_model()}),
            ModelFiles("toy_preprocess", config.to_text(before), version_files=stored),
            ModelFiles("toy_image", config.to_text(image), labels, {"ensemble.txt": b"two steps"}),
        ]
    )
    return path
