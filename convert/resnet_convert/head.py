"""Head: which answers of the network are served, and what makes no sense without classes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from resnet_serve.errors import UsageError

CLASSIFIER = "classifier"
# What each head answers, in the words of the gate.
HEADS: Mapping[str, str] = MappingProxyType(
    {CLASSIFIER: "logits", "features": "features", "pyramid": "maps"}
)


def check_head(
    head: str, *, without_classes: Mapping[str, bool], not_yet: Mapping[str, bool]
) -> None:
    """Refuse an unknown head, and with features every option that is given of these two kinds."""
    if head not in HEADS:
        raise UsageError(f"unknown head {head!r}", remedy=f"Use {', '.join(HEADS)}.")
    if head == CLASSIFIER:
        return
    for option, given in without_classes.items():
        if given:
            raise UsageError(
                f"--head {head} decides among no classes: {option} means nothing there",
                remedy="Leave it out.",
            )
    for option, given in not_yet.items():
        if given:
            raise UsageError(
                f"--head {head} is not made with {option}",
                remedy="Use --target onnxruntime, openvino or auto.",
            )
