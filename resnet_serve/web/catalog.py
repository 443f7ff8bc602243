"""The catalog: the classifiers that the server serves now, each with its labels.

It is asked of the server when it is needed and older than a few seconds, by one thread at a time.
While the server does not answer, images go to what was served last, whose requests wait for it; the
list itself says that it does not.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from PIL import Image

from resnet_client import Classifier, discovery
from resnet_client.contract import Contract
from resnet_serve.errors import DeadlineError, ModelError, ResnetServeError
from resnet_serve.triton.canary.split import FIRST_SPLIT, MARK
from resnet_serve.web.places import Address, Places

_KEPT_S = 3.0
_KEPT_FAILURE_S = 1.0
_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Served:
    """One version that is served, with a classifier of its own."""

    model: str
    version: str
    classifier: Classifier
    contract: Contract
    labels: tuple[str, ...]

    @property
    def labels_id(self) -> str:
        """A name for the set of its labels, and for how its outputs are read."""
        text = "\0".join((self.contract.activation.kind, *self.labels))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Known:
    """What was found at an address; `latest` classify with the version that a model serves."""

    address: Address
    versions: tuple[Served, ...] = ()
    latest: Mapping[str, Classifier] = field(default_factory=dict)


class Catalog:
    """The classifiers of the server at `places`; `timeout_s` bounds each of their requests.

    Threads may share it. `close` ends the connections.
    """

    def __init__(self, places: Places, timeout_s: float) -> None:
        self.places = places
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._known: _Known | None = None
        self._failure: ResnetServeError | None = None
        self._until_s = 0.0

    def versions(self, *, fresh: bool = False) -> tuple[Served, ...]:
        """The versions by model and number; raises `UnavailableError` where no server is known.

        With `fresh`, also where it does not answer now.
        """
        return self._current(fresh=fresh).versions

    def latest(self, model: str) -> Classifier:
        """The classifier for requests without a version; raises `ModelError`."""
        known = self._current(fresh=False)
        if model not in known.latest:
            raise unknown(model, known.latest)
        return known.latest[model]

    def expire(self) -> None:
        """Look again at the next request: a version was not found where it should be."""
        self._until_s = 0.0

    def close(self) -> None:
        """End the connections."""
        with self._lock:
            self._replace(None)

    def _current(self, *, fresh: bool) -> _Known:
        if (known := self._known) is not None and not fresh and self._lock.locked():
            return known  # another thread looks
        if not self._lock.acquire(timeout=2 * _TIMEOUT_S):
            raise DeadlineError(
                f"the server has not said within {2 * _TIMEOUT_S:g} s what it serves",
                remedy="It may be overloaded: send less at once.",
            )
        try:
            if time.monotonic() >= self._until_s:
                self._look()
            if self._failure is not None and (fresh or self._known is None):
                raise type(self._failure)(
                    self._failure.what, where=self._failure.where, remedy=self._failure.remedy
                )
            if self._known is None:
                raise TypeError("either there is a catalog, or a failure")
            return self._known
        finally:
            self._lock.release()

    def _look(self) -> None:
        try:
            address = self._address()
            found = discovery.served_classifiers(
                address.grpc, timeout_s=_TIMEOUT_S, tls=address.tls or False
            )
            self._replace(self._read(address, found))
            self._failure = None
        except ResnetServeError as error:
            self._failure = error
        kept_s = _KEPT_S if self._failure is None else _KEPT_FAILURE_S
        self._until_s = time.monotonic() + kept_s

    def _address(self) -> Address:
        try:
            return self.places.address()
        except ResnetServeError:
            self._replace(None)  # there is nobody to wait for
            raise

    def _read(self, address: Address, found: Mapping[str, tuple[str, ...]]) -> _Known:
        """The catalog of these models; what has not changed is taken from the one before."""
        before = self._known
        if before is None or before.address != address:
            before = _Known(address)
        earlier = {(each.model, each.version): each for each in before.versions}
        versions, latest = list[Served](), dict[str, Classifier]()
        for model, numbers in sorted(found.items()):
            if MARK in model:
                continue
            for number in numbers:
                name = (model, number)
                if int(number) >= FIRST_SPLIT:
                    continue
                # A ModelError: no classifier, or none that resnet-convert deployed.
                with suppress(ModelError):
                    versions.append(self._version(address, *name, earlier.get(name)))
            if any(each.model == model for each in versions):
                latest[model] = before.latest.get(model) or self._classifier(address, model)
        return _Known(address, tuple(versions), latest)

    def _version(self, address: Address, model: str, number: str, earlier: Served | None) -> Served:
        classifier = earlier.classifier if earlier else self._classifier(address, model, number)
        try:
            contract = classifier.contract()
            if earlier is not None and earlier.contract.same_as(contract):
                return earlier
            return Served(model, number, classifier, contract, _labels(classifier, contract))
        except BaseException:
            if earlier is None:
                classifier.close()
            raise

    def _classifier(self, address: Address, model: str, version: str = "") -> Classifier:
        return Classifier(
            address.grpc,
            model,
            version=version,
            timeout_s=self._timeout_s,
            tls=address.tls or False,
            notice=lambda _: None,
        )

    def _replace(self, found: _Known | None) -> None:
        before, self._known = self._known, found
        if before is None:
            return
        kept = set() if found is None else {id(each) for each in _classifiers(found)}
        for each in _classifiers(before):
            if id(each) not in kept:
                # Its requests in flight may end first, for which nobody should wait here.
                threading.Thread(target=each.close, daemon=True).start()


def unknown(model: str, known: Mapping[str, object]) -> ModelError:
    """The error for a model that is not served."""
    names = ", ".join(sorted(known)) or "nothing"
    return ModelError(
        f"the server serves no classifier {model!r:.80}", remedy=f"It serves {names}."
    )


def _classifiers(known: _Known) -> list[Classifier]:
    return [*(each.classifier for each in known.versions), *known.latest.values()]


def _labels(classifier: Classifier, contract: Contract) -> tuple[str, ...]:
    """The label of each output, from the predictions for a blank image."""
    blank = Image.new("RGB", (8, 8))
    found = classifier.classify(blank, top=max(2, contract.classes))
    return tuple(each.label for each in sorted(found, key=lambda each: each.index))
