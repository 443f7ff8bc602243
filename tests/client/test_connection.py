"""Connections to a server that refuses on purpose and counts its calls, unlike the real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from patience import PATIENCE_S
from scripted_triton import Reluctant, start

from resnet_client.connection import Connection, classifiers, nearest
from resnet_client.errors import DeadlineError, ModelError, ServerError, UnavailableError


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
        output_name="logits",
        classes=1,
    )


def test_the_latest_version_is_a_number(connection: Connection) -> None:
    assert connection.latest("resnet50") == "10"


def test_unavailable_is_tried_again(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 2
    version, answer = infer(connection)
    assert (version, answer.tolist()) == ("10", [[b"1.0:0"]])
    assert reluctant.calls == 3


def test_large_requests_are_tried_again_too(connection: Connection, reluctant: Reluctant) -> None:
    """gRPC's own buffer for what it may have to send again is 256 KB."""
    reluctant.refusals = 2
    infer(connection, (1, 2000, 2000, 3))
    assert reluctant.calls == 3


def test_a_server_that_comes_back_is_found_at_once(reluctant: Reluctant) -> None:
    """gRPC's own pause between connections grows to two minutes unless told otherwise."""
    server = start(reluctant)
    waiting = Connection(f"127.0.0.1:{server.port}", timeout_s=PATIENCE_S)
    assert waiting.latest("resnet50") == "10"
    server.stop()
    for _ in range(4):
        with pytest.raises(UnavailableError, match="no server answers"):
            waiting.latest("resnet50")
    server = start(reluctant, port=server.port)
    assert waiting.latest("resnet50") == "10"
    waiting.close()
    server.stop()


def test_it_gives_up_with_the_servers_message(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 99
    with pytest.raises(UnavailableError, match=r"accepts no requests now: not now$"):
        infer(connection)
    assert 1 < reluctant.calls < 6


def test_nothing_else_is_tried_again(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 99
    for code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ):
        reluctant.calls, reluctant.code = 0, code
        with pytest.raises(ServerError, match=r"^model 'resnet50': not now$"):
            infer(connection)
        assert reluctant.calls == 1


def test_no_retry_outlives_the_deadline(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 99
    connection.timeout_s = 0.05
    with pytest.raises((DeadlineError, UnavailableError)):
        infer(connection)
    calls = reluctant.calls
    time.sleep(0.5)
    assert reluctant.calls <= calls + 1  # one may have been on its way


def test_a_server_may_restrict_the_list_of_its_models(
    connection: Connection, reluctant: Reluctant
) -> None:
    assert connection.models() is None
    assert reluctant.calls == 1
    reluctant.calls, reluctant.refusals, reluctant.code = 0, 1, grpc.StatusCode.NOT_FOUND
    with pytest.raises(ModelError, match=r"no model 'resnet50'\. It restricts the list"):
        infer(connection)


def test_an_answer_of_another_shape_is_refused(connection: Connection) -> None:
    with pytest.raises(ServerError, match=r"'logits' is \[1, 1\], not \[2, 1\]"):
        infer(connection, (2, 2, 2, 3))


def test_another_grpc_server_is_no_triton() -> None:
    server = start(None)
    other = Connection(f"127.0.0.1:{server.port}", timeout_s=PATIENCE_S)
    with pytest.raises(UnavailableError, match=f"the server at {other.url} is not a Triton"):
        other.latest("resnet50")
    other.close()
    server.stop()


def test_companions_are_not_classifiers() -> None:
    names = ["resnet18", "resnet18_image", "resnet18_preprocess", "cats_image", "resnet50"]
    assert classifiers(names) == ["resnet18", "cats_image", "resnet50"]
    assert nearest("resnet5", names)[0] == "resnet50"
    assert nearest("CATS", names)[0] == "cats_image"


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
