"""A preparation of images that ends its process for some bytes, as a crash in a decoder would."""

from __future__ import annotations

import os
import signal
from typing import Any

from numpy.typing import NDArray

from resnet_serve.batch.failures import Failure
from resnet_serve.batch.model import prepared as prepare
from resnet_serve.preprocessing import Preprocessing

KILLS = b"this image crashes the decoder"


def prepared(data: bytes) -> NDArray[Any] | Failure:
    """An element of 32 × 32, unless the bytes are `KILLS`."""
    if data == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    return prepare(data, Preprocessing(resize=32, crop=(32, 32)), "uint8")


def by_kind(data: bytes, preprocessing: Preprocessing, kind: str) -> NDArray[Any] | Failure:
    """The same with the arguments of `model.prepared`."""
    del preprocessing, kind
    return prepared(data)
