"""Checks: a thread that waits until a server is ready, and then infers on its models periodically.

A model that answers its clients meanwhile is not asked: a check would only delay their requests,
or share a batch with one of them.
A model that answers with an error is not healthy, even though Triton calls it ready. One that does
not answer in time, or whose queue is full, may only be busy: it counts as failed if it answers
nobody else within the time of a check.
Twice in a row is a failure; the first may be a request that met a model as it was being replaced.
A model that has refused every check since the server started is no reason for a restart: the
request may be at fault, as strings that a model of others cannot read, and would be again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.health.probe import Probe, Unreachable
from resnet_serve.triton.supervision.orders import Policy

_READY_POLL_S = 0.2
_AGAIN_S = 1.0
_LOOK_S = 0.5  # for which a model is watched before it is asked
FAILURES = 2


@dataclass(frozen=True)
class Ready:
    """The server is ready for the first time."""


@dataclass(frozen=True)
class Failed:
    """A health check failed; `final` when the server has to be healed."""

    model: str
    detail: str
    final: bool


class Checks:
    """Watches one server until `stop`; `tell` gets `Ready` once, then a `Failed` per failure."""

    def __init__(
        self,
        endpoints: Endpoints,
        policy: Policy,
        tell: Callable[[Ready | Failed], None],
        repository: Path | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._policy = policy
        self._tell = tell
        self._stopped = threading.Event()
        self._failures: dict[str, int] = {}
        self._answered: set[str] = set()
        self._refusing: set[str] = set()
        self._probe = Probe(
            endpoints.host,
            endpoints.http_port,
            endpoints.key,
            policy.check_timeout_s,
            repository,
        )
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """End the thread; it says nothing more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._endpoints.ready():
            if self._stopped.wait(_READY_POLL_S):
                return
        self._say(Ready())
        if not self._policy.check_s:
            return
        while not self._stopped.wait(_AGAIN_S if self._failures else self._policy.check_s):
            self._round()

    def _round(self) -> None:
        try:
            models = self._probe.outer(self._probe.models())
        except (Unreachable, TimeoutError) as error:
            # A server that is ending refuses connections: its supervisor sees that by itself.
            self._count("", str(error) or "the list of models did not come in time", bad=True)
            return
        self._failures.pop("", None)
        before = {model: self._probe.count(model) for model in models}
        self._stopped.wait(min(_LOOK_S, self._policy.check_s))
        for model in models:
            if self._stopped.is_set():
                return
            if model not in self._failures and self._probe.serves(model, before[model]):
                continue
            answer = self._probe.check(model)
            if answer.healthy:
                self._answered.add(model)
            if answer.refused and model not in self._answered:
                self._refused(model, answer.detail)
            else:
                self._count(model, answer.detail, bad=not answer.healthy)

    def _refused(self, model: str, detail: str) -> None:
        """Said once; where it is a fault of the model, a restart would not change it."""
        self._failures.pop(model, None)
        if model not in self._refusing:
            self._refusing.add(model)
            self._say(Failed(model, detail, final=False))

    def _count(self, model: str, detail: str, *, bad: bool) -> None:
        if not bad:
            self._failures.pop(model, None)
            return
        failures = self._failures[model] = self._failures.get(model, 0) + 1
        self._say(Failed(model, detail, final=failures >= FAILURES))

    def _say(self, event: Ready | Failed) -> None:
        if not self._stopped.is_set():
            self._tell(event)
