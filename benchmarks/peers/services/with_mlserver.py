"""MLServer: a custom runtime for both workloads, started with its settings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from network import BATCH, DELAY_S, PORT, WORKERS, Network, best, labels, pixels_of


class _Classifier(MLModel):
    """The runtime."""

    async def load(self) -> bool:
        """Load the network in a worker."""
        self._network, self._labels = Network(), labels()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Logits of pixels, or the five best classes of JPEG files."""
        image = payload.inputs[0]
        if image.datatype != "BYTES":
            logits = self._network(NumpyCodec.decode_input(image))
            outputs = [NumpyCodec.encode_output("logits", logits)]
        else:
            logits = self._network(np.stack([pixels_of(data) for data in image.data]))
            top = [json.dumps(best(row, self._labels)).encode() for row in logits]
            outputs = [ResponseOutput(name="top", shape=[len(top), 1], datatype="BYTES", data=top)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def _settings() -> None:
    ports = {"http_port": PORT, "grpc_port": PORT + 1, "metrics_port": PORT + 2}
    server = {**ports, "host": "127.0.0.1", "parallel_workers": WORKERS, "debug": False}
    Path("settings.json").write_text(json.dumps(server))
    model: dict[str, Any] = {"name": "resnet50", "implementation": "with_mlserver._Classifier"}
    if BATCH > 1:
        model |= {"max_batch_size": BATCH, "max_batch_time": max(DELAY_S, 1e-3)}
    Path("model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    from mlserver.cli.main import root

    _settings()
    root(["start", "."])
