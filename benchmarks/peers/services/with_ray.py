"""Ray Serve: one deployment, as many replicas as workers."""

from typing import Any

import numpy as np
import ray
from network import BATCH, DELAY_S, PORT, WORKERS, Network, best, labels, pixels_of
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


@serve.deployment(
    num_replicas=WORKERS, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5}
)
class _Classifier:
    """The deployment."""

    def __init__(self) -> None:
        self._network, self._labels = Network(), labels()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=DELAY_S)
    async def _batched(self, pixels: list[Any]) -> list[Any]:
        return list(self._network(np.stack(pixels)))

    async def __call__(self, request: Request) -> Response:
        """Logits of pixels, or the five best classes of a JPEG file."""
        pixels = pixels_of(await request.body())
        logits = await self._batched(pixels) if BATCH > 1 else self._network(pixels[None])[0]
        if request.headers["content-type"] == "image/jpeg":
            return JSONResponse(best(logits, self._labels))
        return Response(logits.tobytes())


if __name__ == "__main__":
    ray.init("local", include_dashboard=False, configure_logging=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(_Classifier.bind(), route_prefix="/predict", blocking=True)
