"""LitServe: FastAPI, a queue, and worker processes."""

from __future__ import annotations

from collections.abc import Sequence

from peers.load import Http, Load, form
from peers.peer import NETWORK, TENSOR, Peer


class LitServe(Peer):
    """See the module."""

    name, title, service = "litserve", "LitServe", "with_litserve.py"
    requirements = (*NETWORK, "litserve==0.2.19", "python-multipart")
    better = (
        "The shortest way from Python code to an endpoint: any code before and after the network, "
        "streaming, and OpenAI's protocol, without a conversion."
    )
    note = "HTTP, a form with one file."

    def load(self, port: int, workload: str, samples: Sequence[bytes]) -> Load:
        """Forms."""
        kind = "application/octet-stream" if workload == TENSOR else "image/jpeg"
        return Http(port, [form("/predict", "image", kind, sample) for sample in samples])
