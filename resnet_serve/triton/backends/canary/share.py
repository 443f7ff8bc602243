"""Which requests go to the new version: exactly the share, at random places.

Of the share 1/10, one request of every ten is chosen, at a random place among them: a client that
sends the same ten images again and again does not always have the same one chosen.
"""

from __future__ import annotations

import math
import random
from fractions import Fraction


class Sampler:
    """Chooses a share of the requests; after n requests, n · share of them, give or take one."""

    def __init__(self, share: Fraction, source: random.Random | None = None) -> None:
        self._share = share
        self._random = source or random.Random()  # noqa: S311 - nobody is kept from guessing it
        self._requests = self._stretches = self._end = self._chosen = 0

    def take(self) -> bool:
        """Whether the next request is chosen."""
        if self._requests == self._end:
            self._stretches += 1
            start, self._end = self._end, math.ceil(self._stretches / self._share)
            self._chosen = self._random.randrange(start, self._end)
        self._requests += 1
        return self._requests - 1 == self._chosen
