"""A request: its options, and what follows from them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from resnet_convert.quantization.budgets import Budgets
from resnet_convert.request import Request
from resnet_convert.request import default_target as module
from resnet_convert.request.check import check
from resnet_convert.request.options import Options
from resnet_convert.request.request import DEFAULTS, flag
from resnet_serve.errors import UsageError
from resnet_serve.runtimes.profiles import Profile


def test_a_request_has_the_fields_of_the_options_and_no_others() -> None:
    assert [each.name for each in fields(Request)] == [each.name for each in fields(Options)]
    assert list(DEFAULTS) == [each.name for each in fields(Options)]


def test_a_path_is_taken_for_a_string() -> None:
    names = ("weights", "calibration", "validation", "threshold", "config_patch")

    def made(value: Any) -> Request:
        return Request(arch="resnet50", **dict.fromkeys(names, value))

    assert made(Path("my files") / "one") == made("my files/one")
    assert Request(arch="resnet50", repository=Path("models")).repository == Path("models")


def test_the_command_makes_the_same_request_again() -> None:
    request = Request(
        arch="resnet50",
        precision="int8",
        calibration="my images",
        budget_top1=0.5,
        batch=("1:8:32", "1:1:1"),
        ema=True,
        target="tensorrt",
    )
    words = shlex.split(request.command())
    assert words[0] == "resnet-convert"
    assert words.count("--batch") == 2
    assert words[words.index("--calibration") + 1] == "my images"
    assert words[words.index("--ema") + 1].startswith("--") or words[-1] == "--ema"
    assert "--force" not in words
    assert Request(arch="resnet50").command() == "resnet-convert --arch resnet50"
    tried = Request(arch="resnet50", canary="10%")
    assert tried.command() == "resnet-convert --arch resnet50", "how it is served at first"


def test_a_flag_is_the_field_with_dashes() -> None:
    assert flag("budget_top1") == "--budget-top1"


@pytest.mark.parametrize(
    ("options", "floating_type"),
    [
        ({"precision": "fp32"}, None),
        ({"precision": "fp16"}, "fp16"),
        ({"precision": "int8"}, None),
        ({"precision": "bf16", "target": "openvino"}, None),
        ({"precision": "bf16", "target": "tensorrt"}, "bf16"),
        ({"precision": "int8", "target": "tensorrt"}, "fp16"),
        ({"precision": "int8", "accelerator": "tensorrt"}, "fp16"),
        ({"precision": "auto", "target": "auto"}, None),
    ],
)
def test_what_is_not_quantized_has_the_type_of_the_target(
    options: dict[str, str], floating_type: str | None
) -> None:
    assert Request(arch="resnet20", **options).floating_type == floating_type  # type: ignore[arg-type]


def test_one_profile_up_to_the_largest_batch_unless_more_are_given() -> None:
    request = Request(arch="resnet20", target="tensorrt", precision="fp16", max_batch_size=4)
    assert request.build_options.profiles == (Profile(1, 4, 4),)
    several = Request(arch="resnet20", target="tensorrt", batch=("1:2:4", "1:8:16"))
    assert several.build_options.profiles == (Profile(1, 2, 4), Profile(1, 8, 16))


def test_budgets_are_in_points_and_shares() -> None:
    request = Request(arch="resnet20", budget_top1=0.5, budget_agreement=99.0)
    assert request.budgets == Budgets(0.5, 0.99)
    assert request.budgeted
    assert not Request(arch="resnet20").budgeted


def test_a_network_to_be_inferred_needs_a_file() -> None:
    with pytest.raises(UsageError, match="Give --weights a file"):
        _ = Request(arch="auto").weights_spec


def test_a_gpu_host_takes_no_aim_where_it_has_nothing_to_compare_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def there() -> Iterator[tuple[object, None]]:
        yield object(), None

    monkeypatch.setattr(module, "open_build_host", there)
    asked = Request(arch="resnet50", target="auto", optimize="throughput")
    assert module.default_target(asked) == (asked, None), "it is compared with CPUs"
    asked = replace(asked, precision="fp8", calibration="digits")
    chosen, note = module.default_target(asked)
    check(chosen)
    assert chosen.target == "tensorrt"
    assert "--optimize" in (note or "")
    assert module.default_target(Request(arch="resnet50"))[1] is None
