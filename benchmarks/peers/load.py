"""The client: one image a request, with some always in flight, for a time.

The same loop for every peer, in this process. HTTP is written to the socket as it is, over
connections that are kept; gRPC is the KServe protocol through grpc.aio. It runs in real time, see
`real_time`. What the client costs is measured too, and stated beside what the server costs.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import grpc
import numpy as np
from real_time import real_time
from tritonclient.grpc import service_pb2, service_pb2_grpc

TOP, SIDE = 5, 224
_BOUNDARY = "boundary-of-one-file"


Reading: TypeAlias = Mapping[int, float]


@dataclass(frozen=True)
class Run:
    """Latencies in milliseconds, in the order in which requests were done, the CPU time of the
    client, and what `meter` said as they began and as all were done.
    """

    latencies_ms: tuple[float, ...]
    seconds: float
    client_cpu_s: float
    before: Reading
    after: Reading

    @property
    def per_s(self) -> float:
        """Images per second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, share: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.percentile(self.latencies_ms, share))


class Load(Protocol):
    """The requests to one server. Any response but the expected one raises `RuntimeError`."""

    async def connected(self, stack: AsyncExitStack) -> Callable[[int], Awaitable[bytes]]:
        """A connection: a call sends request `number`, and returns the body of its response."""
        ...


async def _run(load: Load, in_flight: int, seconds: float, meter: Callable[[], Reading]) -> Run:
    async with AsyncExitStack() as stack:
        calls = [await load.connected(stack) for _ in range(in_flight)]
        for number, call in enumerate(calls):  # connections are made, and warm
            await call(number)
        latencies: list[float] = []
        before = meter()
        began, cpu_s = time.perf_counter(), time.process_time()

        async def work(worker: int, call: Callable[[int], Awaitable[bytes]]) -> None:
            number = worker
            while (sent := time.perf_counter()) - began < seconds:
                await call(number)
                latencies.append(1e3 * (time.perf_counter() - sent))
                number += in_flight

        await asyncio.gather(*(work(worker, call) for worker, call in enumerate(calls)))
        took = time.perf_counter() - began
        cpu_s = time.process_time() - cpu_s
        return Run(tuple(latencies), took, cpu_s, before, meter())


def run(load: Load, in_flight: int, seconds: float, meter: Callable[[], Reading] = dict) -> Run:
    """Send requests with `in_flight` at once for this long, and wait for the last ones."""
    with real_time():
        return asyncio.run(_run(load, in_flight, seconds, meter))


def once(load: Load, number: int = 0, timeout_s: float = 30) -> bytes:
    """The body of one response."""

    async def one() -> bytes:
        async with AsyncExitStack() as stack:
            call = await load.connected(stack)
            return await asyncio.wait_for(call(number), timeout_s)

    return asyncio.run(one())


@dataclass(frozen=True)
class Http:
    """POST requests over connections that are kept; each is the bytes of headers and body."""

    port: int
    requests: Sequence[bytes]

    async def connected(self, stack: AsyncExitStack) -> Callable[[int], Awaitable[bytes]]:
        """See `Load`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        stack.callback(writer.close)

        async def call(number: int) -> bytes:
            writer.write(self.requests[number % len(self.requests)])
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            if "content-length" in fields:
                body = await reader.readexactly(int(fields["content-length"]))
            else:
                body = await _chunks(reader)
            if " 200 " not in f"{lines[0]} ":
                raise RuntimeError(f"{lines[0]}: {body[:200]!r}")
            return body

        return call


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def post(path: str, body: bytes, kind: str) -> bytes:
    """The bytes of an HTTP request."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def binary(path: str, header: Mapping[str, object], data: bytes) -> bytes:
    """The bytes of an HTTP request to Triton: JSON, and the input as it is behind it."""
    text = json.dumps(header).encode()
    request = post(path, text + data, "application/octet-stream")
    length = f"\r\nInference-Header-Content-Length: {len(text)}\r\n\r\n".encode()
    return request.replace(b"\r\n\r\n", length, 1)


def form(path: str, name: str, kind: str, sample: bytes) -> bytes:
    """The bytes of an HTTP request whose body is a form with one file."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="image"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    body = head.encode() + sample + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return post(path, body, f"multipart/form-data; boundary={_BOUNDARY}")


def raw_requests(path: str, workload: str, samples: Sequence[bytes]) -> list[bytes]:
    """The samples as bodies of their own: pixels as octets, or a JPEG file."""
    kind = "image/jpeg" if workload == "jpeg" else "application/octet-stream"
    return [post(path, sample, kind) for sample in samples]


@dataclass(frozen=True)
class Grpc:
    """KServe's ModelInfer; the body of a response is that of its first output."""

    port: int
    requests: Sequence[service_pb2.ModelInferRequest]

    async def connected(self, stack: AsyncExitStack) -> Callable[[int], Awaitable[bytes]]:
        """See `Load`. All connections are one channel, as in a real client."""
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        )
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer

        async def call(number: int) -> bytes:
            try:
                response = await infer(self.requests[number % len(self.requests)])
            except grpc.RpcError as error:
                raise RuntimeError(str(error)) from error
            return bytes(response.raw_output_contents[0])

        return call


def tensor_request(model: str, pixels: bytes) -> service_pb2.ModelInferRequest:
    """The input "image" as UINT8 [1,224,224,3]."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="image", datatype="UINT8", shape=[1, SIDE, SIDE, 3])
    request.raw_input_contents.append(pixels)
    return request


def bytes_request(model: str, data: bytes) -> service_pb2.ModelInferRequest:
    """The input "image" as BYTES [1,1]: its length (4 bytes, little endian), and the file."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
    return request
