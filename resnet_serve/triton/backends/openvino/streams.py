"""Streams: a compiled model that runs one image per stream, on a core of its own.

All calls come from one thread of Python, which starts a request and waits for the oldest: no other
threads than OpenVINO's own have to be woken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnet_serve.triton.backends.elastic import Outputs
from resnet_serve.triton.backends.stub import Arrays


class Streams:
    """The infer requests of a compiled model, one per stream."""

    def __init__(self, compiled: Any, count: int) -> None:
        self.count = count
        self._requests = [compiled.create_infer_request() for _ in range(count)]

    def run_each(self, names: Sequence[str], images: Sequence[Arrays]) -> list[Outputs]:
        """The outputs of each image; a stream gets the next when it has done its last."""
        found: list[Outputs] = [{}] * len(images)
        free, running = deque(self._requests), deque[tuple[int, Any]]()
        for place, image in enumerate(images):
            if not free:
                free.append(self._collect(names, running, found))
            request = free.popleft()
            try:
                request.start_async(image, share_inputs=True)
            except RuntimeError as error:
                found[place] = error
                free.append(request)
            else:
                running.append((place, request))
        while running:
            self._collect(names, running, found)
        return found

    @staticmethod
    def _collect(
        names: Sequence[str], running: deque[tuple[int, Any]], found: list[Outputs]
    ) -> Any:
        """Wait for the request that was started first; it is free then."""
        place, request = running.popleft()
        try:
            request.wait()
            found[place] = {name: np.array(request.get_tensor(name).data) for name in names}
        except RuntimeError as error:
            found[place] = error
        return request

    def close(self) -> None:
        """Free the requests."""
        self._requests.clear()
