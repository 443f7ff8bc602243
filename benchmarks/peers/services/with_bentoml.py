"""BentoML: files of pixels or JPEG files in a form; logits in base64, or the five best classes."""

import base64
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from network import BATCH, WORKERS, Network, best, labels, pixels_of

BATCHED: dict[str, Any] = (
    {"batchable": True, "max_batch_size": BATCH, "max_latency_ms": 60_000} if BATCH > 1 else {}
)


@bentoml.service(workers=WORKERS, traffic={"timeout": 60})
class Classifier:
    """The service."""

    def __init__(self) -> None:
        self._network, self._labels = Network(), labels()

    def _logits(self, images: list[Path]) -> Any:
        return self._network(np.stack([pixels_of(image.read_bytes()) for image in images]))

    @bentoml.api(**BATCHED)
    def tensor(self, images: list[Path]) -> list[str]:
        """Logits."""
        return [base64.b64encode(row.tobytes()).decode() for row in self._logits(images)]

    @bentoml.api(**BATCHED)
    def jpeg(self, images: list[Path]) -> list[list[Any]]:
        """The five best classes."""
        return [best(row, self._labels) for row in self._logits(images)]
