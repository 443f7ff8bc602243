"""The counters of Triton's metrics, and what happens where there are none."""

from __future__ import annotations

import socket

import pytest

from resnet_serve.errors import UnavailableError
from resnet_serve.web.live import Meter, counters
from resnet_serve.web.places import Places

SAMPLE = """\
# HELP nv_inference_count Number of inferences performed
# TYPE nv_inference_count counter
nv_inference_count{model="net",version="1"} 10
nv_inference_count{model="net",version="2"} 20
nv_inference_count{model="other",version="1"} 7
nv_inference_pending_request_count{model="net",version="2"} 3
nv_inference_request_failure{model="net",reason="REJECTED",version="1"} 1
nv_inference_request_failure{model="net",reason="REJECTED",version="2"} 3
nv_inference_request_failure{model="net",reason="BACKEND",version="2"} 2
nv_inference_request_summary_us{model="net",version="1",quantile="0.5"} 9000
nv_inference_request_summary_us{model="net",version="1",quantile="0.99"} 2500
nv_inference_request_summary_us{model="net",version="2",quantile="0.99"} 1500
nv_inference_request_summary_us{model="other",version="1",quantile="0.99"} NaN
nv_cpu_utilization 0.5
"""


def test_counters_are_of_all_versions_of_a_model() -> None:
    found = counters(SAMPLE)
    net, other = found["net"], found["other"]
    assert (net.images, net.waiting, net.rejected, net.failed) == (30, 3, 4, 2)
    assert net.p99_ms == 2.5  # of the slower version
    assert (other.images, other.p99_ms) == (7, None)


def test_what_is_no_metric_has_no_counters() -> None:
    assert counters("") == {}
    assert counters("<html>\nnv_inference_count 3\n# nv_inference_count{} 1") == {}


def test_without_metrics_it_says_what_is_missing() -> None:
    with pytest.raises(UnavailableError, match="--metrics HOST:PORT"):
        Meter(Places(url="127.0.0.1:9")).read()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    meter = Meter(Places(url="127.0.0.1:9", metrics=f"127.0.0.1:{port}"))
    with pytest.raises(UnavailableError, match="no metrics are served"):
        meter.read()
