"""Implied network: what `--weights FILE` means where neither `--arch` nor `--module` is given."""

from __future__ import annotations

from dataclasses import replace

from resnet_convert.request.options import AUTO
from resnet_convert.request.request import Request
from resnet_serve.checkpoints.reading import is_file


def implied_network(request: Request) -> tuple[Request, str | None]:
    """The request with `--arch auto` for a checkpoint alone, else as it is.

    The sentence says so. A name of weights, such as "digits", implies no network.
    """
    named = request.arch is not None or request.module is not None
    if named or request.weights is None or not is_file(request.weights):
        return request, None
    note = f"no network is named: it is inferred from {request.weights} (--arch auto)"
    return replace(request, arch=AUTO), note
