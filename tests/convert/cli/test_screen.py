"""The progress of a conversion on a narrow terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from resnet_convert.cli import screen
from resnet_convert.inputs import weights_summary
from resnet_serve import console, weights
from resnet_serve.architectures import find


def test_a_long_result_is_wrapped_and_leaves_the_stage_its_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(console, "err", shown)
    result = "resnet20, 269,722 parameters, 10 classes; assumed: network, preprocessing, activation"
    with screen.progress() as bars:
        bars.stage("mixed precision")
        bars.finish(result)
    assert isinstance(shown.file, io.StringIO)
    out = shown.file.getvalue()
    assert "mixed precision " in out
    assert "…" not in out
    assert all(word in out for word in result.split())


def test_an_absolute_path_is_shown_by_its_last_part() -> None:
    loaded = weights.load("random:1", find("resnet20"))
    placed = replace(loaded, source="/home/someone/runs/net.pth (model)")
    assert ", from net.pth (model)" in weights_summary(placed)
    named = replace(loaded, source="hf://owner/name")
    assert ", from hf://owner/name" in weights_summary(named)
