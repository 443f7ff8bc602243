"""The bench: a Triton of its own, which loads one configuration after another, and perf_analyzer.

    <work>/repository/default/     the served version, as it is deployed
    <work>/repository/version-3/   another version, loaded explicitly with each configuration

The files are links to those of the user's repository; its server and its files are not touched.
The queue has no bound here, as perf_analyzer ends at the first request that is rejected.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resnet_serve import durable
from resnet_serve.errors import HostError
from resnet_serve.loadtest import perf_process
from resnet_serve.loadtest.executions import Watched
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_analyzer import Source
from resnet_serve.loadtest.perf_process import Window
from resnet_serve.loadtest.perf_program import Program
from resnet_serve.parity import pressure
from resnet_serve.triton import config
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import CONFIG_FILE, staging
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.server import Progress, Server
from resnet_serve.triton.supervision.status import GAVE_UP, SERVING, STOPPED
from resnet_serve.tuning import configuration as written
from resnet_serve.tuning.candidates import Candidate, Candidates
from resnet_serve.tuning.climb import BenchEndedError, Stop
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.trials import Point

_DEFAULT = "default"
_LOAD_TIMEOUT_S = 300.0
_RESTART_TIMEOUT_S = 120.0
_POLL_S = 0.1


class TritonBench:
    """Serves configurations of `candidates` from `work`, and loads them for `seconds` each.

    `default` is the configuration of the served version as it is; `images` a file or folder to
    send. `starting` is called while the server starts, `say` with what to know of a load.
    """

    def __init__(
        self,
        work: Path,
        candidates: Candidates,
        default: Configuration,
        *,
        program: Program,
        seconds: float,
        images: Path | None = None,
        starting: Progress | None = None,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._work, self._candidates, self._default = work, candidates, default
        self._program, self._seconds, self._images = program, seconds, images
        self._say = say
        self._repository = work / "repository"
        self._instances = {_DEFAULT: default.instances}
        self._restarts = {_DEFAULT: 0}  # of the server, when a model was served
        self._sources: dict[str, Source] = {}
        self._server = Server(self._repository, port=0, progress=starting)

    def __enter__(self) -> Self:
        self._clear()
        try:
            with durable.explained(self._repository):
                self._repository.mkdir(parents=True)
            self._link(_DEFAULT, self._candidates.served)
            self._server.start()
        except BaseException:
            self._clear()
            raise
        self._admin = Admin(self._server.endpoints, timeout_s=_LOAD_TIMEOUT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._clear()

    def serve(self, configuration: Configuration, *, keep: str = "") -> str:
        """Load it explicitly; raises `HostError` with the server's reason where it cannot.

        A server that has crashed is restarted by its supervisor; where it is not, raises
        `BenchEndedError`.
        """
        self._wait_until_serving()
        if configuration == self._default:
            self._restarts[_DEFAULT] = self._server.status.restarts
            return _DEFAULT
        candidate = self._candidates.of(configuration.version)
        model = f"version-{candidate.version}"
        model += "-too" if model == keep else ""
        made = self._link(model, candidate)
        made = written.unbounded(written.written(made, candidate.passport, configuration))
        for other in self._admin.models():
            if other not in (model, keep, _DEFAULT):
                self._admin.unload(other)
        self._remove_all_but(model, keep, _DEFAULT)
        try:
            self._admin.load(model, made)
        except HostError:
            self._remove_all_but(keep, _DEFAULT)
            raise
        self._instances[model] = configuration.instances
        self._restarts[model] = self._server.status.restarts
        self._sources.pop(model, None)
        return model

    def load(self, model: str, offered: Offered, stop: Stop) -> Point | None:
        """Run perf_analyzer; what the server counts meanwhile is part of the point."""
        try:
            return perf_process.tried(lambda: self._load(model, offered, stop), self._say)
        except HostError as error:
            if self._restarted(model) or not self._serving():
                # A connection that was being made then has ended for no reason it could name.
                raise _crash(model, offered) from error
            # Its remedy is for a server of the user's.
            raise HostError(error.what, where=error.where) from error

    def _load(self, model: str, offered: Offered, stop: Stop) -> Point | None:
        source = self._sources.get(model)
        if source is None:
            source = self._sources[model] = Source.of(self._server.grpc, model, self._images)
        watched = Watched(self._server.grpc, {model: self._instances[model]})
        started_s, before = time.monotonic(), pressure.read()
        with watched:
            found = perf_process.run(self._program, source.load(offered, self._seconds), stop)
        elapsed_s, pressed = time.monotonic() - started_s, pressure.read().share_since(before)
        if self._restarted(model):
            raise _crash(model, offered)
        if isinstance(found, Window):
            return None
        (ran,) = watched.executed()
        executions = sum(each.executions for each in ran.batches)
        images = sum(each.batch_size * each.executions for each in ran.batches)
        computed_s = sum(each.mean_ms * each.executions for each in ran.batches) / 1000
        return Point(
            concurrency=found.concurrency,
            rate_per_s=found.rate_per_s,
            requests=found.requests,
            throughput_per_s=found.throughput_per_s,
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            mean_batch=images / max(1, executions),
            largest_batch=max((each.batch_size for each in ran.batches), default=0),
            busy=min(1.0, computed_s / elapsed_s / self._instances[model]),
            executed=ran,
            pressed=pressed,
        )

    def tested(self, model: str, check: Callable[[Client, str], str]) -> str:
        """What `check(client, model)` says of a served model."""
        return check(self._admin.client, model)

    def _link(self, model: str, candidate: Candidate) -> Any:
        """The directory of a model with links to a version's files; returns its configuration."""
        folder, own = self._repository / model, candidate.deployed.path
        made = config.parse((own / CONFIG_FILE).read_text(encoding="utf-8"))
        made.name = model
        made.version_policy.Clear()
        made.version_policy.specific.versions.append(candidate.version)
        if not folder.is_dir():
            staging.copy(own, folder / str(candidate.version))
            if (own / LABELS_FILE).is_file():
                staging.link(own / LABELS_FILE, folder / LABELS_FILE)
            durable.write(folder / CONFIG_FILE, config.to_text(written.unbounded(made)))
        return made

    def _remove_all_but(self, *models: str) -> None:
        """The server loads what is left when it is restarted, and ends where that fails."""
        for folder in self._repository.iterdir():
            if folder.name not in models:
                shutil.rmtree(folder, ignore_errors=True)

    def _wait_until_serving(self) -> None:
        end_s = time.monotonic() + _RESTART_TIMEOUT_S
        while not self._serving():
            status = self._server.status
            if status.state in (STOPPED, GAVE_UP) or time.monotonic() > end_s:
                raise BenchEndedError(
                    f"the server that is tuned has ended, and was not restarted: "
                    f"{status.reason or status.last or 'it does not respond'}",
                    remedy="Once that is fixed, go on with --resume.",
                )
            time.sleep(_POLL_S)

    def _restarted(self, model: str) -> bool:
        """Whether the server is another process than the one that loaded it."""
        return self._server.status.restarts != self._restarts[model]

    def _serving(self) -> bool:
        with contextlib.suppress(HostError):
            return bool(self._server.version) and self._server.status.state == SERVING
        return False

    def _clear(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)


def _crash(model: str, offered: Offered) -> HostError:
    return HostError("the server crashed", where=f"{model} at {offered}")
