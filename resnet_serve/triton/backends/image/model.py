"""The `image` backend: encoded JPEG, PNG or WebP bytes in, the network's input pixels out.

    image  BYTES [1] ─ decode ─ resize, crop ─► pixels  UINT8 [H,W,3]
                                                    or  FP32 [3,H,W], normalised

It reads `preprocessing.json` of its version, so that the server sees an image exactly as the
weights were trained on it. Where the version has a `crops.json` too, there is one output per crop,
in the order of `resnet_serve.crops`. Needs numpy and Pillow only, also in NVIDIA's container.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve import crops
from resnet_serve.crops import TenCrop
from resnet_serve.errors import ResnetServeError
from resnet_serve.preprocessing import ImageError, Preprocessing, decode
from resnet_serve.triton.backends import integrity, memory
from resnet_serve.triton.backends.image.metrics import ImageMetrics
from resnet_serve.triton.backends.image.room import Room, decoded_wait, networks
from resnet_serve.triton.backends.pending import Pending
from resnet_serve.triton.backends.queue_limit import REJECTED, QueueLimit
from resnet_serve.triton.backends.stub import (
    ModelConfig,
    Request,
    Stub,
    error_response,
    rejection,
    response,
)

PREPROCESSING_FILE = "preprocessing.json"
# Below the networks on the same cores, which have to be fed but not disturbed.
_NICENESS = 10


class TritonPythonModel:
    """One instance, which decodes one image at a time; more instances use more cores."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: ModelConfig) -> ModelConfig:
        """Fill in nothing: the configuration is complete."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Read the preprocessing and check the configuration against it.

        Raises `ValueError` to refuse the model.
        """
        import triton_python_backend_utils as pb_utils

        self._stub: Stub = pb_utils
        os.nice(_NICENESS)
        memory.keep_freed()
        config = json.loads(args["model_config"])
        directory = Path(args["model_repository"]) / args["model_version"]
        path = directory / PREPROCESSING_FILE
        kept = [each for each in (path, directory / crops.FILE_NAME) if each.exists()]
        integrity.check(config, directory, *kept)
        self._preprocessing = read_preprocessing(path)
        self._crops = read_crops(path.with_name(crops.FILE_NAME), self._preprocessing)
        count = 1 if self._crops is None else len(self._crops)
        self._outputs, self._normalised = signature(config, self._preprocessing, count)
        self._metrics = ImageMetrics(pb_utils, config["name"], args["model_version"])
        models, name = Path(args["model_repository"]).parent, config["name"]
        pending = Pending()
        self._queue = QueueLimit.of(config, args["model_version"], pending).counted(pb_utils)
        self._room = Room(
            decoded_wait(config),
            lambda: networks(models, name),
            instances=sum(int(group["count"]) for group in config["instance_group"]),
            requests=count,
            pending=pending,
        )

    def execute(self, requests: Sequence[Request]) -> list[object]:
        """One response per request, in order; a broken image fails only its own request."""
        excess = self._queue.excess(len(requests))
        responses = [rejection(self._stub, REJECTED) for _ in range(excess)]
        responses += [self._respond(request) for request in requests[excess:]]
        self._queue.done()
        return responses

    def finalize(self) -> None:
        """Close the connection to the metrics."""
        self._queue.close()
        self._room.close()

    def _respond(self, request: Request) -> object:
        (tensor,) = request.inputs()
        self._room.wait()
        try:
            pixels = self._pixels(tensor.as_numpy().ravel())
        except ImageError as error:
            return error_response(self._stub, str(error), invalid=True)
        finally:
            self._room.done()
        outputs = {
            name: np.ascontiguousarray(pixels[:, place]) for place, name in enumerate(self._outputs)
        }
        return response(self._stub, outputs)

    def _pixels(self, images: NDArray[Any]) -> NDArray[Any]:
        """UINT8 [n,crops,H,W,C], or FP32 [n,crops,C,H,W]."""
        height, width = self._preprocessing.crop
        channels = self._preprocessing.channels
        pixels = np.empty((len(images), len(self._outputs), height, width, channels), np.uint8)
        cut = self._preprocessing.pixels if self._crops is None else self._crops.pixels
        for index, data in enumerate(images):
            started = time.perf_counter()
            try:
                pixels[index] = cut(decode(data, self._preprocessing.limits))
            except ImageError as error:
                self._metrics.refused()
                name = "image" if len(images) == 1 else f"image {index + 1} of {len(images)}"
                raise ImageError(error.what, where=name, remedy=error.remedy) from error
            finally:
                self._metrics.took(time.perf_counter() - started)
        return self._preprocessing.normalize(pixels) if self._normalised else pixels


def read_preprocessing(path: Path) -> Preprocessing:
    """The Preprocessing stored with a version; raises `ValueError` with the path."""
    try:
        return Preprocessing.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ResnetServeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: cannot read the preprocessing ({reason})") from error


def read_crops(path: Path, preprocessing: Preprocessing) -> TenCrop | None:
    """The crops stored with a version; None where there are none.

    Raises `ValueError` with the path.
    """
    try:
        return TenCrop.from_json(path.read_text(encoding="utf-8"), preprocessing)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ResnetServeError) as error:
        raise ValueError(f"{path}: cannot read the crops ({error})") from error


def signature(
    config: dict[str, Any], preprocessing: Preprocessing, count: int = 1
) -> tuple[tuple[str, ...], bool]:
    """The names of the `count` outputs, and whether they are normalised planes.

    Raises `ValueError` where the configuration does not fit the preprocessing.
    """
    name = config["name"]
    inputs, outputs = config["input"], config["output"]
    if len(inputs) != 1 or len(outputs) != count:
        expected = "one output" if count == 1 else f"{count} outputs, one per crop"
        raise ValueError(f"model '{name}': the image backend has one input and {expected}")
    source = _described(inputs[0])
    if source != ("TYPE_STRING", [1]):
        raise ValueError(
            f"model '{name}', tensor '{inputs[0]['name']}': the image backend takes TYPE_STRING "
            f"[1], the configuration has {source[0]} {source[1]}"
        )
    height, width = preprocessing.crop
    channels = preprocessing.channels
    pixels = ("TYPE_UINT8", [height, width, channels])
    planes = ("TYPE_FP32", [channels, height, width])
    wanted = planes if _described(outputs[0]) == planes else pixels
    for output in outputs:
        found = _described(output)
        if found != wanted:
            raise ValueError(
                f"model '{name}', tensor '{output['name']}': the preprocessing produces "
                f"{pixels[0]} {pixels[1]} or {planes[0]} {planes[1]}, the configuration has "
                f"{found[0]} {found[1]}"
            )
    return tuple(output["name"] for output in outputs), wanted == planes


def _described(tensor: dict[str, Any]) -> tuple[str, list[int]]:
    return tensor["data_type"], [int(size) for size in tensor["dims"]]
