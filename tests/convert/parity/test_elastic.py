"""Elastic: what was measured of images that wait together, and when it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_convert.parity import elastic
from resnet_convert.parity.elastic import Waiting
from resnet_convert.request import Request


@pytest.mark.parametrize(
    ("batches", "below"),
    [
        ({2: 90.0, 4: 95.0, 8: 99.0}, 9),  # no batch is as fast
        ({2: 90.0, 4: 101.0, 8: 120.0}, 4),
        ({2: 101.0, 4: 110.0, 8: 120.0}, 0),  # every batch is faster
        ({2: 101.0, 4: 99.0, 8: 120.0}, 8),
        ({3: 99.0}, 4),
    ],
)
def test_from_which_size_on_a_batch_is_faster(batches: dict[int, float], below: int) -> None:
    waiting = Waiting(100.0, batches)
    assert waiting.one_per_core_below == below
    best = max(batches.values())
    assert f"100 images/s one per core, {best:.0f} in batches of" in waiting.summary


def test_where_it_is_measured() -> None:
    request = Request(arch="resnet20", weights="random", target="onnxruntime", precision="fp32")
    assert elastic.applies(request, 2)
    for other, cores in (
        (request, 1),
        (replace(request, instances=2), 2),
        (replace(request, max_batch_size=1), 2),
        (replace(request, accelerator="cuda"), 2),
        (replace(request, target="tensorrt", precision="fp16"), 2),
    ):
        assert not elastic.applies(other, cores), other
