"""Ways: the two ways in which the parts of a run are done, in a Ray or by servers.

A way says who the model is before anything is started. `begun` starts what does the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from resnet_serve.batch import model
from resnet_serve.batch.on_ray.driver import driving
from resnet_serve.batch.on_ray.worker import Options
from resnet_serve.batch.request import Request, Told
from resnet_serve.batch.servers import fleet
from resnet_serve.batch.servers.fleet import Fleet
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.work import Done, Job
from resnet_serve.errors import UsageError
from resnet_serve.triton.repository import Repository, changes

DEFAULT_BATCH = 8
_THREADS_PER_ENDPOINT = 4
_Sent = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Begun:
    """What does parts now: how many at once, on how many nodes or endpoints.

    `sent` has the requests, and the failed ones, of each endpoint; None without servers.
    """

    workers: int
    nodes: int
    done: Callable[[Job, Sequence[Part]], Iterator[Done]]
    sent: Callable[[], _Sent | None]


@dataclass(frozen=True)
class Way:
    """Who the model is, as in the metadata of each part, and how its parts are begun.

    `features` says that it has no classifier.
    """

    identity: Mapping[str, Any]
    features: bool
    begun: Callable[[], AbstractContextManager[Begun]]


@contextmanager
def of(request: Request, version: int | None, told: Told) -> Iterator[Way]:
    """The way of a request, for a version or, with None, the served one.

    Raises what `model.facts` raises, or `Fleet`.
    """
    if not request.urls:
        yield _in_ray(request, version, told)
        return
    opened = Fleet(
        request.urls,
        request.name,
        request.access,
        version=version,
        top=request.top,
        batch_size=request.batch_size,
        say=told.say,
    )
    try:
        yield _by_servers(request, opened)
    finally:
        opened.close()


def _by_servers(request: Request, opened: Fleet) -> Way:
    workers = request.workers or _THREADS_PER_ENDPOINT * len(opened.urls)

    @contextmanager
    def begun() -> Iterator[Begun]:
        yield Begun(
            workers,
            len(opened.urls),
            lambda job, parts: fleet.done(opened, job, parts, workers),
            lambda: opened.sent,
        )

    identity = {"model": request.name, "version": int(opened.served.version), "by": "servers"}
    return Way(identity, not opened.served.classifies, begun)


def _in_ray(request: Request, version: int | None, told: Told) -> Way:
    repository = Repository(request.repository)
    repository.recover()
    facts = model.facts(changes.find(repository.deployed(), request.name, version))
    most = facts.max_batch_size
    if request.batch_size is not None and request.batch_size > most:
        raise UsageError(
            f"a batch of {request.batch_size}: {facts.name} accepts 1 to {most} images"
        )
    options = Options(request.threads, request.batch_size or min(DEFAULT_BATCH, most), request.top)

    @contextmanager
    def begun() -> Iterator[Begun]:
        with driving(
            workers=request.workers, threads=request.threads, address=request.address, say=told.say
        ) as driver:
            yield Begun(
                driver.cluster.workers,
                driver.cluster.nodes,
                lambda job, parts: driver.done(job, facts, options, parts),
                lambda: None,
            )

    identity = {
        "model": facts.name,
        "version": facts.version,
        "by": facts.target,
        "precision": facts.precision,
        "model_sha256": facts.sha256,
        "preprocessing": facts.preprocessing.to_json(),
        "activation": "" if facts.activation is None else facts.activation.to_text(),
    }
    return Way(identity, facts.activation is None, begun)
