"""Predictions as text, with bars on a terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

from resnet_client.prediction import Prediction

_BAR_CELLS = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LABEL_CELLS = 40
_BOLD, _COLOUR, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"


def block(name: str, predictions: Sequence[Prediction], *, stream: TextIO) -> str:
    """One image as text: its name, then a line per class, best first.

    Scores without probabilities are shown as numbers, and labels below their threshold are marked.
    """
    terminal = stream.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    bars = terminal and (stream.encoding or "").lower().replace("-", "") == "utf8"
    labels = [_shortened(printable(prediction.label)) for prediction in predictions]
    width = max(map(len, labels), default=0)
    heading = printable(name)
    lines = [f"{_BOLD}{heading}{_PLAIN}" if colour else heading]
    for label, prediction in zip(labels, predictions, strict=True):
        share = prediction.probability
        value = f"{prediction.logit:10.4f}" if share is None else f"{share:6.1%}"
        line = f"  {label:<{width}}  {value}"
        if bars and share is not None and (drawn := bar(share)):
            line += f"  {_COLOUR}{drawn}{_PLAIN}" if colour else f"  {drawn}"
        if prediction.above_threshold is False:
            line += "  below its threshold"
        lines.append(line)
    return "\n".join(lines if predictions else [*lines, "  no label reaches its threshold"])


def bar(probability: float) -> str:
    """A bar of up to 20 cells, to an eighth of a cell."""
    whole, eighths = divmod(round(probability * _BAR_CELLS * 8), 8)
    return (_EIGHTHS[-1] * whole + _EIGHTHS[eighths]).rstrip()


def printable(text: str) -> str:
    """The text on one line, with control characters escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def _shortened(label: str) -> str:
    return label if len(label) <= _LABEL_CELLS else f"{label[: _LABEL_CELLS - 1]}…"
