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
from typing import Any

import pytest
from trt_bindings import VERSIONS, Api, describe
from trt_double import Double
from trt_loaded import Loaded, loading


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
