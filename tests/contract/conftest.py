"""Fixtures for tests of our TensorRT code against the real bindings, 10.16 and 11.4.

    def test_builds(double):
        trt = double({"INetworkDefinition.num_inputs": 1})
        with installed(trt):                    # from trt_double
            engine.build(...)
        trt.order("IBuilderConfig.add_optimization_profile", "Builder.build_serialized_network")

Tests with `api` or `double` run once per version of the bindings. No GPU is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gpu_host import GpuHost
from quick import quicken
from tensorrt_conversions import Start
from trt_bindings import VERSIONS, Api, describe
from trt_double import Double, installed
from trt_loaded import Loaded, loading

from resnet_convert.parity import latencies
from resnet_serve import cuda


@pytest.fixture(scope="session", params=VERSIONS)
def api(request: pytest.FixtureRequest) -> Api:
    """One version of the bindings; fails, and does not skip, where it is not available."""
    return describe(request.param)


@pytest.fixture
def double(api: Api) -> Callable[[Mapping[str, Any]], Double]:
    """Makes a recording double of the bindings from behaviours: `double({"OnnxParser.parse": …})`.

    See `trt_double` for what a behaviour may be.
    """

    def make(behaviours: Mapping[str, Any] | None = None) -> Double:
        return Double(api, behaviours or {})

    return make


@pytest.fixture
def loaded(double: Callable[..., Double]) -> Iterator[Loaded]:
    """Loads a scripted engine, see `trt_loaded.loading`; closed when the test ends."""
    with loading(double) as load:
        yield load


@pytest.fixture
def start(
    double: Callable[..., Double], api: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Start]:
    """Give this host a double of a GPU and of this version of TensorRT."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    quicken(monkeypatch, cores=None)
    monkeypatch.setattr(latencies, "LATENCY_SECONDS", 0.0)
    monkeypatch.setattr(latencies, "ENGINE_SECONDS", 0.0)
    with ExitStack() as stack:

        def seem(precision: str, **host: Any) -> GpuHost:
            found = GpuHost(api.version, precision, **host)
            monkeypatch.setattr(cuda, "open_device", found.open)
            stack.enter_context(installed(double(found.behaviours())))
            return found

        yield seem
