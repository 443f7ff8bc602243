"""One model loaded again, where its backend process has died and the server itself is well.

The other models go on meanwhile, which a restart of the server would end. A model that needs it
again at once, or cannot be loaded, is for the restart. Only a canary's new version is then left as
it is, because the served version answers in its place, and a model of a canary that has ended: the
change that ended it is about to unload it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from http.client import OK
from pathlib import Path

from resnet_serve.triton import image_repository
from resnet_serve.triton.canary.split import MARK
from resnet_serve.triton.supervision import servable
from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.health.probe import Probe, Unreachable
from resnet_serve.triton.supervision.health.stubs import Stub
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.program.child import now
from resnet_serve.triton.supervision.status import StatusFile

PARAMETER = "loaded_again"  # of the configuration: the time


@dataclass(frozen=True)
class Reloaded:
    """The models are served again after so many seconds, or `failed` says why not."""

    models: tuple[str, ...]
    seconds: float
    failed: str = ""


class Reloads:
    """Loads models of one server again, in a thread; `tell` gets a `Reloaded` for each time.

    What is done is written into the log by `say`, and counted in `status`.
    """

    def __init__(
        self,
        orders: Orders,
        status: StatusFile,
        say: Callable[[str], None],
        tell: Callable[[Reloaded], None],
    ) -> None:
        self._policy, self._endpoints = orders.policy, orders.endpoints
        self._repository = servable.repository(Path(orders.scratch))
        self._status, self._say, self._tell = status, say, tell
        self._last: dict[str, float] = {}  # when each model was loaded again
        self.running = 0

    def dead(self, stubs: Collection[Stub]) -> str | None:
        """Load the models of dead backend processes again, or the reason for a restart."""
        self._status.change(dead_stubs=self._status.now.dead_stubs + len(stubs))
        what = f"the backend process of {_joined(stub.instance for stub in stubs)} has died"
        models = {stub.model for stub in stubs}
        moment = time.monotonic()
        recent = any(moment - self._last.get(each, -1e9) < self._policy.again_s for each in models)
        if recent or self._endpoints is None:
            return self._unless_tried(models, what)
        self._say(f"{what}: {_joined(models)} is loaded again")
        self._last.update(dict.fromkeys(models, moment))
        self.running += 1
        arguments = (tuple(sorted(models)), self._endpoints)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()
        return None

    def done(self, event: Reloaded) -> str | None:
        """Note that models are served again, or the reason for a restart."""
        names = _joined(event.models)
        if event.failed:
            what = f"{names} could not be loaded again ({event.failed})"
            return self._unless_tried(event.models, what)
        self._say(f"{names} was loaded again in {event.seconds:.1f} s")
        self._status.change(reloads=self._status.now.reloads + 1, reload_s=event.seconds)
        return None

    def _unless_tried(self, models: Collection[str], what: str) -> str | None:
        if not all(is_tried(each, self._repository) for each in models):
            return what
        self._say(f"{what}: left as it is, because the served version answers")
        return None

    def _run(self, models: tuple[str, ...], endpoints: Endpoints) -> None:
        began, failed = time.monotonic(), ""
        for model in models:
            failed = failed or _load(model, endpoints, self._policy.ready_s)
        self.running -= 1
        self._tell(Reloaded(models, time.monotonic() - began, failed))


def _load(model: str, endpoints: Endpoints, timeout_s: float) -> str:
    """Load a model again; why it is not served then, empty where it is."""
    quick = Probe(endpoints.host, endpoints.http_port, endpoints.key)
    patient = replace(quick, timeout_s=timeout_s)
    try:
        status, text = quick.get(f"/v2/models/{model}/config")
        if status != OK:
            return f"the server does not describe {model}"
        config = json.loads(text)
        # Triton loads nothing whose configuration and files are those of the last time.
        config.setdefault("parameters", {})[PARAMETER] = {"string_value": now()}
        body = json.dumps({"parameters": {"config": json.dumps(config)}}).encode()
        status, text = patient.post(f"/v2/repository/models/{model}/load", body)
        if status != OK:
            return text[:200].decode(errors="replace")
        answer = quick.ask(model)
    except (Unreachable, TimeoutError, ValueError) as error:
        return str(error)
    return answer.detail if answer.healthy is False else ""


def is_tried(model: str, repository: Path) -> bool:
    """Whether it is a canary's new version alone, without which the served one answers.

    Or one of the models of a canary that the repository no longer has.
    """
    name, mark, version = model.partition(MARK)
    if mark and not image_repository.directory(repository, model).is_dir():
        return True
    folder = image_repository.directory(repository, name)
    for file in folder.glob("*/canary.json") if mark else ():
        try:
            if str(json.loads(file.read_text(encoding="utf-8"))["new"]) == version:
                return True
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return False


def _joined(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
