"""A recorded command is read back as the request that made it, whatever its options are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_convert.request import Request
from resnet_convert.request.recorded import parse
from resnet_serve.errors import UsageError

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"arch": "resnet50"},
    "int8": {
        "arch": "resnet20",
        "precision": "int8",
        "calibration": "my images",
        "calibration_method": "mse",
        "calibration_images": 7,
        "budget_top1": 0.0,
        "budget_agreement": 99.5,
        "target": "openvino",
    },
    "a module": {"module": "a b.py:make", "weights": "w.pth", "labels": "l'abels.txt"},
    "a sigmoid": {"arch": "auto", "weights": "w", "activation": "sigmoid", "threshold": "0.25"},
    "features": {"arch": "resnet18", "head": "features", "input": "float32"},
    "forced": {"arch": "resnet18", "force": True, "ema": True, "trust_pickle": True},
    "engines": {
        "arch": "resnet50",
        "target": "tensorrt",
        "batch": ("1:8:32", "1:1:1"),
        "prepare_only": True,
        "workspace": 512,
        "optimization_level": 5,
    },
    "a name like an option": {"arch": "resnet18", "validation": "-images", "name": "net"},
    "serving": {"arch": "resnet18", "instances": 2, "max_batch_size": 4, "expect_top1": 69.76},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_is_the_request_again(kind: str) -> None:
    request = Request(**KINDS[kind])
    again = parse(request.command())
    assert again == request
    assert again.command() == request.command()


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_reads_it_in_the_same_way(kind: str) -> None:
    import shlex

    import typer

    from resnet_convert.cli.convert import app

    request = Request(**KINDS[kind])
    words = shlex.split(request.command())[1:]
    parsed = typer.main.get_command(app).make_context("resnet-convert", words).params
    for name, value in KINDS[kind].items():
        found = tuple(parsed[name]) if isinstance(value, tuple) else parsed[name]
        assert (str(found) if isinstance(found, Path) else found) == value, name


@pytest.mark.parametrize(
    "command",
    ["resnet-convert --nonsense 3", "resnet-convert --arch", "resnet-convert --instances two"],
)
def test_what_is_no_recorded_command_is_said(command: str) -> None:
    with pytest.raises(UsageError, match="recorded command"):
        parse(command)
