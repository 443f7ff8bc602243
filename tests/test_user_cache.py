"""The user's cache is where the XDG specification puts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.download import torch_hub_checkpoints
from resnet_serve.user_cache import cache_home, user_cache


def test_it_follows_xdg_cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_home() == tmp_path / "caches"
    assert user_cache() == tmp_path / "caches" / "resnet-serve"
    assert not user_cache().parent.exists()


@pytest.mark.parametrize("value", [None, ""])
def test_unset_or_empty_it_is_in_the_home(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    if value is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert user_cache() == tmp_path / ".cache" / "resnet-serve"
    assert torch_hub_checkpoints() == tmp_path / ".cache" / "torch" / "hub" / "checkpoints"
