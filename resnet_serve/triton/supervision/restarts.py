"""When a server that ended is started again, and when its supervisor gives up."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from resnet_serve.triton.supervision import server_log
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.program.child import signal_of

# Of the first start. What is by chance, as a process that stood still on a busy host, seldom comes
# twice in a row; what comes every time costs its user no more than one load.
_FIRST = 1
# With these a server is told to end.
_TOLD = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def crashed(status: int, log: str) -> bool:
    """Whether a signal ended a server that was not to end it, by its exit status.

    Or its `log` says that no model failed but for a backend process that did not live.
    """
    number = signal_of(status)
    return server_log.only_stubs_failed(log) if number is None else number not in _TOLD


@dataclass
class Restarts:
    """The crashes so far; `quick` counts those in a row that came soon after the start.

    `served` says that a server was ready at least once.
    """

    policy: Policy
    count: int = 0
    quick: int = 0
    served: bool = False

    def none_after(self, *, crashed: bool) -> bool:
        """Whether a server that ended was the first one, and is not started again.

        That is done only where it crashed: what else ends a first start would end the next too.
        """
        most = min(_FIRST, self.policy.most_quick - 1)
        return not self.served and not (crashed and self.count < most)

    def after(self, served_s: float | None) -> float | None:
        """Seconds to wait before the next start, or None to give up.

        `served_s` is how long the server was ready before it ended; None if it never was.
        """
        if served_s is not None and served_s >= self.policy.quick_s:
            self.quick = 0
        self.quick += 1
        if self.quick >= self.policy.most_quick:
            return None
        self.count += 1
        delay_s = self.policy.first_delay_s * 2.0 ** (self.quick - 1)
        return float(min(delay_s, self.policy.longest_delay_s))
