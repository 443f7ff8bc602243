"""resnet_client: images in, labels out, over gRPC from a Triton that serves a ResNet.

    from resnet_client import Classifier
    with Classifier("127.0.0.1:8001", "resnet50") as classifier:
        best = classifier.classify("cat.jpg")[0]
        print(best.label, best.probability)

`AsyncClassifier` is the same for asyncio; `Extractor` gets the features of a model without a
classifier. Needs numpy, Pillow and tritonclient[grpc], which are imported when they are used.
Threads may share a Classifier.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_client.async_classifier import AsyncClassifier
    from resnet_client.classifier import Classification, Classifier
    from resnet_client.errors import (
        BadImageError,
        ClientError,
        DeadlineError,
        ModelError,
        ServerError,
        UnavailableError,
        UsageError,
    )
    from resnet_client.extractor import Extractor
    from resnet_client.images import ImageLike
    from resnet_client.prediction import Prediction
    from resnet_client.transport.channel import Tls

__all__ = [
    "AsyncClassifier",
    "BadImageError",
    "Classification",
    "Classifier",
    "ClientError",
    "DeadlineError",
    "Extractor",
    "ImageLike",
    "ModelError",
    "Prediction",
    "ServerError",
    "Tls",
    "UnavailableError",
    "UsageError",
]

_PLACES = {
    "AsyncClassifier": "async_classifier",
    "Classification": "classifier",
    "Classifier": "classifier",
    "Extractor": "extractor",
    "ImageLike": "images",
    "Prediction": "prediction",
    "Tls": "transport.channel",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_PLACES.get(name, 'errors')}")
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
