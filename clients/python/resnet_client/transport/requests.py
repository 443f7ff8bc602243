"""The messages of the protocol that are more than a name: inference, and its shared memory."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype

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
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    datatype = np_to_triton_dtype(batch.dtype)
    given = request.inputs.add(name=input_name, datatype=datatype, shape=batch.shape)
    if place is None:
        request.raw_input_contents.append(_content(batch))
    else:
        given.parameters["shared_memory_region"].string_param = place.region
        given.parameters["shared_memory_offset"].int64_param = place.offset
        given.parameters["shared_memory_byte_size"].int64_param = place.size
    for name in outputs:
        wanted = request.outputs.add(name=name)
        if classes:
            wanted.parameters["classification"].int64_param = classes
    # A queue that heeds it drops the request when nobody waits for it any more.
    request.parameters["timeout"].int64_param = max(1, round(deadline.left_s * 1e6))
    return request


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
    return b"".join(part for file in batch.flat for part in (_LENGTH.pack(len(file)), file))
