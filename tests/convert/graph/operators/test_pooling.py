"""Pools and resizing against PyTorch, to sizes that divide the image and to others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused

from resnet_convert.graph.operators import pooling


def max_pool(**options):
    return on(lambda x: functional.max_pool2d(x, **options))


def avg_pool(**options):
    return on(lambda x: functional.avg_pool2d(x, **options))


def resized(**options):
    return on(lambda x: functional.interpolate(x, **options)[..., :7])


def adaptive(kind, size):
    return on(kind(size))


SIZES = (1, (3, 4), (9, 8), 2, (5, 3), (None, 4), (12, 1), (4, 13))
EXACT = {
    "adaptive_avg_pool1d": [on(lambda x: functional.adaptive_avg_pool1d(x.flatten(2), 1))],
    "adaptive_avg_pool2d": [adaptive(nn.AdaptiveAvgPool2d, size) for size in SIZES],
    "adaptive_max_pool2d": [adaptive(nn.AdaptiveMaxPool2d, size) for size in SIZES],
    "avg_pool2d": [
        avg_pool(kernel_size=2),
        avg_pool(kernel_size=3, stride=2, padding=1),
        avg_pool(kernel_size=3, stride=2, padding=1, count_include_pad=False),
        avg_pool(kernel_size=2, stride=2, ceil_mode=True),
        avg_pool(kernel_size=3, stride=2, padding=1, ceil_mode=True),
        avg_pool(kernel_size=2, divisor_override=3),
        avg_pool(kernel_size=3, padding=1, count_include_pad=False, divisor_override=2),
        # Generalized mean pooling, whose exponent is a parameter.
        on(
            lambda x, p: functional.avg_pool2d(
                x.clamp(min=1e-6).pow(3 * (1 + p.weight)), (9, 8)
            ).pow(1 / (3 * (1 + p.weight))),
            nn.PReLU(),
        ),
    ],
    "max_pool2d": [
        max_pool(kernel_size=2),
        max_pool(kernel_size=3, stride=2, padding=1),
        max_pool(kernel_size=(3, 2), stride=(1, 2), dilation=(2, 1)),
        max_pool(kernel_size=2, stride=2, ceil_mode=True),
        max_pool(kernel_size=3, stride=3, padding=1, ceil_mode=True),
    ],
    "upsample_bicubic2d": [
        resized(scale_factor=2, mode="bicubic"),
        resized(size=(20, 7), mode="bicubic", align_corners=True),
    ],
    "upsample_bilinear2d": [
        resized(scale_factor=2, mode="bilinear"),
        resized(scale_factor=1.5, mode="bilinear"),
        resized(size=(13, 11), mode="bilinear"),
        resized(size=(13, 11), mode="bilinear", align_corners=True),
        resized(size=(5, 7), mode="bilinear"),
        resized(scale_factor=1.3, mode="bilinear", recompute_scale_factor=True),
    ],
    "upsample_nearest2d": [
        resized(scale_factor=2),
        on(nn.Upsample(scale_factor=(2, 3))),
        resized(size=(13, 11)),
        resized(size=(5, 7)),
    ],
}


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(pooling.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


SIDES = st.tuples(st.integers(2, 14), st.integers(2, 14))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(sides=SIDES, wanted=SIDES, average=st.booleans())
def test_adaptive_pools_of_any_size(sides, wanted, average) -> None:
    kind = nn.AdaptiveAvgPool2d if average else nn.AdaptiveMaxPool2d
    holds(adaptive(kind, wanted), (2, *sides))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(sides=SIDES, wanted=SIDES, mode=st.sampled_from(("nearest", "bilinear")))
def test_resizing_to_any_size(sides, wanted, mode) -> None:
    holds(on(lambda x: functional.interpolate(x, wanted, mode=mode)), (2, *sides))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (avg_pool(kernel_size=2, divisor_override=3, ceil_mode=True), "divisor_override"),
        (
            on(lambda x: functional.interpolate(x, 5, mode="bilinear", antialias=True)),
            "_upsample_bilinear2d_aa",
        ),
        (on(lambda x: functional.adaptive_avg_pool1d(x.flatten(2), 3)), "only to 1"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: nn.Module, reason: str) -> None:
    refused(network, reason)
