"""The record of an engine, and a host that cannot build one; builds are in tests/contract."""

from __future__ import annotations

import pytest

from resnet_convert.tensorrt import builder
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.builder import EngineRecord, open_build_host
from resnet_serve.errors import HostError
from resnet_serve.passport import EngineState
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import Flavour


def test_an_engine_that_is_not_built_is_recorded_by_its_options() -> None:
    options = BuildOptions((Profile(1, 8, 32),), hardware="same")
    facts = EngineRecord(EngineState.NOT_BUILT, options, "25.08").facts().to_json()
    assert facts == {"state": "plan not built", "triton": "25.08", **options.to_json()}


@pytest.mark.parametrize("missing", ["TensorRT", "the GPU"])
def test_a_host_that_cannot_build_says_what_is_missing(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> str:
        raise HostError(f"{missing} is missing")

    monkeypatch.setattr(Flavour, "version", lambda _: "11.4.0")
    monkeypatch.setattr(builder.cuda, "open_device", absent)
    if missing == "TensorRT":
        monkeypatch.setattr(Flavour, "version", absent)
    with open_build_host() as (host, error):
        assert host is None
        assert missing in str(error)


def test_an_opened_host_is_closed_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Device:
        def close(self) -> None:
            closed.append(self)

    device = Device()
    monkeypatch.setattr(Flavour, "version", lambda _: "11.4.0")
    monkeypatch.setattr(builder.cuda, "open_device", lambda: device)
    with pytest.raises(ValueError, match="anything"), open_build_host() as (host, error):
        assert error is None
        assert host is not None
        assert (host.device, host.tensorrt) == (device, "11.4.0")
        raise ValueError("anything")
    assert closed == [device]
