"""Implied network: what `--weights` means where neither `--arch` nor `--module` is given."""

from __future__ import annotations

from dataclasses import replace

from resnet_convert.request.options import AUTO
from resnet_convert.request.request import Request
from resnet_serve.checkpoints.reading import SHIPPED, SHIPPED_NETWORK, is_file
from resnet_serve.errors import Note


def implied_network(request: Request) -> tuple[Request, Note | None]:
    """The request with `--arch auto` for a checkpoint alone, else as it is.

    Weights that are part of the package name their network, with `--arch auto` too. The sentence
    says what was implied. Other names of weights, such as "imagenet", imply no network.
    """
    weights = request.weights
    if request.module is not None or request.arch not in (None, AUTO) or weights is None:
        return request, None
    if weights in SHIPPED:
        what = f"{weights} is a {SHIPPED_NETWORK} (--arch {SHIPPED_NETWORK})"
        return replace(request, arch=SHIPPED_NETWORK), Note(f"no network is named: {what}")
    if request.arch == AUTO or not is_file(weights):
        return request, None
    note = Note(f"no network is named: it is inferred from {weights} (--arch auto)")
    return replace(request, arch=AUTO), note
