"""Head: which outputs of the network are served, and the options that need classes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from resnet_serve.errors import UsageError

CLASSIFIER = "classifier"
# What the outputs of each head are called in the gate.
HEADS: Mapping[str, str] = MappingProxyType(
    {CLASSIFIER: "logits", "features": "features", "pyramid": "maps"}
)


def check_head(head: str, *, need_classes: Mapping[str, bool]) -> None:
    """Raise `UsageError` for an unknown head, and for options that a head without classes lacks.

    Of each option that needs classes, whether it was given.
    """
    if head not in HEADS:
        raise UsageError(f"unknown head {head!r}", remedy=f"Use {', '.join(HEADS)}.")
    if head == CLASSIFIER:
        return
    for option, given in need_classes.items():
        if given:
            raise UsageError(
                f"--head {head} has no classes, and {option} needs them",
                remedy="Leave it out.",
            )
