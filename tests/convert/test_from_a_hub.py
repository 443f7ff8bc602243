"""A conversion from a hub: the command in its record names the commit, not the branch."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_site import NEW, Site, served
from safetensors.torch import save

from resnet_convert.pipeline import convert
from resnet_serve import weights
from resnet_serve.architectures import find

pytest.importorskip("huggingface_hub")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_command_makes_the_same_conversion_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = weights.load("digits", find("resnet20")).state
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with served(Site({NEW: {"model.safetensors": save(dict(state))}})) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        made = convert(weights="hf://me/net", repository=tmp_path / "models", name="from_hub")
    pinned = f"hf://me/net@{NEW}:model.safetensors"
    assert f"--weights {pinned}" in made.request.command()
    assert made.weights.source == pinned
    assert any(f"is now the commit {NEW}" in note for note in made.notes)
    again = convert(weights=pinned, repository=tmp_path / "models", name="from_hub")
    assert again.weights.sha256 == made.weights.sha256
