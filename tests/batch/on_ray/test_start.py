"""What is asked of Ray, and what is refused before it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.batch.on_ray import start
from resnet_serve.errors import HostError, UsageError


@pytest.mark.parametrize("address", ["ray://x:10001", "auto", "head:", ":6379", "x:y", "a/b:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"is not the address of a cluster\. Give HOST:PORT"):
        start.check(address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid:6379", "127.0.0.1:99999"])
def test_a_cluster_that_is_not_there_is_said(address: str) -> None:
    with pytest.raises(HostError, match=f"no Ray at {address}"):
        start.check(address)


def test_little_shared_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_SHARED_MEMORY", tmp_path / "none")
    said: list[str] = []
    options = start._local(2, tmp_path, said.append)
    assert options["_plasma_directory"] == str(tmp_path)
    assert options["object_store_memory"] == start.STORE_BYTES
    (text,) = said
    assert "has 0 MiB free, less than the 96 MiB" in text
    assert "--shm-size=256m" in text


def test_a_local_ray_has_a_token_and_no_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(start.os, "environ", environment)
    start._environment(local=True)
    assert (environment["RAY_AUTH_MODE"], environment["RAY_USAGE_STATS_ENABLED"]) == ("token", "0")
    first = environment["RAY_AUTH_TOKEN"]
    start._environment(local=True)
    assert len(first) == 64
    assert environment["RAY_AUTH_TOKEN"] != first
    options = start._local(2, tmp_path, lambda _text: None)
    assert (options["address"], options["include_dashboard"]) == ("local", False)
