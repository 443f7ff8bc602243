"""The inputs and outputs of a served model, read from its own configuration.

    resnet50         image  UINT8 [H,W,3], or FP32 [3,H,W] normalised   parameters["preprocessing"]
    resnet50_image   image  BYTES [1], an encoded image file            the server does the rest
    both             logits FP32 [classes], or the outputs of another head
                     how the logits are read                            parameters["activation"]

`prepare` is the client's part: one image in, one element of the request's batch out. A model of
encoded images gets the files unchanged, even with decode="client".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resnet_client.errors import ModelError, NoClassesError
from resnet_client.images import ImageLike, encoded, pixels
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.preprocessing import Preprocessing

Prepare: TypeAlias = Callable[[ImageLike], NDArray[Any]]
Decode: TypeAlias = Literal["client", "server"]
OUTPUT = "logits"
PREPROCESSING = "preprocessing"
ACTIVATION = "activation"
_ITEM_BYTES = {"UINT8": 1, "FP32": 4}
_HEADS = frozenset({"features", "c2", "c3", "c4", "c5"})


@dataclass(frozen=True)
class Contract:
    """One version of one served model, from its configuration.

    `prepare` makes one element of a batch from an image; `encoded` says that it is a file's bytes.
    `classes` is 0 for a model without a classifier, whose `activation` means nothing.
    `image_bytes` is the size of an element, 0 of files. `configuration` is what it was read
    from, serialized.
    """

    model: str
    version: str
    input: str
    classes: int
    max_batch_size: int
    prepare: Prepare
    encoded: bool
    activation: Activation = SOFTMAX
    configuration: bytes = b""
    image_bytes: int = 0

    def same_as(self, other: Contract) -> bool:
        """Whether it is of the same version, with the same configuration."""
        mine, theirs = (self.version, self.configuration), (other.version, other.configuration)
        return mine == theirs


def read(
    model: str, version: str, config: Any, decode: Decode, *, classifies: bool = True
) -> Contract:
    """Read a `ModelConfig` message.

    Raises `ModelError` for a model that resnet-convert did not deploy, and for one without a
    classifier; with `classifies` False, for one that is a classifier.
    """
    if config.max_batch_size < 1:
        raise _unsupported(model, "does not support batches")
    if len(config.input) != 1:
        raise _unsupported(model, f"has {len(config.input)} inputs")
    image = config.input[0]
    datatype, shape = _datatype(image), list(image.dims)
    takes_files = (datatype, shape) == ("BYTES", [1])
    if decode == "server" and not takes_files:
        raise _unsupported(model, f"expects {datatype} {shape}, not encoded images")
    classes = _classes(model, config) if classifies else _no_classes(model, config)
    return Contract(
        model=model,
        version=version,
        input=image.name,
        classes=classes,
        max_batch_size=config.max_batch_size,
        prepare=_file if takes_files else _pixels(model, datatype, shape, config),
        encoded=takes_files,
        activation=_activation(model, classes, config) if classifies else SOFTMAX,
        configuration=config.SerializeToString(deterministic=True),
        image_bytes=0 if takes_files else math.prod(shape) * _ITEM_BYTES[datatype],
    )


def _pixels(model: str, datatype: str, shape: list[int], config: Any) -> Prepare:
    if PREPROCESSING not in config.parameters:
        raise _unsupported(model, "has no preprocessing in its configuration")
    try:
        preprocessing = Preprocessing.from_json(config.parameters[PREPROCESSING].string_value)
    except Exception as error:
        raise _unsupported(model, f"has an unreadable preprocessing ({error})") from error
    (height, width), channels = preprocessing.crop, preprocessing.channels
    if (datatype, shape) == ("UINT8", [height, width, channels]):
        return lambda image: pixels(image, preprocessing)
    if (datatype, shape) == ("FP32", [channels, height, width]):
        return lambda image: preprocessing.normalize(pixels(image, preprocessing))
    raise _unsupported(
        model, f"expects {datatype} {shape}, but its preprocessing gives {height} × {width}"
    )


def _file(image: ImageLike) -> NDArray[Any]:
    return np.array([encoded(image)], dtype=np.object_)


def _classes(model: str, config: Any) -> int:
    for output in config.output:
        if output.name == OUTPUT and len(output.dims) == 1 and output.dims[0] > 0:
            return int(output.dims[0])
    what = f"has no output {OUTPUT!r} with one number per class"
    names = [output.name for output in config.output]
    if OUTPUT in names or not names or not _HEADS.issuperset(names):
        raise _unsupported(model, what)
    raise NoClassesError(
        f"has no classes: its outputs are {', '.join(names)}",
        where=f"model {model!r}",
        remedy="Use resnet_client.Extractor for them.",
    )


def _activation(model: str, classes: int, config: Any) -> Activation:
    """Softmax where the configuration has none: a classifier of several classes."""
    stated = ACTIVATION in config.parameters
    try:
        text = config.parameters[ACTIVATION].string_value if stated else SOFTMAX.to_text()
        activation = Activation.from_text(text)
    except Exception as error:
        raise _unsupported(model, f"has an unreadable activation ({error})") from error
    if activation.fits(classes):
        return activation
    if not stated:
        raise ModelError(
            "has one output, and its configuration does not say how it is to be read",
            where=f"model {model!r}",
            remedy="Deploy it again with resnet-convert --activation sigmoid, or none.",
        )
    raise _unsupported(model, f"has {classes} outputs, which do not fit its {activation}")


def _no_classes(model: str, config: Any) -> int:
    if any(output.name == OUTPUT for output in config.output):
        raise ModelError(
            "is a classifier: its output is logits",
            where=f"model {model!r}",
            remedy="Use resnet_client.Classifier for them.",
        )
    return 0


def _datatype(tensor: Any) -> str:
    """The name of a data type in requests: UINT8 for a configuration's TYPE_UINT8."""
    field = tensor.DESCRIPTOR.fields_by_name["data_type"]
    name = field.enum_type.values_by_number[tensor.data_type].name.removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else str(name)


def _unsupported(model: str, what: str) -> ModelError:
    return ModelError(
        what,
        where=f"model {model!r}",
        remedy="This client needs a model that resnet-convert deployed.",
    )
