"""TorchServe: a handler of bodies, its archive, and the configuration of the server."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from network import BATCH, DELAY_S, PORT, SIDE, WORKERS, Network, best, labels, pixels_of


class _Handler:
    """The network of a worker."""

    def __init__(self) -> None:
        self._network, self._labels = Network(), labels()

    def handle(self, data: list[dict[str, Any]]) -> list[Any]:
        """Logits of pixels, or the five best classes of JPEG files, of each body."""
        bodies = [bytes(row["body"]) for row in data]
        logits = self._network(np.stack([pixels_of(body) for body in bodies]))
        return [
            row.tobytes() if len(body) == SIDE * SIDE * 3 else best(row, self._labels)
            for row, body in zip(logits, bodies, strict=True)
        ]


_handlers: list[_Handler] = []


def handle(data: Any, context: Any) -> Any:
    """TorchServe calls it first without data."""
    if not _handlers:
        _handlers.append(_Handler())
    return None if data is None else _handlers[0].handle(data)


def _start() -> None:
    archive = "torch-model-archiver --model-name resnet50 --version 1.0 --export-path . --handler"
    subprocess.run([*archive.split(), __file__], check=True)
    model = {
        "defaultVersion": True,
        "marName": "resnet50.mar",
        "minWorkers": WORKERS,
        "maxWorkers": WORKERS,
        "batchSize": BATCH,
        "maxBatchDelay": max(1, round(1e3 * DELAY_S)),
        "responseTimeout": 120,
    }
    settings = {
        "inference_address": f"http://127.0.0.1:{PORT}",
        "management_address": f"http://127.0.0.1:{PORT + 1}",
        "metrics_address": f"http://127.0.0.1:{PORT + 2}",
        "grpc_inference_port": PORT + 3,
        "grpc_management_port": PORT + 4,
        "disable_token_authorization": "true",
        "load_models": "resnet50.mar",
        "models": json.dumps({"resnet50": {"1.0": model}}),
    }
    Path("config.properties").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    start = "torchserve --start --foreground --ncs --model-store . --ts-config config.properties"
    os.execvp("torchserve", start.split())


if __name__ == "__main__":
    _start()
