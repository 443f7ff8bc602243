"""A fleet: a served model at several addresses, as what classifies the images of a part.

Every request is of the version that was found at the start: a run has one version, whatever is
deployed meanwhile. A request that fails goes to another endpoint (`balance`). An image that a
server refuses again and again, alone in its request, is a row with an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2

from resnet_client import Classifier, Extractor, Tls
from resnet_client.contract import PREPROCESSING, Contract, Decode
from resnet_client.errors import NoClassesError, NotFiniteError
from resnet_client.transport.deadlines import Deadline
from resnet_serve.batch import work
from resnet_serve.batch.failures import Failure, Kind, of_decoding
from resnet_serve.batch.rows import Found
from resnet_serve.batch.servers.balance import Balance, Say
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.work import Done, Job
from resnet_serve.errors import (
    HostError,
    ModelError,
    ResnetServeError,
    ServerError,
    UnavailableError,
    UsageError,
)
from resnet_serve.preprocessing import ImageError, Limits, Preprocessing
from resnet_serve.triton.config import ACTIVATION

_FEATURES = "features"
_PASSING = (UnavailableError, ModelError)
_REFUSALS = 2  # of one image alone, before it is its failure
_MOST_REFUSED = 32  # images one after the other, before that fails the run


@dataclass(frozen=True)
class Served:
    """What the endpoints serve: the version, what an image may cost, the largest batch.

    `parameters` are what decides the results in its configuration: preprocessing, activation.
    Without a classifier it `classifies` nothing, and has features.
    """

    version: str
    limits: Limits
    max_batch_size: int
    parameters: tuple[str, str]
    classifies: bool


@dataclass(frozen=True)
class Access:
    """How servers are asked: where images are decoded, the time for one request, encryption, with
    the `tls_files` authority, certificate and key, or the system's authorities.
    """

    decode: Decode = "client"
    timeout_s: float = 30.0
    patience_s: float = 120.0
    tls: bool = False
    tls_files: tuple[Path | None, Path | None, Path | None] = (None, None, None)


@dataclass
class _Client:
    """The client of one endpoint; `compared` once its version was found to be the run's."""

    of: Classifier | Extractor
    compared: bool = field(default=False)


class Fleet:
    """The endpoints at `urls` (host:port) that serve `name`; close it after use.

    Raises `UsageError` where they serve different versions, `UnavailableError` where none answers.
    """

    def __init__(
        self,
        urls: Sequence[str],
        name: str,
        access: Access,
        *,
        version: int | None,
        top: int | None,
        batch_size: int | None,
        say: Say,
    ) -> None:
        self._name, self._access, self._top = name, access, top
        self.urls = tuple(dict.fromkeys(urls))
        self.served = self._look(version, say)
        self._size = self._checked(batch_size)
        self._refused, self._stopped = 0, False
        clients = [(url, _Client(self._open(url, self.served.version))) for url in self.urls]
        self._balance = Balance(clients, patience_s=access.patience_s, say=say)

    @property
    def limits(self) -> Limits:
        """Those of the served preprocessing."""
        return self.served.limits

    @property
    def batch_size(self) -> int:
        """Images in a request."""
        return self._size

    @property
    def sent(self) -> dict[str, tuple[int, int]]:
        """Requests and failed requests of each endpoint."""
        return {each.url: (each.used, each.failed) for each in self._balance.endpoints}

    def found(self, batch: Sequence[bytes | Failure]) -> list[Found]:
        """The predictions, or the features, of each image.

        Raises `HostError` where the servers refuse one image after the other, and what `Balance`
        raises.
        """
        if self._stopped:
            raise ResnetServeError("the run has ended")
        good = [each for each in batch if not isinstance(each, Failure)]
        results = iter(self._asked(good) if good else [])
        return [each if isinstance(each, Failure) else next(results) for each in batch]

    def stop(self) -> None:
        """Let no part that runs send another request."""
        self._stopped = True

    def close(self) -> None:
        """Close the connections."""
        for each in self._balance.endpoints:
            each.client.of.close()

    def _asked(self, images: list[bytes]) -> list[Found]:
        """The results of one request; where a server refuses it, of a request for each image."""
        try:
            found = self._sent(images)
        except (ServerError, ImageError) as error:
            if len(images) > 1:
                return [self._asked([each])[0] for each in images]
            if isinstance(error, ImageError):
                return [of_decoding(error)]
            return [self._alone(images, error)]
        self._refused = 0
        return found

    def _sent(self, images: list[bytes]) -> list[Found]:
        return self._balance.send(lambda client: self._request(client, images), _PASSING)

    def _alone(self, image: list[bytes], refusal: ServerError) -> Found:
        """An image that was refused alone: tried again, then its failure."""
        for _ in range(_REFUSALS - 1):
            try:
                return self._sent(image)[0]
            except ServerError as again:
                refusal = again
        if isinstance(refusal, NotFiniteError):
            return Failure(Kind.OUTPUTS, refusal.what)
        self._refused += 1
        if self._refused >= _MOST_REFUSED:
            raise HostError(
                f"the servers have refused {self._refused} images one after the other: {refusal}",
                remedy="What is done is kept: repair the servers, then repeat with --resume.",
            )
        return Failure(Kind.SERVER, refusal.what)

    def _request(self, client: _Client, images: list[bytes]) -> list[Found]:
        deadline = Deadline.after(self._access.timeout_s, once=True)
        if not client.compared:
            self._compare(client.of.contract(deadline))
            client.compared = True
        if isinstance(client.of, Extractor):
            return list(client.of.extract(images, deadline)[_FEATURES])
        results = client.of.classify_batch(images, self._top, deadline)
        return [
            each.predictions if each.error is None else of_decoding(each.error) for each in results
        ]

    def _compare(self, contract: Contract) -> None:
        found = _described(contract, self.served.classifies)
        if found != self.served:
            raise ModelError(
                f"version {contract.version} has another preprocessing, activation or outputs "
                "than on the other endpoints",
                where=f"model {self._name!r}",
                remedy="Deploy the same version on all of them.",
            )

    def _open(self, url: str, version: str, classifies: bool | None = None) -> Any:
        classifies = self.served.classifies if classifies is None else classifies
        access = self._access
        return (Classifier if classifies else Extractor)(
            url,
            self._name,
            decode=access.decode,
            timeout_s=access.timeout_s,
            version=version,
            tls=Tls(*access.tls_files) if any(access.tls_files) else access.tls,
        )

    def _look(self, version: int | None, say: Say) -> Served:
        """What the endpoints that answer serve."""
        wanted = "" if version is None else str(version)
        with ThreadPoolExecutor(len(self.urls)) as pool:
            looks = {url: pool.submit(self._contract, url, wanted) for url in self.urls}
        found: dict[str, Served] = {}
        failed: dict[str, ResnetServeError] = {}
        for url, look in looks.items():
            try:
                found[url] = look.result()
            except UnavailableError as error:
                failed[url] = error
        if not found:
            raise next(iter(failed.values()))
        for url, reason in failed.items():
            say(f"{url} does not answer yet: {reason.what}")
        versions = {each.version for each in found.values()}
        if len(versions) > 1:
            shown = ", ".join(f"{url} {each.version}" for url, each in found.items())
            raise UsageError(
                f"the endpoints serve different versions of {self._name} ({shown})",
                remedy="Name the one to use, which all must serve: --version NUMBER.",
            )
        first = next(iter(found.values()))
        if any(each != first for each in found.values()):
            raise UsageError(
                f"version {first.version} of {self._name} is not the same on all endpoints",
                remedy="Deploy the same version on all of them.",
            )
        return first

    def _contract(self, url: str, version: str) -> Served:
        """What one endpoint serves, a classifier or features."""
        deadline = Deadline.after(min(10.0, self._access.timeout_s), once=True)
        try:
            with self._open(url, version, classifies=True) as client:
                return _described(client.contract(deadline), classifies=True)
        except NoClassesError:
            with self._open(url, version, classifies=False) as client:
                return _described(client.contract(deadline), classifies=False)

    def _checked(self, wanted: int | None) -> int:
        most = self.served.max_batch_size
        if wanted is not None and wanted > most:
            raise UsageError(f"a batch of {wanted}: {self._name} accepts 1 to {most} images")
        return wanted or min(most, 16)


def _described(contract: Contract, classifies: bool) -> Served:
    config = model_config_pb2.ModelConfig.FromString(contract.configuration)
    values = {key: value.string_value for key, value in config.parameters.items()}
    stated = values.get(PREPROCESSING, "")
    if not classifies:
        names = [output.name for output in config.output]
        if names != [_FEATURES]:
            raise UsageError(
                f"has the outputs {', '.join(names)}: maps of megabytes per image",
                where=f"model {contract.model!r}",
                remedy="Convert it with --head features, or use resnet_client.Extractor.",
            )
    return Served(
        contract.version,
        Preprocessing.from_json(stated).limits if stated else Limits(),
        contract.max_batch_size,
        (stated, values.get(ACTIVATION, "")),
        classifies,
    )


def done(fleet: Fleet, job: Job, parts: Sequence[Part], workers: int) -> Iterator[Done]:
    """Do the parts in `workers` threads, in any order; each is told when it is written.

    Raises the error of the first part that failed, when the others have stopped.
    """
    waiting = iter(parts)
    with ThreadPoolExecutor(workers, thread_name_prefix="resnet-batch") as pool:
        try:
            running = {_begun(pool, fleet, job, part) for part in islice(waiting, workers)}
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for each in ended:
                    running |= {_begun(pool, fleet, job, part) for part in islice(waiting, 1)}
                    yield each.result()
        finally:
            fleet.stop()


def _begun(pool: ThreadPoolExecutor, fleet: Fleet, job: Job, part: Part) -> Future[Done]:
    return pool.submit(work.do, job, part, fleet, time.thread_time)
