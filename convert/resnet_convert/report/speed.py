"""The speed of a converted model in its report: the words, and new numbers in an old page.

The page marks what a new measurement replaces with comments: <!-- speed … -->.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from resnet_convert.report import plots
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.passport import LatencyFacts, RemeasuredFacts, TimingFacts
from resnet_serve.runtimes import TARGETS

RUNTIME_NAMES: Mapping[str, str] = MappingProxyType(
    {"pytorch": "PyTorch", **{row.name: row.title for row in TARGETS.values()}}
)
_CAPTION = (
    "Every measured round is one stroke; the bar spans the middle half of them, the dot is the "
    "median."
)


def speed(ratio: Ratio) -> str:
    """A clause: "2.30× PyTorch at batch 1", or why that is not stated."""
    if ratio.not_stated is not None:
        return f"speed-up {ratio}"
    return f"{ratio.median:.2f}× PyTorch at batch 1{' (slower)' if ratio.slower else ''}"


def named(latencies: Mapping[str, Latency]) -> dict[str, Latency]:
    """Times by the names that a page shows for their runtimes."""
    return {RUNTIME_NAMES.get(name, name): each for name, each in latencies.items()}


def figure(latencies: Mapping[str, Latency]) -> str:
    """The plot of all rounds, with its caption, as HTML."""
    drawn = plots.latency_distributions(named(latencies))
    return (
        f'<figure class="wide"><div class="scroll">{drawn}</div>'
        f"<figcaption>{_CAPTION}</figcaption></figure>"
    )


def replaced(
    page: str,
    facts: LatencyFacts,
    remeasured: RemeasuredFacts,
    latencies: Mapping[str, Latency] = MappingProxyType({}),
) -> str:
    """The page with other times; a page without marks, as of a plan, stays as it is.

    `latencies` are the rounds of the new times, for the plot; without them there is none.
    """
    when = f"measured again on {remeasured.at:%Y-%m-%d %H:%M} UTC ({remeasured.processor})"
    ratio = facts.speedup
    if ratio is None:
        clause = f"speed-up not stated: {remeasured.without_reference}"
        value, note = "not stated", f"{remeasured.without_reference}; {when}"
    elif ratio.not_stated is not None:
        clause = speed(ratio)
        value, note = "not stated", f"{ratio.not_stated}; {when}"
    else:
        clause = speed(ratio)
        value = f"{ratio.median:.2f}× PyTorch"
        note = f"95 % interval {ratio.low:.2f}× to {ratio.high:.2f}×; {when}"
    tile = (
        f'<div><dt>Speed at batch 1</dt><dd class="value">{escape(value)}</dd>'
        f'<dd class="note">{escape(note)}</dd></div>'
    )
    parts = {
        "speed": escape(clause),
        "speed tile": tile,
        "speed text": f"<p>{escape(clause)}. {escape(note)}.</p>"
        + (figure(latencies) if latencies else ""),
        "speed rows": "".join(
            _row(RUNTIME_NAMES.get(name, name), each) for name, each in facts.times.items()
        ),
    }
    for mark, part in parts.items():
        start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
        text = f"{start}{part}{end}".replace("\\", r"\\")
        page = re.sub(f"{start}.*?{end}", text, page, flags=re.DOTALL)
    return page


def _row(name: str, times: TimingFacts) -> str:
    numbers = (
        f"{times.median_ms:.2f} ms",
        f"{times.p95_ms:.2f} ms",
        f"{times.images_per_s:.0f}",
        f"{times.rounds}",
    )
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
