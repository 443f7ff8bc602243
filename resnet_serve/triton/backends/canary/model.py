"""The `canary` backend: passes a model's requests on to two versions, and compares their answers.

    number 3, 4 ─────────────────────────► version 3, version 4
    the split ─┬─ not chosen ────────────► version 3
               └─ chosen ─► both at once ─► the outputs of version 4; of version 3 where that fails

It runs in a process of its own inside the server (business logic scripting), so clients need not
know of it. A request waits in a thread and not in `execute`, so that requests are merged into
batches behind it as ever; the limits of the queues there hold. Needs numpy only.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.triton.backends import integrity
from resnet_serve.triton.backends.canary.gauges import Gauges
from resnet_serve.triton.backends.canary.share import Sampler
from resnet_serve.triton.backends.stub import ModelConfig, error_response
from resnet_serve.triton.canary import seen
from resnet_serve.triton.canary.seen import Seen
from resnet_serve.triton.canary.split import PARAMETER, Split, alone
from resnet_serve.triton.supervision.health.probe import REQUEST_ID

LOGITS = "logits"
ACTIVATION = "activation"
_THREADS = 512
# The new version may be this much slower than the old one before the old one's answer is given.
_TIMES, _LEAST_S = 10.0, 1.0
_MOST_WAITING = 64  # requests that the new version has not answered
_KEEP_S = 1.0


@dataclass(frozen=True)
class Answer:
    """What one version said, after so many seconds."""

    response: Any
    seconds: float

    @property
    def error(self) -> Any:
        """Its error; None for outputs."""
        return self.response.error() if self.response.has_error() else None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its outputs."""
        return {each.name(): each.as_numpy() for each in self.response.output_tensors()}


class TritonPythonModel:
    """One of the three numbers of a model: a version, or the split between both."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: ModelConfig) -> ModelConfig:
        """Fill in nothing: the configuration is complete."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Read the split; raises `InputFileError` for a configuration without one."""
        import triton_python_backend_utils as pb_utils

        self._stub: Any = pb_utils
        config = json.loads(args["model_config"])
        directory = Path(args["model_repository"]) / args["model_version"]
        integrity.check(config, directory)
        self._name, number = config["name"], int(args["model_version"])
        self._split = Split.from_text(_parameter(config, PARAMETER))
        self._version = None if number == self._split.number else number
        self._decides = _decides(config)
        self._pool = ThreadPoolExecutor(_THREADS)
        self._lock = threading.Lock()
        self._waiting = 0
        self._ended = threading.Event()
        if self._version is None:
            self._sampler = Sampler(self._split.share)
            self._file = seen.path(Path.cwd(), self._name)
            self._seen = seen.read(self._file, self._split) or Seen()
            self._gauges = Gauges(pb_utils, self._name, self._split)
            threading.Thread(target=self._keep, daemon=True).start()

    def execute(self, requests: Sequence[Any]) -> None:
        """Take the requests over; each is answered when its version has answered."""
        for request in requests:
            self._pool.submit(self._serve, request, request.get_response_sender())

    def finalize(self) -> None:
        """Keep what was seen."""
        self._ended.set()
        self._pool.shutdown()
        if self._version is None:
            seen.write(self._file, self._split, self._seen)

    def _serve(self, request: Any, sender: Any) -> None:
        try:
            response = self._answered(request)
        except Exception as error:  # noqa: BLE001 - becomes the response to the request
            response = error_response(self._stub, f"canary: {error}")
        sender.send(response, flags=self._stub.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _answered(self, request: Any) -> Any:
        wanted = list(request.requested_output_names())
        if self._version is not None:
            return self._given(self._ask(self._version, request, wanted), wanted)
        if request.request_id() == REQUEST_ID:  # of the health check: not counted
            return self._given(self._ask(self._split.old, request, wanted), wanted)
        with self._lock:
            chosen = self._sampler.take()
            self._seen = replace(
                self._seen,
                requests=self._seen.requests + 1,
                chosen=self._seen.chosen + chosen,
            )
        if not chosen:
            return self._given(self._ask(self._split.old, request, wanted), wanted)
        return self._given(self._compared(request, wanted), wanted)

    def _compared(self, request: Any, wanted: list[str]) -> Answer:
        """Ask both versions: the new one's answer, or the old one's where that is none."""
        names = list(dict.fromkeys([*wanted, *([] if self._decides is None else [LOGITS])]))
        asked = self._ask_new(request, names)
        old = self._ask(self._split.old, request, names)
        if asked is None:
            self._failed(f"{_MOST_WAITING} requests wait for it")
            return old
        try:
            new = asked.result(max(_LEAST_S, _TIMES * old.seconds))
        except LateError:
            if old.error is None:
                self._failed(f"no answer within {max(_LEAST_S, _TIMES * old.seconds):.1f} s")
            return old
        if new.error is not None:
            if old.error is None:
                self._failed(new.error.message())
            return old
        return new if old.error is not None else self._judged(old, new)

    def _judged(self, old: Answer, new: Answer) -> Answer:
        expected, found = old.arrays, new.arrays
        if reason := _unusable(expected, found):
            self._failed(reason)
            return old
        distance = max(
            (float(np.abs(found[name] - expected[name]).max(initial=0)) for name in expected),
            default=0.0,
        )
        images = len(next(iter(expected.values()))) if expected else 0
        agreed = None
        if self._decides is not None:
            agreed = images - self._decides.flips(expected[LOGITS], found[LOGITS])
        with self._lock:
            self._seen = self._seen.and_compared(images, agreed, distance, new.seconds, old.seconds)
        return new

    def _failed(self, reason: str) -> None:
        with self._lock:
            self._seen = self._seen.failed(reason)

    def _ask_new(self, request: Any, names: list[str]) -> Future[Answer] | None:
        """Send it to the new version; None where too many wait for that already."""
        with self._lock:
            if self._waiting >= _MOST_WAITING:
                return None
            self._waiting += 1
        return self._pool.submit(self._ask_and_count, request, names)

    def _ask_and_count(self, request: Any, names: list[str]) -> Answer:
        try:
            return self._ask(self._split.new, request, names)
        finally:
            with self._lock:
                self._waiting -= 1

    def _ask(self, version: int, request: Any, names: list[str]) -> Answer:
        stub, started = self._stub, time.monotonic()
        passed = stub.InferenceRequest(
            model_name=alone(self._name, version),
            model_version=version,
            requested_output_names=names,
            inputs=request.inputs(),
            request_id=request.request_id(),
            timeout=request.timeout(),
            preferred_memory=stub.PreferredMemory(stub.TRITONSERVER_MEMORY_CPU, 0),
        )
        try:
            response = passed.exec()
        except Exception as error:  # noqa: BLE001 - the stub's own, without a base class
            response = stub.InferenceResponse(output_tensors=[], error=stub.TritonError(str(error)))
        return Answer(response, time.monotonic() - started)

    def _given(self, answer: Answer, wanted: list[str]) -> Any:
        """The response to the client: only the outputs that it wants."""
        if answer.error is not None:
            return self._stub.InferenceResponse(output_tensors=[], error=answer.error)
        tensors = [each for each in answer.response.output_tensors() if each.name() in wanted]
        return self._stub.InferenceResponse(output_tensors=tensors)

    def _keep(self) -> None:
        """Write what was seen, and the metrics, every second."""
        kept = None
        while not self._ended.wait(_KEEP_S):
            now = self._seen
            if now is not kept:
                seen.write(self._file, self._split, now)
                self._gauges.show(now)
                kept = now


def _parameter(config: Mapping[str, Any], name: str) -> str:
    return str((config.get("parameters") or {}).get(name, {}).get("string_value", ""))


def _decides(config: Mapping[str, Any]) -> Activation | None:
    """How the logits are read; None for a model that decides nothing."""
    if all(each["name"] != LOGITS for each in config["output"]):
        return None
    text = _parameter(config, ACTIVATION)
    found = Activation.from_text(text) if text else SOFTMAX
    return found if found.decides_classes or found.decides_labels else None


def _unusable(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Why the new version's outputs cannot be an answer; empty where they can."""
    for name, values in expected.items():
        if name not in found or found[name].shape != values.shape:
            return f"its {name} is {list(found[name].shape) if name in found else 'missing'}"
        if not np.isfinite(found[name]).all():
            return f"its {name} is not finite"
    return ""
