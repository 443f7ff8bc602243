"""The speed of a converted model in its report: the words, and new numbers in an old page.

The page marks what a new measurement replaces with comments: <!-- speed … -->.
"""

from __future__ import annotations

import re
from html import escape

from resnet_serve.parity.latency import Ratio
from resnet_serve.passport import LatencyFacts, RemeasuredFacts, TimingFacts


def speed(ratio: Ratio) -> str:
    """A clause: "2.30× PyTorch at batch 1", or why that is not stated."""
    if ratio.not_stated is not None:
        return f"speed-up {ratio}"
    return f"{ratio.median:.2f}× PyTorch at batch 1{' (slower)' if ratio.slower else ''}"


def replaced(page: str, facts: LatencyFacts, remeasured: RemeasuredFacts) -> str:
    """The page with other times; a page without marks, as of a plan, stays as it is."""
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
        "speed text": f"<p>{escape(clause)}. {escape(note)}.</p>",
        "speed rows": "".join(_row(name, each) for name, each in facts.times.items()),
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
