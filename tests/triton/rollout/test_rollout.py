"""Versions change on the real server while requests are in flight."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
import versioned
from patience import PATIENCE_S, until
from versioned import COLOURS, NAMES

from resnet_serve.errors import HostError, ParityError, UnavailableError
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.rollout import rollout
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.rollout.rollout import Place
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.endpoints import Endpoints, claim_ports

pytestmark = pytest.mark.slow
IN_FLIGHT = 50


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("rollout") / "models")
    versioned.deploy(made)
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[Server]:
    with Server(repository.path, port=0, drain_s=0) as started:
        yield started


def say(_text: str) -> None: ...


def promote(
    place: Place, repository: Repository, version: int, *, drain_s: float = 0
) -> tuple[str, ...]:
    change = changes.promote(repository.deployed(), "net", version)
    return rollout.serve(place, repository, change, say, drain_s=drain_s)


class Load:
    """Requests without a pause, `IN_FLIGHT` at a time: images and, of `tensors`, pixels."""

    def __init__(self, address: str) -> None:
        self.answers: list[tuple[float, int]] = []  # when it was asked, and which version answered
        self.failures: list[str] = []
        self._client = triton.InferenceServerClient(address)
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(IN_FLIGHT)
        self._running = [self._pool.submit(self._ask, number) for number in range(IN_FLIGHT)]

    def end(self) -> None:
        self._stop.set()
        for each in self._running:
            each.result()
        self._pool.shutdown()
        self._client.close()

    def go_on(self) -> float:
        """Wait until as many are answered as are in flight, all asked from now on.

        Returns this moment.
        """
        moment = time.monotonic()
        assert until(lambda: sum(asked > moment for asked, _ in self.answers) >= IN_FLIGHT), (
            self.failures
        )
        return moment

    def _ask(self, number: int) -> None:
        level = COLOURS[number % len(COLOURS)]
        labelled = number % 2 == 0
        data = np.array([[versioned.image(level)]], np.object_)
        given = triton.InferInput("image", [1, 1], "BYTES")
        given.set_data_from_numpy(data)
        wanted = [triton.InferRequestedOutput("logits", class_count=1 if labelled else 0)]
        while not self._stop.is_set():
            asked = time.monotonic()
            try:
                found = self._client.infer(
                    "net_image", [given], outputs=wanted, client_timeout=PATIENCE_S
                )
                version = self._version(found.as_numpy("logits"), labelled, level)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                kind = "labels" if labelled else "logits"
                unavailable = "UNAVAILABLE" if "UNAVAILABLE" in str(error) else "FAILED"
                self.failures.append(f"{kind} {unavailable}: {error!r}")
                continue
            self.answers.append((asked, version))

    def _version(self, found: np.ndarray, labelled: bool, level: int) -> int:
        if labelled:
            score, _, label = found.reshape(-1)[0].decode().split(":")
            version = round(float(score) / 10)
            assert label == f"version {version}"
            return version
        version = round(float(found[0, 0]) / 10)
        np.testing.assert_allclose(found[0], versioned.expected(version, level), rtol=1e-5)
        return version


def test_fifty_requests_in_flight_over_two_changes(server: Server, repository: Repository) -> None:
    """No request fails or is answered by two versions; after the change the new one answers.

    Back to an earlier version, Triton refuses a request for labels that it has just computed.
    """
    versioned.deploy(repository, serve=False)
    load = Load(server.grpc)
    try:
        load.go_on()
        shown = promote(server, repository, 2, drain_s=1)
        forward = load.go_on()
        failures = list(load.failures)
        change = changes.rollback(repository.deployed(), "net")
        rollout.serve(server, repository, change, say)
        back = load.go_on()
    finally:
        load.end()
    assert failures == []
    assert all("labels UNAVAILABLE" in each for each in load.failures), load.failures
    assert shown == ("net version 2: 3 example images are within the gate's budget",)
    assert len(load.answers) > 2 * IN_FLIGHT
    assert {version for _, version in load.answers} == {1, 2}
    assert {version for asked, version in load.answers if asked > back} == {1}
    assert 2 in {version for asked, version in load.answers if asked > forward}
    assert server.models == dict.fromkeys(NAMES, ("1",))
    assert list(server.beside.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        pytest.param({"broken": True}, HostError, "cannot load net.beside-", id="load"),
        pytest.param({"wrong": 3.0}, ParityError, "are not the reference's", id="outputs"),
    ],
)
def test_a_version_that_fails_leaves_the_old_one_serving(
    fault: dict[str, object],
    error: type[Exception],
    said: str,
    server: Server,
    repository: Repository,
) -> None:
    promote(server, repository, 1)
    bad = versioned.deploy(repository, serve=False, **fault)
    with pytest.raises(error, match=said) as refused:
        promote(server, repository, bad)
    text = str(refused.value)
    assert "version 1 is still served" in text
    assert f"resnet-serve remove net:{bad}" in text
    assert "\n" not in text
    assert server.models == dict.fromkeys(NAMES, ("1",))
    assert [each.version for each in repository.deployed() if each.served] == [1]
    assert list(server.beside.iterdir()) == []


def test_a_change_that_was_killed_is_completed_by_serving_the_version_again(
    server: Server, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the ensemble runs the models beside, and the others are still the old ones."""

    class Killed(BaseException):
        pass

    promote(server, repository, 1)
    version = versioned.deploy(repository, serve=False)
    load = Admin.load
    left = [4]

    def deadly(admin: Admin, name: str, config: object = None) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        load(admin, name, config)

    with monkeypatch.context() as patch:
        patch.setattr(Admin, "load", deadly)
        patch.setattr(rollout, "clear", lambda *_: None)
        with pytest.raises(Killed):
            promote(server, repository, version)
    assert len(server.models) == 2 * len(NAMES)
    between = Load(server.grpc)
    between.go_on()
    between.end()
    assert between.failures == []
    assert {answered for _, answered in between.answers} == {version}
    promote(server, repository, version)
    assert server.models == {name: (str(version),) for name in NAMES}
    assert list(server.beside.iterdir()) == []
    promote(server, repository, 1)


@dataclass(frozen=True)
class Ended:
    """The place of a server that has ended."""

    endpoints: Endpoints
    beside: Path


def test_nothing_changes_where_the_server_has_ended(tmp_path: Path, server: Server) -> None:
    """The version is not at fault: the remedy is to try again."""
    own = Repository(tmp_path / "models")
    versioned.deploy(own)
    versioned.deploy(own, serve=False)
    _, ports = claim_ports("127.0.0.1", 0)
    place = Ended(dataclasses.replace(server.endpoints, http_port=ports[0]), tmp_path / "beside")
    place.beside.mkdir()
    with pytest.raises(UnavailableError, match="version 1 is still served") as refused:
        promote(place, own, 2)
    assert "Try again when the server is ready" in str(refused.value)
    assert "remove" not in str(refused.value)
    assert [each.version for each in own.deployed() if each.served] == [1]


def test_one_change_of_a_server_at_a_time(tmp_path: Path) -> None:
    with rollout.alone(tmp_path):
        with pytest.raises(HostError) as refused, rollout.alone(tmp_path):
            pass
        said = "another change of this server is under way. Try again when it is done."
        assert str(refused.value) == said
    with rollout.alone(tmp_path):
        pass


def test_removed_models_are_unloaded(server: Server) -> None:
    rollout.remove(server, NAMES)
    assert server.models == {}
