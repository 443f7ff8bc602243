"""What a served model takes and gives, read from its own configuration.

    resnet50         image  UINT8 [H,W,3], or FP32 [3,H,W] normalised   parameters["preprocessing"]
    resnet50_image   image  BYTES [1], an encoded image file            the server has the rest
    both             logits FP32 [classes], or what another head answers

`prepare` is the client's half: one image in, one element of the request's batch out. What takes
encoded images gets them as they are, even where the client was asked to decode.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resnet_client.errors import ModelError
from resnet_client.images import ImageLike, encoded, pixels
from resnet_serve.preprocessing import Preprocessing

Prepare: TypeAlias = Callable[[ImageLike], NDArray[Any]]
Decode: TypeAlias = Literal["client", "server"]
OUTPUT = "logits"
PREPROCESSING = "preprocessing"
_HEADS = frozenset({"features", "c2", "c3", "c4", "c5"})


@dataclass(frozen=True)
class Contract:
    """One version of one served model, as its configuration promises it.

    `classes` is 0 for one that is asked for its features.
    """

    model: str
    version: str
    input: str
    classes: int
    max_batch_size: int
    prepare: Prepare
    encoded: bool


def read(
    model: str, version: str, config: Any, decode: Decode, *, classifies: bool = True
) -> Contract:
    """Read a `ModelConfig` message; raises `ModelError` for what is not a classifier of ours.

    With `classifies` False, for what is no model of ours with another head.
    """
    if config.max_batch_size < 1:
        raise _foreign(model, "takes no batches")
    if len(config.input) != 1:
        raise _foreign(model, f"has {len(config.input)} inputs")
    image = config.input[0]
    datatype, shape = _datatype(image), list(image.dims)
    takes_files = (datatype, shape) == ("BYTES", [1])
    if decode == "server" and not takes_files:
        raise _foreign(model, f"takes {datatype} {shape}, not encoded images")
    return Contract(
        model=model,
        version=version,
        input=image.name,
        classes=_classes(model, config) if classifies else _no_classes(model, config),
        max_batch_size=config.max_batch_size,
        prepare=_file if takes_files else _pixels(model, datatype, shape, config),
        encoded=takes_files,
    )


def _pixels(model: str, datatype: str, shape: list[int], config: Any) -> Prepare:
    if PREPROCESSING not in config.parameters:
        raise _foreign(model, "does not say how its images are to be preprocessed")
    try:
        preprocessing = Preprocessing.from_json(config.parameters[PREPROCESSING].string_value)
    except Exception as error:
        raise _foreign(model, f"has an unreadable preprocessing ({error})") from error
    (height, width), channels = preprocessing.crop, preprocessing.channels
    if (datatype, shape) == ("UINT8", [height, width, channels]):
        return lambda image: pixels(image, preprocessing)
    if (datatype, shape) == ("FP32", [channels, height, width]):
        return lambda image: preprocessing.normalize(pixels(image, preprocessing))
    raise _foreign(model, f"takes {datatype} {shape}, its preprocessing gives {height} × {width}")


def _file(image: ImageLike) -> NDArray[Any]:
    return np.array([encoded(image)], dtype=np.object_)


def _classes(model: str, config: Any) -> int:
    for output in config.output:
        if output.name == OUTPUT and len(output.dims) == 1 and output.dims[0] > 0:
            return int(output.dims[0])
    what = f"has no output {OUTPUT!r} with one number per class"
    names = [output.name for output in config.output]
    if OUTPUT in names or not names or not _HEADS.issuperset(names):
        raise _foreign(model, what)
    raise ModelError(
        f"has no classes: it answers {', '.join(names)}",
        where=f"model {model!r}",
        remedy="resnet_client.Extractor asks for that.",
    )


def _no_classes(model: str, config: Any) -> int:
    if any(output.name == OUTPUT for output in config.output):
        raise ModelError(
            "is a classifier: it answers logits",
            where=f"model {model!r}",
            remedy="resnet_client.Classifier asks for those.",
        )
    return 0


def _datatype(tensor: Any) -> str:
    """The protocol's name of a configuration's data type: TYPE_UINT8 is UINT8 on the wire."""
    field = tensor.DESCRIPTOR.fields_by_name["data_type"]
    name = field.enum_type.values_by_number[tensor.data_type].name.removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else str(name)


def _foreign(model: str, what: str) -> ModelError:
    return ModelError(
        what,
        where=f"model {model!r}",
        remedy="This client speaks to classifiers that resnet-convert deployed.",
    )
