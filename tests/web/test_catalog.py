"""What is served, while versions change and the server is killed under its connections."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import shades
from patience import until
from web_servers import Web, serving

from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.web.places import Places
from resnet_serve.web.settings import Settings

pytestmark = pytest.mark.triton
DISPUTED = shades.image(shades.DISPUTED)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, since it is changed and killed; it is restarted at once."""
    repository = shades.deploy(tmp_path_factory.mktemp("catalog") / "models")
    with Server(repository, port=0, drain_s=0, policy=Policy(quick_s=0, check_s=0.5)) as started:
        yield started


@pytest.fixture(scope="module")
def own(server: Server) -> Iterator[Web]:
    places = Places(server.repository, server.grpc, server.metrics)
    with serving(places, Settings(timeout_s=20)) as started:
        yield started


@contextmanager
def asking(web: Web, path: str) -> Iterator[Counter[int]]:
    """The statuses of requests that are sent all the time, from three threads."""
    seen, ended = Counter[int](), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            answer = web.post(path, DISPUTED)
            seen[answer.status] += 1
            if answer.status == 503:
                assert answer.headers["retry-after"]
                time.sleep(0.1)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for each in threads:
        each.start()
    yield seen
    ended.set()
    for each in threads:
        each.join()


def answered(seen: Counter[int], count: int) -> None:
    """So many more requests have been answered."""
    wanted = seen[200] + count
    assert until(lambda: seen[200] >= wanted)


def versions(web: Web) -> list[str]:
    found = web.get("/models").json["models"]
    return [f"{each['model']} {each['version']}" for each in found if each["model"] != "tones"]


def test_another_version_is_seen_and_no_request_fails_meanwhile(server: Server, own: Web) -> None:
    assert versions(own) == ["shades 1", "shades-int8 1"]
    assert own.post("/compare", DISPUTED).json["agree"] is False
    shades.redeploy(server.repository)
    with asking(own, "/classify?model=shades-int8") as seen:
        answered(seen, 10)
        Admin(server.endpoints).load("shades-int8")
        assert until(lambda: versions(own) == ["shades 1", "shades-int8 2"])
        answered(seen, 10)
    assert set(seen) == {200}
    assert own.post("/classify?model=shades-int8", DISPUTED).json["version"] == "2"
    assert own.post("/compare", DISPUTED).json["agree"] is True
    assert "Served: 2" in own.post("/classify?model=shades-int8&version=1", DISPUTED).refused(404)


def test_a_killed_server_costs_waiting_and_leaves_nothing(server: Server, own: Web) -> None:
    assert own.post("/compare", DISPUTED).status == 200
    before = threading.active_count()
    restarts = server.status.restarts
    with asking(own, "/compare") as seen:
        answered(seen, 5)
        os.kill(server.status.server_pid, signal.SIGKILL)
        assert until(lambda: server.status.restarts == restarts + 1)
        assert until(lambda: own.get("/health").status == 200)
        answered(seen, 5)
    assert set(seen) <= {200, 503}, seen
    # Threads of requests that were given up end with their requests.
    assert until(lambda: threading.active_count() <= before + 4)


def test_a_repository_without_passports_is_served_too(server: Server) -> None:
    with serving(Places(url=server.grpc)) as remote:
        found = remote.get("/models").json
        assert [each["model"] for each in found["models"]] == ["shades", "shades-int8", "tones"]
        assert found["live"] is False
        assert "precision" not in found["models"][0]
        assert remote.post("/compare", DISPUTED).status == 200
        remote.get("/models/shades/1/passport").refused(404)
        assert "--metrics" in remote.get("/live").refused(503)


def test_a_damaged_passport_is_said_and_classification_goes_on(server: Server, own: Web) -> None:
    path = server.repository / "shades" / "1" / "passport.json"
    kept = path.read_bytes()
    try:
        path.write_text("{")
        assert "passport" in own.get("/models").refused(500)
        assert own.post("/classify?model=shades", DISPUTED).status == 200
    finally:
        path.write_bytes(kept)
