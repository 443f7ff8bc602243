"""The requests of a load test: realistic inputs for the model as the server describes it.

The model's metadata decides whether encoded images, UINT8 pixels or normalised FP32 tensors are
sent. Images come from the user's files or are synthesised from a fixed seed. perf_analyzer reads
them as JSON with the raw bytes in base64; an element of a BYTES tensor starts with its length (4
bytes, little endian), as everywhere in the protocol.
"""

from __future__ import annotations

import base64
import difflib
import io
import json
import statistics
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient
from numpy.typing import NDArray
from PIL import Image
from tritonclient.utils import InferenceServerException

from resnet_serve.datasets import ImageFolder
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import InputFileError, ResnetServeError, UsageError, server_error
from resnet_serve.preprocessing import CHANNELS, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, decode
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.grpc_client import GrpcClient

_TIMEOUT_S = 10
_LIVENESS_TIMEOUT_S = 2
_SEED = 2016
_MAX_SAMPLES = 32
_SYNTHETIC_SAMPLES = 8
_PHOTO = (500, 375)  # the size of a typical ImageNet photograph


@dataclass(frozen=True)
class Signature:
    """The one input of a served image model. `shape` is without the batch dimension.

    `max_batch_size` is 0 for a model without a batch dimension.
    """

    model: str
    version: str
    server: str
    input: str
    datatype: str
    shape: tuple[int, ...]
    max_batch_size: int

    @property
    def encoded(self) -> bool:
        """Whether the input is encoded images (JPEG, PNG, …) rather than tensors."""
        return self.datatype == "BYTES"


@dataclass(frozen=True)
class Samples:
    """Requests to send in turn: the bytes of one image each, described in one line."""

    description: str
    images: tuple[bytes, ...]

    def to_json(self, signature: Signature) -> str:
        """The document for perf_analyzer's `--input-data`."""
        return json.dumps({"data": [{signature.input: _entry(i, signature)} for i in self.images]})

    def batch(self, signature: Signature, size: int) -> NDArray[Any]:
        """The first `size` images, repeated as needed, as one request tensor."""
        chosen = [self.images[index % len(self.images)] for index in range(size)]
        if signature.encoded:
            tensor: NDArray[Any] = np.array(chosen, dtype=np.object_).reshape(size, 1)
        else:
            kind = np.uint8 if signature.datatype == "UINT8" else np.float32
            tensor = np.frombuffer(b"".join(chosen), dtype=kind).reshape(size, *signature.shape)
        return tensor if signature.max_batch_size else tensor[0]


def _entry(image: bytes, signature: Signature) -> dict[str, object]:
    raw = struct.pack("<I", len(image)) + image if signature.encoded else image
    shape = [1] if signature.encoded else list(signature.shape)
    return {"b64": base64.b64encode(raw).decode("ascii"), "shape": shape}


def describe(url: str, model: str, version: str = "", *, tls: ClientTls | None = None) -> Signature:
    """The signature of `model` from the server at `url` (gRPC, host:port), with TLS or without.

    Raises `UnavailableError` when no server answers, and `UsageError` for a model that is not
    served or whose input is not one image per request element.
    """
    if "://" in url:
        raise UsageError(
            "the address has a scheme", where=url, remedy="Give the gRPC endpoint as host:port."
        )
    with GrpcClient(url, tls) as client:
        try:
            server = client.get_server_metadata(client_timeout=_TIMEOUT_S)
            if not client.is_model_ready(model, version, client_timeout=_TIMEOUT_S):
                raise _not_served(client, url, model, version)
            about = client.get_model_metadata(model, version, client_timeout=_TIMEOUT_S)
            config = client.get_model_config(model, version, client_timeout=_TIMEOUT_S)
        except InferenceServerException as error:
            raise _explained(error, client, url, model, _TIMEOUT_S) from error
    served = version or max(about.versions, key=int)
    tensors = [(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in about.inputs]
    return signature_of(
        model, served, f"{server.name} {server.version}", tensors, config.config.max_batch_size
    )


def signature_of(
    model: str,
    version: str,
    server: str,
    inputs: Sequence[tuple[str, str, tuple[int, ...]]],
    max_batch_size: int,
) -> Signature:
    """The signature of a model with `inputs` (name, datatype, shape with the batch dimension).

    Raises `UsageError` unless they are one image.
    """
    listed = ", ".join(f"{name} {datatype}{list(shape)}" for name, datatype, shape in inputs)
    refusal = UsageError(
        f"its input is {listed or 'nothing'}, which is not one image",
        where=model,
        remedy="A load test sends encoded images, UINT8 [H,W,3] or FP32 [3,H,W].",
    )
    if len(inputs) != 1:
        raise refusal
    name, datatype, full = inputs[0]
    shape = full[1:] if max_batch_size else full
    image = {
        "BYTES": shape in ((1,), (-1,)),
        "UINT8": len(shape) == 3 and shape[2] in CHANNELS and min(shape) > 0,
        "FP32": len(shape) == 3 and shape[0] in CHANNELS and min(shape) > 0,
    }
    if not image.get(datatype, False):
        raise refusal
    return Signature(model, version, server, name, datatype, shape, max_batch_size)


def _explained(
    error: InferenceServerException,
    client: GrpcClient,
    url: str,
    model: str,
    timeout_s: float,
) -> ResnetServeError:
    return server_error(
        error,
        url,
        where=f"model {model!r}",
        timeout_s=timeout_s,
        live=partial(client.is_server_live, client_timeout=_LIVENESS_TIMEOUT_S),
        certified=client.certified,
    )


def _not_served(client: GrpcClient, url: str, model: str, version: str) -> UsageError:
    # The repository index has them too, but a hardened server restricts it.
    statistics_of = client.get_inference_statistics(client_timeout=_TIMEOUT_S).model_stats
    ready = sorted({entry.name for entry in statistics_of})
    what = f"no model {model!r} is ready there"
    if model in ready:
        what = f"the model {model!r} has no version {version}"
    near = difflib.get_close_matches(model, ready, n=1)
    hint = f" Did you mean {near[0]!r}?" if near and near[0] != model else ""
    return UsageError(
        what, where=url, remedy=f"The server serves {', '.join(ready) or 'nothing'}.{hint}"
    )


def samples(signature: Signature, source: Path | None = None) -> Samples:
    """Images for `signature` from a file or folder, or synthesised from a fixed seed.

    Tensor models get the images scaled to their input size, as speed does not depend on the crop.
    Raises `InputFileError` for files that are not images.
    """
    if source is None:
        pictures = _photographs()
        files = [_jpeg(picture) for picture in pictures]
        origin = f"{len(files)} synthetic photographs (seed {_SEED})"
    else:
        paths = _paths(source)
        pictures = [decode(path) for path in paths]
        files = [path.read_bytes() for path in paths]
        origin = f"{len(files)} images from {source}"
    if signature.encoded:
        mean_kb = statistics.fmean(map(len, files)) / 1000
        return Samples(f"{origin}, encoded, {mean_kb:.0f} kB each", tuple(files))
    channels_last = signature.datatype == "UINT8"
    height, width = signature.shape[:2] if channels_last else signature.shape[1:]
    channels = signature.shape[2 if channels_last else 0]
    geometry = Preprocessing(
        resize=(height, width),
        crop=(height, width),
        mean=IMAGENET_MEAN[:channels],
        std=IMAGENET_STD[:channels],
    )
    pixels = [geometry.pixels(picture) for picture in pictures]
    tensors = pixels if channels_last else [geometry.normalize(image) for image in pixels]
    shape = "×".join(map(str, signature.shape))
    return Samples(
        f"{origin}, {signature.datatype} {shape}", tuple(tensor.tobytes() for tensor in tensors)
    )


def check(source: Path) -> None:
    """Raise `InputFileError` unless `source` is an image or a folder of images."""
    for path in _paths(source):
        decode(path)


def _paths(source: Path) -> tuple[Path, ...]:
    if source.is_dir():
        return ImageFolder.scan(source).files[:_MAX_SAMPLES]
    if not source.exists():
        raise InputFileError("no such image or folder of images", where=source)
    return (source,)


def _photographs() -> list[Image.Image]:
    """Smooth colours with sensor noise; they compress and decode about as photographs do."""
    smooth = SyntheticImages(_SYNTHETIC_SAMPLES, side=max(_PHOTO), seed=_SEED)
    random = np.random.default_rng(_SEED)
    pictures = []
    for index in range(len(smooth)):
        colours = np.asarray(smooth.image(index).crop((0, 0, *_PHOTO)), dtype=np.float32)
        noisy = colours + random.normal(0, 8, colours.shape).astype(np.float32)
        pictures.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    return pictures


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def request_s(
    url: str,
    signature: Signature,
    samples: Samples,
    batch_size: int,
    *,
    tls: ClientTls | None = None,
    timeout_s: float = 120,
) -> float:
    """Seconds one request takes on the idle server: the median of three, after one to warm up.

    It also shows, before any load, that the server accepts these requests; raises the error of
    `server_error` when it does not.
    """
    tensor = samples.batch(signature, batch_size)
    request = grpcclient.InferInput(signature.input, list(tensor.shape), signature.datatype)
    request.set_data_from_numpy(tensor)
    taken_s = []
    with GrpcClient(url, tls) as client:
        for _ in range(4):
            start_s = time.perf_counter()
            try:
                client.infer(
                    signature.model, [request], signature.version, client_timeout=timeout_s
                )
            except InferenceServerException as error:
                raise _explained(error, client, url, signature.model, timeout_s) from error
            taken_s.append(time.perf_counter() - start_s)
    return statistics.median(taken_s[1:])
