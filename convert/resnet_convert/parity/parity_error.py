"""The error of a gate that does not hold: which checks, which image, which layer."""

from __future__ import annotations

from collections.abc import Callable

from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.layers import Layer
from resnet_serve.errors import ParityError
from resnet_serve.parity.gate import Verdict


def parity_error(
    what: str,
    verdict: Verdict,
    found: Measurements,
    name_of: Callable[[int], str],
    *,
    where: object,
    remedy: str,
    layer: Layer | None = None,
) -> ParityError:
    """The `ParityError` of a verdict.

    `what` says what was not done, `name_of` gives the name of an image, `layer` is the one with
    the smallest SQNR.
    """
    checks = "; ".join(f"{c.name} {c.found}, allowed {c.allowed}" for c in verdict.failures)
    changed = found.changed
    worst = changed[0] if changed else found.numerics[max(found.numerics)].worst
    inside = "" if layer is None else f"; worst layer {layer.name} (SQNR {layer.sqnr_db:.1f} dB)"
    return ParityError(
        f"parity is not met and {what}: {checks}; worst image {name_of(worst)}{inside}",
        where=where,
        remedy=remedy,
    )
