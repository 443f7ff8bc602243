"""Room: no image is decoded while enough decoded ones wait for the networks behind it.

Decoding takes the cores that the network needs, and what the network's queue then rejects was
decoded in vain. So an instance that has more images to decode asks first how many requests wait
for the networks, and waits as long as there are `limit`; the images behind it wait in the queue of
this model, whose bound rejects the rest undecoded.

The networks are those of every ensemble in which this model is a step: `net_image`, the ensembles
and ten crops that were composed, and what is loaded beside them while versions change.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resnet_serve.triton.backends.contract import count_parameter
from resnet_serve.triton.backends.pending import Pending, used_for_s
from resnet_serve.triton.layout import CONFIG_FILE

DECODED_WAIT = "decoded_wait"
IDLE_S = 0.02  # a gap after an image in which no other waited
JUST_S = 0.005  # how old one may be then: the queue limit asks just before
LOOK_AGAIN_S = 0.03  # where there is no room
LONGEST_WAIT_S = 0.25  # then an image is decoded in any case
_FOUND_AGAIN_S = 10.0  # ensembles may be deployed at any time
_STEP = re.compile(r'\bmodel_name:\s*"([^"]+)"')
_DECODES = re.compile(r'^backend:\s*"image"', re.M)


def decoded_wait(config: Mapping[str, Any]) -> int:
    """The parameter of a configuration; 0, any number, where it has none.

    Raises `ContractError` for what is no number.
    """
    return count_parameter(config, DECODED_WAIT)


def networks(models: Path, name: str) -> frozenset[str]:
    """The models that run in one ensemble with `name`, other than those that decode too.

    `models` is the folder of the models' directories.
    """
    found: set[str] = set()
    decoding: set[str] = set()
    for path in models.glob(f"*/{CONFIG_FILE}"):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if _DECODES.search(text):
            decoding.add(path.parent.name)
        steps = set(_STEP.findall(text))
        if name in steps:
            found |= steps
    return frozenset(found - decoding - {name})


class Room:
    """Where `limit` requests wait for one of the networks, there is none; 0 is no limit.

    `instances` share what is left; an image takes `requests` of it.
    """

    def __init__(
        self,
        limit: int,
        find: Callable[[], frozenset[str]],
        *,
        instances: int = 1,
        requests: int = 1,
        pending: Pending | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit, self._find = limit, find
        self._instances, self._requests = instances, requests
        self._pending = Pending() if pending is None else pending
        self._clock, self._sleep = clock, sleep
        self._networks: frozenset[str] = frozenset()
        self._found = -math.inf
        self._ended = -math.inf
        self._ask_at = -math.inf
        self._images = 0  # that may be decoded before it is asked again

    def wait(self) -> None:
        """Return when an image may be decoded; `done` ends that."""
        started = now = self._clock()
        if not self._limit or now - self._ended > IDLE_S:
            return
        while self._images <= 0 or now >= self._ask_at:
            self._ask(now)
            if self._images > 0 or now - started >= LONGEST_WAIT_S:
                break
            self._sleep(LOOK_AGAIN_S)
            now = self._clock()
        self._images -= 1

    def done(self) -> None:
        """An image was decoded, or could not be."""
        self._ended = self._clock()

    def close(self) -> None:
        """Close the connection to the metrics."""
        self._pending.close()

    def _ask(self, now: float) -> None:
        if now - self._found >= _FOUND_AGAIN_S:
            self._networks, self._found = self._find(), now
        counts = self._pending.counts(JUST_S) or {}
        waiting = max(
            (count for (model, _), count in counts.items() if model in self._networks), default=0
        )
        share = self._requests * self._instances
        self._images = -(-max(0, self._limit - waiting) // share)
        self._ask_at = now + used_for_s(waiting, self._limit)
