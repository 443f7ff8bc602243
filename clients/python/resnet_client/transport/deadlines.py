"""How long a call may take, and whether it is sent again when it fails.

An inference changes nothing on the server, so that it may be repeated. What may pass:

    UNAVAILABLE         no connection, a server that starts, stops or loads, a full queue
    RESOURCE_EXHAUSTED  a full queue; for a message that is too large it would never pass
    INTERNAL, UNKNOWN   a backend's process that has ended, a connection that was reset
    CANCELLED           by a server that ends; of a channel that was closed here it has other words
    NOT_FOUND           a model that responded before, or on a server that starts or ends: Triton
                        unloads its models before it stops listening (`connection`)

The pause doubles from 50 ms to 2 s, with jitter, so that clients which failed together do not
return together. Calls are repeated until the caller's deadline.
"""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass

import grpc

from resnet_client.transport.channel import seconds

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_LEAST_S = 0.02  # no attempt is made with less than this left
_PASSING = {
    # A restricted protocol, another protocol, a certificate and an unknown host stay what they are.
    "UNAVAILABLE": re.compile(
        r"^(?!.*(protocol is restricted|http1|HTTP/1|Domain name not found|Misformatted domain"
        r"|CERTIFICATE_VERIFY_FAILED|not in peer certificate|WRONG_VERSION_NUMBER"
        r"|create security handshaker))",
        re.DOTALL,
    ),
    "RESOURCE_EXHAUSTED": re.compile(r".*queue", re.DOTALL | re.IGNORECASE),
    "CANCELLED": re.compile(r"CANCELLED$"),
    "INTERNAL": re.compile(r".*(stub process.*(not |un)healthy|RST_STREAM)", re.DOTALL | re.I),
    "UNKNOWN": re.compile(r".*(stream removed|connection reset)", re.DOTALL | re.IGNORECASE),
}


@dataclass(slots=True)
class Deadline:
    """The end of what the caller waits for; `timeout_s` is how long it was at first.

    `request_id` is what the caller's requests carry; "" leaves it to the connection. With `once`,
    a call that fails is not sent again: its caller has another server.
    """

    timeout_s: float
    end: float
    request_id: str = ""
    once: bool = False

    @classmethod
    def after(cls, timeout_s: float, request_id: str = "", *, once: bool = False) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(timeout_s, time.monotonic() + timeout_s, request_id, once)

    @classmethod
    def within(cls, timeout_s: object) -> Deadline:
        """The same for a caller's own argument; raises `UsageError` for what is no time."""
        return cls.after(seconds("timeout_s", timeout_s))

    @property
    def left_s(self) -> float:
        """The seconds left, never negative."""
        return max(0.0, self.end - time.monotonic())


class Attempts:
    """The attempts of one call until its deadline.

    `hasty` says that the attempt has less than half of the caller's time: when it has no response,
    the error before it says more.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._pause_s = _FIRST_PAUSE_S
        self.hasty = False

    def pause_s(self) -> float | None:
        """How long to wait before the next attempt; None where there is none, or no time for it."""
        left_s = self._deadline.left_s - _LEAST_S
        if self._deadline.once or left_s <= 0:
            return None
        pause_s = self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads the load
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        pause_s = min(pause_s, left_s)
        self.hasty = self._deadline.left_s - pause_s < self._deadline.timeout_s / 2
        return pause_s


def may_pass(error: grpc.RpcError) -> bool:
    """Whether the same call may succeed later."""
    pattern = _PASSING.get(error.code().name)
    return pattern is not None and pattern.match(error.details() or "") is not None
