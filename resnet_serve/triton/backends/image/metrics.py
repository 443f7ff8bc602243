"""What the `image` backend adds to Triton's own metrics: the time of each image, and refusals.

Triton counts requests of this backend, not images, and calls a request with a broken image a
success of the backend. Processes of one model add to the same metric.
"""

from __future__ import annotations

from resnet_serve.triton.backends.stub import Metric, Stub

SECONDS = "resnet_serve_image_decode_seconds"
REFUSED = "resnet_serve_images_refused_total"
# A thumbnail takes about a millisecond; `Limits.max_seconds` ends the longest.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ImageMetrics:
    """The metrics of one version of a model; without any where the server has metrics turned off.

    Each call is a message to the server.
    """

    def __init__(self, stub: Stub, model: str, version: str) -> None:
        self._seconds: Metric | None = None
        self._refused: Metric | None = None
        labels = {"model": model, "version": version}
        kinds = stub.MetricFamily
        try:
            # The families have to live as long as their metrics.
            self._families = (
                stub.MetricFamily(
                    name=SECONDS,
                    description="Time to decode, resize and crop one image",
                    kind=kinds.HISTOGRAM,
                ),
                stub.MetricFamily(
                    name=REFUSED,
                    description="Images that could not be decoded or were beyond the limits",
                    kind=kinds.COUNTER,
                ),
            )
            self._seconds = self._families[0].Metric(labels=labels, buckets=list(BUCKETS_S))
            self._refused = self._families[1].Metric(labels=labels)
        except stub.TritonModelException as error:
            stub.Logger.log_warn(f"{model}: no metrics of its images ({error})")

    def took(self, seconds: float) -> None:
        """One image, refused or not."""
        if self._seconds is not None:
            self._seconds.observe(seconds)

    def refused(self) -> None:
        """One image could not be decoded."""
        if self._refused is not None:
            self._refused.increment(1)
