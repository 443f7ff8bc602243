"""The models around a classifier `net` that take encoded images, as a conversion deploys them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_serve.triton import config
from resnet_serve.triton.repository import ModelFiles

NAMES = ("net", "net_preprocess", "net_image")


def around(
    kind: Mapping[str, Any], classes: int, labels: Mapping[str, bytes]
) -> tuple[ModelFiles, ModelFiles]:
    """What decodes, and the ensemble; `kind` is the input, the preprocessing and the serving."""
    before = config.preprocess("net_preprocess", cores=1, **kind)
    ensemble = config.image_ensemble(
        "net_image",
        preprocess_name="net_preprocess",
        classifier_name="net",
        classes=classes,
        serving=kind["serving"],
    )
    stored = {"preprocessing.json": kind["preprocessing"].to_json().encode()}
    return (
        ModelFiles("net_preprocess", config.to_text(before), version_files=stored),
        ModelFiles("net_image", config.to_text(ensemble), labels, {"ensemble.txt": b"two steps"}),
    )
