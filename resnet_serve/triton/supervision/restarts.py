"""When a server that ended is started again, and when its supervisor gives up."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_serve.triton.supervision.orders import Policy


@dataclass
class Restarts:
    """The crashes so far; `quick` counts those in a row that came soon after the start."""

    policy: Policy
    count: int = 0
    quick: int = 0

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
