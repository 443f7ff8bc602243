"""LitServe: pixels or a JPEG as a form's file; logits or the five best classes."""

from typing import Any

import litserve as ls
import numpy as np
from fastapi import Request, Response
from network import BATCH, DELAY_S, PORT, WORKERS, Network, best, labels, pixels_of


class _Classifier(ls.LitAPI):
    """The service."""

    def setup(self, device: str) -> None:
        """Load the network in a worker, on its device."""
        self.network, self.labels = Network(), labels()

    def decode_request(self, request: Request, context: dict[str, Any]) -> Any:
        """Pixels from the file of the form."""
        upload = request["image"]
        context["top"] = upload.content_type == "image/jpeg"
        return pixels_of(upload.file.read())

    def predict(self, pixels: Any, context: Any) -> Any:
        """Logits of an image, or of a batch."""
        return self.network(pixels if BATCH > 1 else pixels[None])

    def batch(self, inputs: list[Any]) -> Any:
        """Images as one array."""
        return np.stack(inputs)

    def unbatch(self, output: Any) -> Any:
        """The logits of each image."""
        return list(output)

    def encode_response(self, output: Any, context: dict[str, Any]) -> Any:
        """Logits as bytes, or the five best classes."""
        logits = output.reshape(-1)
        return {"top": best(logits, self.labels)} if context["top"] else Response(logits.tobytes())


if __name__ == "__main__":
    api = _Classifier(max_batch_size=BATCH, batch_timeout=DELAY_S)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, timeout=60)
    server.run(port=PORT, generate_client_file=False, log_level="warning")
