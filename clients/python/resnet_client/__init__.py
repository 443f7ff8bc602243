"""resnet_client: images in, labels out, over gRPC from a Triton that serves a ResNet.

    from resnet_client import Classifier
    with Classifier("127.0.0.1:8001", "resnet50") as classifier:
        best = classifier.classify("cat.jpg")[0]
        print(best.label, best.probability)

`Extractor` gets the features of a model without a classifier. Needs numpy, Pillow and
tritonclient[grpc]. Threads may share a Classifier.
"""

from __future__ import annotations

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

__all__ = [
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
    "UnavailableError",
    "UsageError",
]
