"""Requests at random times (Poisson, fixed seed), whether or not earlier ones are answered.

The load of `overload.py` and `planned.py`: photographs to one served model, encoded or as the
pixels that it takes, over gRPC. Latencies begin when a request was due, so that a client that is
late does not flatter the server. The client runs in real time, see `real_time`.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from dataclasses import dataclass

import grpc
import numpy as np
from real_time import real_time
from spent import Spent
from tritonclient.grpc import service_pb2, service_pb2_grpc

from resnet_serve import Server
from resnet_serve.loadtest import inputs
from resnet_serve.loadtest.inputs import Signature

CLOSED_LOOP = 6  # requests in flight while the capacity is measured
RETRYABLE = (grpc.StatusCode.UNAVAILABLE,)


@dataclass(frozen=True)
class Answers:
    """What became of the requests of one run.

    Latencies in milliseconds are of those answered; `late_ms` is how late each request was sent.
    `spent` is the CPU time until the last one was answered, which took `wall_s`.
    """

    seconds: float
    sent: int
    latencies_ms: tuple[float, ...]
    late_ms: tuple[float, ...]
    rejected: int
    failed: int
    spent: Spent
    wall_s: float

    def goodput_per_s(self, deadline_ms: float) -> float:
        """Answers within the deadline, per second."""
        return sum(each <= deadline_ms for each in self.latencies_ms) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latency of what was answered."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else 0.0


class Load:
    """Sends photographs to one served model: encoded, or as the pixels that it takes."""

    def __init__(self, server: Server, model: str) -> None:
        self._server, self._url = server, server.grpc
        signature = inputs.describe(self._url, model)
        images = inputs.samples(signature).images
        self._requests = [self._request(signature, each) for each in images]

    @staticmethod
    def _request(signature: Signature, image: bytes) -> service_pb2.ModelInferRequest:
        request = service_pb2.ModelInferRequest(model_name=signature.model)
        shape = [1] if signature.encoded else signature.shape
        request.inputs.add(name=signature.input, datatype=signature.datatype, shape=[1, *shape])
        size = struct.pack("<I", len(image)) if signature.encoded else b""
        request.raw_input_contents.append(size + image)
        return request

    def capacity(self, seconds: float) -> float:
        """Answers per second with a few requests always in flight."""
        with real_time():
            return asyncio.run(self._closed(seconds))

    def open_loop(self, rate_per_s: float, seconds: float, seed: int) -> Answers:
        """Requests at random times, whether or not earlier ones are answered."""
        with real_time():
            return asyncio.run(self._open(rate_per_s, seconds, seed))

    async def _closed(self, seconds: float) -> float:
        async with grpc.aio.insecure_channel(self._url) as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            done, started = 0, time.perf_counter()

            async def work(number: int) -> None:
                nonlocal done
                while time.perf_counter() - started < seconds:
                    number += 1
                    try:
                        await infer(self._requests[number % len(self._requests)])
                        done += 1
                    except grpc.aio.AioRpcError as error:
                        if error.code() not in RETRYABLE:
                            raise
                        await asyncio.sleep(0.002)

            await asyncio.gather(*map(work, range(CLOSED_LOOP)))
            return done / (time.perf_counter() - started)

    async def _open(self, rate_per_s: float, seconds: float, seed: int) -> Answers:
        gaps = np.random.default_rng(seed).exponential(
            1 / rate_per_s, size=max(1, round(rate_per_s * seconds))
        )
        times = np.cumsum(gaps)
        found: list[tuple[float, str]] = []
        late_ms: list[float] = []
        before = Spent.now(self._server)
        async with grpc.aio.insecure_channel(self._url) as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            started = time.perf_counter()

            async def ask(number: int) -> None:
                late_ms.append(1e3 * (time.perf_counter() - started - times[number]))
                try:
                    await infer(self._requests[number % len(self._requests)])
                    outcome = "answered"
                except grpc.aio.AioRpcError as error:
                    outcome = "rejected" if error.code() in RETRYABLE else "failed"
                    if outcome == "failed":
                        print(error.code(), error.details(), file=sys.stderr)
                found.append((1e3 * (time.perf_counter() - started - times[number]), outcome))

            async with asyncio.TaskGroup() as sent:
                for number, due_s in enumerate(times):
                    if (pause_s := started + due_s - time.perf_counter()) > 0:
                        await asyncio.sleep(pause_s)
                    sent.create_task(ask(number))
            wall_s = time.perf_counter() - started
        return Answers(
            float(times[-1]),
            len(times),
            tuple(ms for ms, outcome in found if outcome == "answered"),
            tuple(late_ms),
            sum(outcome == "rejected" for _, outcome in found),
            sum(outcome == "failed" for _, outcome in found),
            Spent.now(self._server).since(before),
            wall_s,
        )
