"""Connections to a server that refuses on purpose and counts its calls, unlike the real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from patience import PATIENCE_S, until
from scripted_triton import Reluctant, start

from resnet_client.errors import (
    ClientError,
    DeadlineError,
    ModelError,
    ServerError,
    UnavailableError,
)
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline


@pytest.fixture
def reluctant() -> Reluctant:
    return Reluctant()


@pytest.fixture
def connection(reluctant: Reluctant) -> Iterator[Connection]:
    server = start(reluctant)
    made = Connection(f"127.0.0.1:{server.port}", timeout_s=PATIENCE_S)
    yield made
    made.close()
    server.stop()


def infer(connection: Connection, shape: tuple[int, ...] = (1, 2, 2, 3)) -> tuple[str, Any]:
    return connection.infer(
        "resnet50",
        "",
        input_name="image",
        batch=np.zeros(shape, np.uint8),
        outputs=["logits"],
        classes=1,
    )


def test_the_latest_version_is_a_number(connection: Connection) -> None:
    assert connection.latest("resnet50") == "10"


def test_unavailable_is_tried_again(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 2
    version, outputs = infer(connection)
    assert (version, outputs["logits"].tolist()) == ("10", [[b"1.0:0"]])
    assert reluctant.calls == 3


def test_large_requests_are_tried_again_too(connection: Connection, reluctant: Reluctant) -> None:
    """gRPC's own buffer for what it may have to send again is 256 KB."""
    reluctant.refusals = 2
    infer(connection, (1, 2000, 2000, 3))
    assert reluctant.calls == 3


def test_a_server_that_comes_back_is_found(reluctant: Reluctant) -> None:
    """A call made while no server is there waits for it, until its deadline."""
    server = start(reluctant)
    waiting = Connection(f"127.0.0.1:{server.port}", timeout_s=PATIENCE_S)
    assert waiting.latest("resnet50") == "10"
    server.stop()
    waiting.timeout_s = 0.3
    with pytest.raises(UnavailableError, match="no server answers"):
        waiting.latest("resnet50")
    waiting.timeout_s = PATIENCE_S
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(infer, waiting)
        assert until(lambda: waiting.failures > 3)
        server = start(reluctant, port=server.port)
        assert found.result(PATIENCE_S)[0] == "10"
    waiting.close()
    server.stop()


def test_it_gives_up_at_the_deadline_with_the_servers_message(
    connection: Connection, reluctant: Reluctant
) -> None:
    reluctant.refusals = 10_000
    connection.timeout_s = 2.0
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"accepts no requests now: not now$"):
        infer(connection)
    assert time.monotonic() - began > 1.9
    assert reluctant.calls > 3
    assert connection._calls.drain(PATIENCE_S)  # the last attempt, which was given up on its way
    calls = reluctant.calls
    time.sleep(0.5)
    assert reluctant.calls == calls


@pytest.mark.parametrize("version", ["2.51.0", "2.57.0"])
def test_a_last_attempt_without_time_does_not_hide_the_servers_message(
    connection: Connection, reluctant: Reluctant, version: str
) -> None:
    """The fourth attempt begins when less than half of the time is left, and has no response."""
    reluctant.version = version
    connection.learn_server()
    reluctant.refusals, reluctant.refused_after_s, reluctant.pause_s = 3, 0.4, PATIENCE_S
    connection.timeout_s = 2.0
    with pytest.raises(UnavailableError, match=r"accepts no requests now: not now$"):
        infer(connection)
    reluctant.released.set()


def test_a_full_queue_is_tried_again(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals, reluctant.code = 2, grpc.StatusCode.RESOURCE_EXHAUSTED
    reluctant.message = "exceeds maximum queue size"
    infer(connection)
    assert reluctant.calls == 3


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "INTERNAL", "RESOURCE_EXHAUSTED"])
def test_nothing_else_is_tried_again(
    connection: Connection, reluctant: Reluctant, code: str
) -> None:
    reluctant.refusals, reluctant.code = 99, grpc.StatusCode[code]
    with pytest.raises(ServerError, match=r"^model 'resnet50': not now$"):
        infer(connection)
    assert reluctant.calls == 1


def test_a_model_that_is_not_loaded_yet_is_waited_for(
    connection: Connection, reluctant: Reluctant
) -> None:
    """A server that starts answers before it has its models."""
    reluctant.refusals, reluctant.code = 2, grpc.StatusCode.NOT_FOUND
    with pytest.raises(ModelError, match="serves no model"):
        infer(connection)
    assert reluctant.calls == 2  # one of them for the list of models
    reluctant.calls, reluctant.ready = 0, False
    infer(connection)
    assert reluctant.calls == 3
    reluctant.calls, reluctant.ready = 0, True
    infer(connection)  # it was there before
    assert reluctant.calls == 3


def test_a_model_that_is_unloaded_by_a_server_that_ends_is_waited_for(
    connection: Connection, reluctant: Reluctant
) -> None:
    """The address may be that of several servers, or the next one may be there in time."""
    said: list[str] = []
    connection._notice = said.append
    reluctant.refusals, reluctant.code, reluctant.ending = 2, grpc.StatusCode.NOT_FOUND, True
    infer(connection)
    assert reluctant.calls == 3  # one of them for the list of models
    assert said == ["it is ending; trying again for up to 180 s"]


def test_a_server_that_ends_is_not_said_to_lack_the_model(
    connection: Connection, reluctant: Reluctant
) -> None:
    reluctant.refusals, reluctant.code, reluctant.ending = 99, grpc.StatusCode.NOT_FOUND, True
    connection.timeout_s = 2.0
    with pytest.raises(UnavailableError, match="accepts no requests now: it is ending"):
        infer(connection)
    assert reluctant.calls > 3
    once = Deadline.after(PATIENCE_S, once=True)
    with pytest.raises(UnavailableError, match="accepts no requests now: it is ending"):
        connection.latest("resnet50", once)  # so that the caller takes another server


def test_who_asks_is_told_of_the_first_failure(reluctant: Reluctant) -> None:
    said: list[str] = []
    server = start(reluctant)
    connection = Connection(server.url, timeout_s=PATIENCE_S, notice=said.append)
    reluctant.refusals = 3
    infer(connection)
    connection.close()
    server.stop()
    assert said == ["not now; trying again for up to 180 s"]


def test_a_response_that_comes_too_late_is_dropped_and_not_cancelled(
    connection: Connection, reluctant: Reluctant
) -> None:
    """An expired deadline near the response crashes the server, so that none may reach it."""
    assert connection.learn_server() == "2.51.0"
    reluctant.pause_s = 0.6
    connection.timeout_s = 0.2
    with pytest.raises(DeadlineError, match=r"no response from .* within 0\.2 s"):
        infer(connection)
    connection.close()
    assert reluctant.outcomes == ["answered"]
    with pytest.raises(ClientError, match="closed"):
        infer(connection)


def test_a_later_server_gets_the_callers_deadline(
    connection: Connection, reluctant: Reluctant
) -> None:
    reluctant.version = "2.57.0"
    assert connection.learn_server() == "2.57.0"
    reluctant.pause_s = PATIENCE_S
    connection.timeout_s = 1.0  # a busy host needs some of it to bring the request there
    with pytest.raises(DeadlineError, match=r"no response from .* within 1 s"):
        infer(connection)
    assert until(lambda: reluctant.outcomes == ["cancelled"])


def test_a_server_that_never_responds_is_not_sent_more_and_more(
    connection: Connection, reluctant: Reluctant
) -> None:
    assert connection.learn_server() == "2.51.0"  # it is connected
    reluctant.pause_s = PATIENCE_S
    connection.timeout_s = 0.05
    for _ in range(64):
        with pytest.raises(DeadlineError, match="no response"):
            infer(connection)
    with pytest.raises(DeadlineError, match="64 earlier requests are still without response"):
        infer(connection)
    reluctant.released.set()
    connection.timeout_s = PATIENCE_S
    assert infer(connection)[0] == "10"


def test_ready_is_waited_for(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.ready_after = 3
    connection.wait_ready("resnet50", "", connection.deadline())
    reluctant.ready_after = 10_000
    with pytest.raises(UnavailableError, match=r"'resnet50' is not ready after 1 s"):
        connection.wait_ready("resnet50", "", Deadline.after(1))


def test_a_server_may_restrict_the_list_of_its_models(
    connection: Connection, reluctant: Reluctant
) -> None:
    assert connection.served() is None
    assert reluctant.calls == 1
    reluctant.calls, reluctant.refusals, reluctant.code = 0, 1, grpc.StatusCode.NOT_FOUND
    with pytest.raises(ModelError, match=r"no model 'resnet50'\. It restricts the list"):
        infer(connection)


def test_another_grpc_server_is_no_triton() -> None:
    server = start(None)
    other = Connection(f"127.0.0.1:{server.port}", timeout_s=PATIENCE_S)
    with pytest.raises(UnavailableError, match=f"the server at {other.url} is not a Triton"):
        other.latest("resnet50")
    other.close()
    server.stop()


@pytest.mark.parametrize("proxied", ["http_proxy", "grpc_proxy"])
def test_no_proxy_stands_before_this_host(
    reluctant: Reluctant, monkeypatch: pytest.MonkeyPatch, proxied: str
) -> None:
    monkeypatch.setenv(proxied, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    server = start(reluctant)
    direct = Connection(f"127.0.0.1:{server.port}", timeout_s=PATIENCE_S)
    assert direct.latest("resnet50") == "10"
    direct.close()
    server.stop()
