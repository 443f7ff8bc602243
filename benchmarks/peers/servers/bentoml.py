"""BentoML: Starlette, worker processes, adaptive batching between processes."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peers.load import Http, Load, form
from peers.peer import NETWORK, SERVICES, TENSOR, Peer, Place


class BentoML(Peer):
    """See the module."""

    name, title, service = "bentoml", "BentoML", "with_bentoml.py"
    requirements = (*NETWORK, "bentoml==1.4.40")
    better = (
        "Packaging: a Bento has the code, the environment and the models, and becomes an image; "
        "services of several models call each other."
    )
    note = "HTTP, a form with one file. Its workers do not balance connections that are kept."

    def command(self, place: Place) -> list[str]:
        """`bentoml serve`."""
        service = f"{self.service.removesuffix('.py')}:Classifier"
        given = ["--port", str(place.port), "--host", "127.0.0.1", "--working-dir", str(SERVICES)]
        return [str(place.python.parent / "bentoml"), "serve", service, *given]

    def environment(self, place: Place) -> dict[str, str]:
        """A home of its own, and no reports to its vendor."""
        own = {"BENTOML_HOME": str(place.folder), "BENTOML_DO_NOT_TRACK": "True"}
        return {**place.environment(), **own}

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """Forms, to an endpoint of each workload."""
        kind = "application/octet-stream" if workload == TENSOR else "image/jpeg"
        return Http(port, [form(f"/{workload}", "images", kind, sample) for sample in samples])

    def logits(self, body: bytes) -> NDArray[np.float32]:
        """They are in base64, in a list of one."""
        return super().logits(base64.b64decode(json.loads(body)[0]))
