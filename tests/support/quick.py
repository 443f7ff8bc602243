"""Conversions whose speed and report do not matter: one core, a moment of timing, no figures, and
one trace for all conversions of a network.
"""

from __future__ import annotations

from functools import cache

import pytest
from trace_once import trace_once

from resnet_convert.autoselect import measured
from resnet_convert.parity import elastic, evaluator, latencies, throughput
from resnet_convert.report import plots
from resnet_serve import host
from resnet_serve.datasets import digits, images, survey
from resnet_serve.datasets.selection import positions

SECONDS = 0.1
ROUND_S = 0.01  # of a rate on all cores; every way is taken once at least
FEW = 128  # of the held-out digits one is wrong then, of 500 two
# Of every report; tests/convert/report draws them all, and `make demo` too.
FIGURES = (
    "logit_scatter",
    "error_histogram",
    "layer_response",
    "layer_sqnr",
    "latency_distributions",
)


def quicken(patch: pytest.MonkeyPatch, *, cores: int | None = 1) -> None:
    """From here on conversions are quick; `cores` None keeps those of this host."""
    if cores is not None:
        patch.setattr(host, "cores", lambda: cores)
    for timed in (latencies, evaluator, measured):
        patch.setattr(timed, "LATENCY_SECONDS", SECONDS)
    patch.setattr(throughput, "SECONDS", ROUND_S)
    patch.setattr(elastic, "ROUND_S", ROUND_S)
    for name in FIGURES:
        patch.setattr(plots, name, lambda *_: "")
    trace_once(patch)


def few_digits(patch: pytest.MonkeyPatch) -> None:
    """From here on there are few digits to validate and calibrate with, where all are asked for."""
    part = digits._part

    def some(held_out: bool) -> digits.Part:
        greys, labels, numbers = part(held_out)
        rows = list(positions(len(labels), FEW))
        return greys[rows], labels[rows], numbers[rows]

    patch.setattr(digits, "_part", some)


def decode_once(patch: pytest.MonkeyPatch) -> None:
    """From here on a file of a folder is decoded once, for all conversions; it must not change."""
    patch.setattr(images, "decode", cache(images.decode))
    patch.setattr(survey, "orientation_in", cache(survey.orientation_in))
