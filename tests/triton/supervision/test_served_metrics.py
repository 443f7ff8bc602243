"""The table of metrics in docs/monitoring.md, held to what the server and its supervisor return.

The values are those of known requests: 4 images, and 2 files that are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until
from prometheus_text import documented_metrics, scrape
from toy_repository import deploy_toy
from tritonclient.utils import InferenceServerException

from resnet_serve.triton import config, image_repository
from resnet_serve.triton.queue_bound import QueueBound
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.endpoints import claim_ports
from resnet_serve.triton.supervision.health.probe import PNG
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton

IMAGES, BROKEN = 4, 2
IMAGE, NETWORK = 'model="toy_image",version="1"', 'model="toy",version="1"'
# What Triton counts of these requests, some of it just after the response.
COUNTED = {
    f"nv_inference_request_success{{{IMAGE}}}": IMAGES,
    f"nv_inference_count{{{NETWORK}}}": IMAGES,
    f"nv_inference_request_summary_us_count{{{IMAGE}}}": IMAGES,
    f"nv_inference_queue_summary_us_count{{{NETWORK}}}": IMAGES,
    # As the document says of this Triton.
    'nv_inference_request_failure{model="toy_image",reason="OTHER",version="1"}': 2 * BROKEN,
    'nv_inference_request_success{model="toy_preprocess",version="1"}': IMAGES + BROKEN,
}


@pytest.fixture(scope="module")
def status_port() -> int:
    return claim_ports("127.0.0.1", 0)[1][0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, status_port: int) -> Iterator[Server]:
    """Two processes decode its images, its queue is bounded; no health check adds to the counts."""
    repository = deploy_toy(tmp_path_factory.mktemp("metrics") / "models")
    written = image_repository.directory(repository, "toy_preprocess") / "config.pbtxt"
    written.write_text(written.read_text().replace("count: 1", "count: 2"))
    network = repository / "toy" / "config.pbtxt"
    bounded = config.parse(network.read_text())
    QueueBound(100).write(bounded)
    network.write_text(config.to_text(bounded))
    policy = Policy(check_s=0)
    with Server(repository, port=0, drain_s=0, status_port=status_port, policy=policy) as started:
        yield started


def send(server: Server, *files: bytes) -> int:
    """Images at the same time, each in a request of its own; how many were refused."""

    def refused(file: bytes) -> bool:
        given = triton.InferInput("image", [1, 1], "BYTES")
        given.set_data_from_numpy(np.array([[file]], object))
        try:
            client.infer("toy_image", [given], client_timeout=PATIENCE_S)
        except InferenceServerException:
            return True
        return False

    with (
        triton.InferenceServerClient(server.grpc) as client,
        ThreadPoolExecutor(len(files)) as threads,
    ):
        return sum(threads.map(refused, files))


def added(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in COUNTED}


@pytest.fixture(scope="module")
def before(server: Server) -> dict[str, float]:
    """The metrics before any request: loading a model may have warmed it up."""
    return scrape(server.metrics)


@pytest.fixture(scope="module")
def after(server: Server, before: dict[str, float]) -> dict[str, float]:
    assert before
    assert send(server, *[PNG] * IMAGES, b"none", b"") == BROKEN
    found = [before]

    def counted() -> bool:
        found.append(scrape(server.metrics))
        return all(added(before, found[-1])[name] >= count for name, count in COUNTED.items())

    assert until(counted)
    return found[-1]


def test_images_and_refusals_are_counted_over_all_processes(
    before: dict[str, float], after: dict[str, float]
) -> None:
    of = '{model="toy_preprocess",version="1"}'
    assert before[f"resnet_serve_images_refused_total{of}"] == 0
    assert after[f"resnet_serve_images_refused_total{of}"] == BROKEN
    assert after[f"resnet_serve_image_decode_seconds_count{of}"] == IMAGES + BROKEN
    assert after[f"resnet_serve_image_decode_seconds_sum{of}"] > 0
    every = [name for name in after if name.startswith("resnet_serve_image_decode_seconds_bucket")]
    assert len(every) > 5
    assert after[next(name for name in every if 'le="+Inf"' in name)] == IMAGES + BROKEN


def test_what_triton_counts_of_them(before: dict[str, float], after: dict[str, float]) -> None:
    assert added(before, after) == COUNTED
    times = f"nv_inference_compute_infer_summary_us_sum{{{NETWORK}}}"
    assert after[times] > before[times]
    for share in ("0.5", "0.99"):
        quantile = f'nv_inference_compute_infer_summary_us{{{NETWORK},quantile="{share}"}}'
        assert after[quantile] > 0


def test_every_metric_of_the_document_is_returned(
    after: dict[str, float], server: Server, status_port: int
) -> None:
    documented = documented_metrics()
    assert documented["Triton"]
    own = scrape(f"127.0.0.1:{status_port}")
    for where, found in (("Triton", after), ("supervisor", own)):
        names = {name.partition("{")[0] for name in found}
        names |= {re.sub("_(count|sum|bucket)$", "", name) for name in names}
        # There is no recovery before the first restart, and neither TLS nor an access log here.
        assert documented[where] - names <= {
            "resnet_serve_certificate_expiry_timestamp_seconds",
            "resnet_serve_recovery_seconds",
            "resnet_serve_requests_total",
        }
    ours = {name.partition("{")[0] for name in own}
    assert ours <= documented["supervisor"], "each of ours is documented"
    assert own["resnet_serve_up"] == 1
    assert own["resnet_serve_restarts_total"] == 0
    assert own["resnet_serve_health_check_failures_total"] == 0
    for model in server.models:
        assert own[f'resnet_serve_served_version{{model="{model}"}}'] == 1


def test_a_model_that_is_loaded_again_goes_on_counting(
    server: Server, after: dict[str, float]
) -> None:
    of = '{model="toy_preprocess",version="1"}'
    assert after
    (
        image_repository.directory(server.repository, "toy_preprocess") / "1/preprocessing.json"
    ).touch()
    Admin(server.endpoints).load("toy_preprocess")
    assert send(server, PNG) == 0
    found = scrape(server.metrics)
    assert found[f"resnet_serve_image_decode_seconds_count{of}"] == IMAGES + BROKEN + 1
