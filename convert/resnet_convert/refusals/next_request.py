"""The next conversion to try after one that the gate refused: a request that can be carried out.

INT8: other ranges ─► layers kept floating ─► a higher precision
a fallback of the runtime, or FP32: another runtime of this host
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from resnet_convert.parity.opening import PRECISION_CHECK
from resnet_convert.request import Request
from resnet_convert.request.options import AUTO
from resnet_convert.request.recorded import parse
from resnet_convert.request.request import DEFAULTS
from resnet_serve.errors import UsageError
from resnet_serve.parity.verdict import Verdict
from resnet_serve.runtimes import TARGETS

AGREEMENT_PERCENT = 99.0
# What belongs to quantization alone.
_QUANTIZATION = (
    *("calibration", "calibration_method", "calibration_images"),
    *("budget_top1", "budget_agreement"),
)


def next_request(request: Request, verdict: Verdict) -> Request | None:
    """What is worth a try next; None where nothing on this host is left."""
    request = request.decided()
    if {check.name for check in verdict.failures} == {PRECISION_CHECK}:
        return _elsewhere(request) or _higher(request)
    if request.precision == "int8":
        if request.calibration_method != AUTO:
            return replace(request, calibration_method=AUTO)
        if not request.budgeted:
            return replace(request, budget_agreement=AGREEMENT_PERCENT)
    return _higher(request) or _elsewhere(request)


def after_converting_again(commands: Sequence[str], verdict: Verdict, then: str) -> str | None:
    """Convert the least exact of these models better, by the commands that made them, and `then`.

    Models in FP32 stay as they are; None where nothing else is left.
    """
    found = []
    for command in commands:
        with suppress(UsageError):  # of another version of resnet-convert
            found.append(parse(command))
    below = [each for each in found if each.precision != "fp32"]
    for request in sorted(below, key=lambda each: each.precision_row.budget.sqnr_db):
        following = next_request(request, verdict)
        if following is not None:
            return f"{following.command()} && {then}"
    return None


def _higher(request: Request) -> Request | None:
    """The next higher precision of the same target."""
    if request.precision == "fp32":
        return None
    sixteen_bits = request.precision_row.quantized and request.for_tensorrt
    higher = "fp16" if sixteen_bits and "fp16" in request.row.precisions else "fp32"
    defaults = {name: DEFAULTS[name] for name in _QUANTIZATION}
    return replace(request, precision=higher, **defaults)


def _elsewhere(request: Request) -> Request | None:
    """The same precision in another runtime of this CPU."""
    if request.for_tensorrt:
        return None
    for row in TARGETS.values():
        other = row.name != request.row.name and not row.gpu
        if other and row.installed and request.precision in row.precisions:
            return replace(request, target=row.name)
    return None
