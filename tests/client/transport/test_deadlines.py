"""Which failures may pass, and how long the pauses between attempts are."""

from __future__ import annotations

import time

import grpc
import pytest

from resnet_client.errors import UsageError
from resnet_client.transport.deadlines import Attempts, Deadline, may_pass


class FailedError(grpc.RpcError):
    def __init__(self, status: str, message: str | None) -> None:
        self._status, self._message = grpc.StatusCode[status], message

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str | None:
        return self._message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused"),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer"),
        ("UNAVAILABLE", "Socket closed"),
        ("UNAVAILABLE", "[request id: 4] Exceeds maximum queue size"),
        ("UNAVAILABLE", None),
        ("RESOURCE_EXHAUSTED", "exceeds maximum queue size"),
        ("INTERNAL", "Failed to process: Stub process 'resnet50_0' is not healthy."),
        ("INTERNAL", "Stub process is unhealthy and it will be restarted."),
        ("UNKNOWN", "Stream removed"),
        ("CANCELLED", "CANCELLED"),
    ],
)
def test_these_may_pass(status: str, message: str | None) -> None:
    assert may_pass(FailedError(status, message))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("INVALID_ARGUMENT", "unexpected shape"),
        ("INVALID_ARGUMENT", "the queue is unavailable, connection reset"),
        ("NOT_FOUND", "unknown model"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded"),
        ("CANCELLED", "Channel closed!"),
        ("INTERNAL", "onnxruntime: out of memory"),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 8)"),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'x'"),
        ("UNAVAILABLE", "DNS resolution failed for nowhere:1: Domain name not found"),
        ("UNAVAILABLE", "UNKNOWN: ipv4:10.0.0.1:8001: Failed to create security handshaker."),
        ("UNIMPLEMENTED", ""),
    ],
)
def test_these_stay_what_they_are(status: str, message: str) -> None:
    assert not may_pass(FailedError(status, message))


def test_the_pauses_grow_to_two_seconds_and_differ() -> None:
    many = []
    for _ in range(20):
        attempts = Attempts(Deadline.after(1000))
        many.append([attempts.pause_s() or 0 for _ in range(10)])
    for place, pauses in enumerate(zip(*many, strict=True)):
        longest = min(0.05 * 2**place, 2.0)
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_no_pause_reaches_beyond_the_deadline() -> None:
    assert 0 < (Attempts(Deadline.after(0.04)).pause_s() or 0) <= 0.02
    assert Attempts(Deadline.after(0)).pause_s() is None
    assert Deadline.after(-1).left_s == 0


@pytest.mark.parametrize(("used_s", "hasty"), [(0, False), (400, False), (600, True), (999, True)])
def test_an_attempt_with_less_than_half_of_the_time_is_hasty(used_s: float, hasty: bool) -> None:
    attempts = Attempts(Deadline(1000, time.monotonic() + 1000 - used_s))
    assert not attempts.hasty
    attempts.pause_s()
    assert attempts.hasty == hasty


@pytest.mark.parametrize("wrong", ["3", None, True, 0, float("nan")])
def test_a_callers_time_is_seconds(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"timeout_s (is a number of seconds|of)"):
        Deadline.within(wrong)


def test_a_caller_with_another_server_sends_once() -> None:
    assert Attempts(Deadline.after(60, once=True)).pause_s() is None
    assert Attempts(Deadline.after(60)).pause_s() is not None
