"""Systems under test: each takes queries of LoadGen, and reports the class of every sample.

`InProcess` runs whatever maps a batch of pixels to logits: PyTorch, ONNX Runtime, OpenVINO. What
waits is taken together, up to a batch. `Served` sends one request per sample over gRPC, with at
most so many in flight, as a client of the server would.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from loadgen.library import Library

# A sample of a query: LoadGen's number of the response, and the index of its image.
Sample: TypeAlias = tuple[int, int]
# Called with (number of the response, class) of each sample that is done.
Done: TypeAlias = Callable[[Sequence[tuple[int, int]]], None]
Classify: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class System:
    """What LoadGen measures: samples wait in order for a thread, which `_work`s until the end."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._waiting: queue.SimpleQueue[tuple[Sample, Done] | None] = queue.SimpleQueue()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, samples: Sequence[Sample], done: Done) -> None:
        """Take the samples of a query; `done` is called with each once, later."""
        for sample in samples:
            self._waiting.put((sample, done))

    def close(self) -> None:
        """Wait for what was taken, and end the threads. Raises what a thread failed with."""
        self._waiting.put(None)
        self._thread.join()
        self._end()
        if self._failed is not None:
            raise self._failed

    def _work(self) -> None:
        """Take what waits, until None does."""
        raise NotImplementedError

    def _end(self) -> None:
        """Wait for what the thread has begun, once it has ended."""


class InProcess(System):
    """One thread that runs `classify` on what waits, up to `most` images at once."""

    def __init__(self, classify: Classify, library: Library, most: int) -> None:
        self._classify, self._most = classify, most
        super().__init__(library)

    def _batches(self) -> Iterator[list[tuple[Sample, Done]]]:
        """What waits, in order, until the end was put in."""
        while (first := self._waiting.get()) is not None:
            batch, ended = [first], False
            while len(batch) < self._most and not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    ended = True
                    break
                batch.append(more)
            yield batch
            if ended:
                return

    def _work(self) -> None:
        for batch in self._batches():
            try:
                logits = self._classify(self._library.batch([index for (_, index), _ in batch]))
                found = [int(best) for best in logits.argmax(axis=1)]
            except Exception as error:  # noqa: BLE001 - LoadGen waits for every sample; see `close`
                self._failed = error
                found = [-1] * len(batch)
            for ((number, _), done), best in zip(batch, found, strict=True):
                done([(number, best)])


class Served(System):
    """The tensor model `name` of the server at `url`, with at most `in_flight` requests at once."""

    def __init__(self, url: str, name: str, library: Library, in_flight: int) -> None:
        self._name = name
        self._channel = grpc.insecure_channel(url)
        self._infer = service_pb2_grpc.GRPCInferenceServiceStub(self._channel).ModelInfer
        self._free = threading.Semaphore(in_flight)
        self._in_flight = in_flight
        super().__init__(library)

    def _end(self) -> None:
        for _ in range(self._in_flight):
            self._free.acquire()
        self._channel.close()

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None:
            (number, index), done = entry
            self._free.acquire()
            call = self._infer.future(self._request(index))

            def received(response: grpc.Future, number: int = number, done: Done = done) -> None:
                self._free.release()
                done([(number, self._best(response))])

            call.add_done_callback(received)

    def _request(self, index: int) -> service_pb2.ModelInferRequest:
        pixels = self._library.batch([index])
        request = service_pb2.ModelInferRequest(model_name=self._name)
        request.inputs.add(name="image", datatype="UINT8", shape=pixels.shape)
        request.raw_input_contents.append(pixels.tobytes())
        return request

    def _best(self, response: grpc.Future) -> int:
        try:
            return int(np.frombuffer(response.result().raw_output_contents[0], np.float32).argmax())
        except grpc.RpcError as error:
            self._failed = error
            return -1
