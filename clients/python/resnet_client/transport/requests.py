"""The messages of the protocol that are more than a name: inference, and its shared memory."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2
from tritonclient.utils import (
    deserialize_bytes_tensor,
    np_to_triton_dtype,
    triton_to_np_dtype,
)

from resnet_client.transport.deadlines import Deadline
from resnet_client.transport.shared_memory import Place, Region

_LENGTH = Struct("<I")  # before each file


def inference(
    model: str,
    version: str,
    input_name: str,
    batch: NDArray[Any],
    outputs: Iterable[str],
    classes: int,
    deadline: Deadline,
    place: Place | None,
) -> Any:
    """The `ModelInferRequest` of a batch [n,…], whose content is in it or at its `place`."""
    request = service_pb2.ModelInferRequest.FromString(
        _constant(model, version, input_name, batch.dtype, batch.shape, tuple(outputs), classes)
    )
    if place is None:
        request.raw_input_contents.append(_content(batch))
    else:
        given = request.inputs[0]
        given.parameters["shared_memory_region"].string_param = place.region
        given.parameters["shared_memory_offset"].int64_param = place.offset
        given.parameters["shared_memory_byte_size"].int64_param = place.size
    # A queue that heeds it drops the request when nobody waits for it any more.
    request.parameters["timeout"].int64_param = max(1, round(deadline.left_s * 1e6))
    return request


@lru_cache(maxsize=256)
def _constant(
    model: str,
    version: str,
    input_name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    outputs: tuple[str, ...],
    classes: int,
) -> bytes:
    """What requests of one form share, serialized: reading it takes less time than making it."""
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    request.inputs.add(name=input_name, datatype=np_to_triton_dtype(dtype), shape=shape)
    for name in outputs:
        wanted = request.outputs.add(name=name)
        if classes:
            wanted.parameters["classification"].int64_param = classes
    return bytes(request.SerializeToString())


def outputs_of(response: Any) -> dict[str, NDArray[Any]]:
    """The outputs of a `ModelInferResponse` by name."""
    return {
        output.name: (
            deserialize_bytes_tensor(content)
            if output.datatype == "BYTES"
            else np.frombuffer(content, _dtype(output.datatype))
        ).reshape(tuple(output.shape))
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
    }


_dtype = cache(triton_to_np_dtype)


def register(region: Region) -> Any:
    """The `SystemSharedMemoryRegisterRequest` of a region."""
    return service_pb2.SystemSharedMemoryRegisterRequest(
        name=region.name, key=region.key, byte_size=region.size
    )


def unregister(region: Region) -> Any:
    """The `SystemSharedMemoryUnregisterRequest` of a region."""
    return service_pb2.SystemSharedMemoryUnregisterRequest(name=region.name)


def _content(batch: NDArray[Any]) -> bytes:
    if batch.dtype != np.object_:
        return batch.tobytes()
    return b"".join(
        [part for file in batch.ravel().tolist() for part in (_LENGTH.pack(len(file)), file)]
    )
