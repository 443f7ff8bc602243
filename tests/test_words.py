"""Plain words: phrases that a colleague would not say aloud, refused in sources and documents.

The list is short on purpose: it holds what was once written here, not what might be.
"""

from __future__ import annotations

import re
from pathlib import Path

from source_tree import ROOT, SCRIPTS, SOURCES, shown

PHRASES = {
    r"the answers?\b(?! (is|to|that a (remote|HTTP)))": "outputs, logits or predictions",
    r"\bwhoever\b": "the reader, the caller",
    r"\bbefore the clock starts\b": "are not timed",
    r"\bis it spelled so\b": "check the spelling",
    r"\blet (the|it) \w+ go\b": "release",
    r"\bin a word\b": "briefly",
    r"\b(contest|jury|a stretch|workshop)\b": "autoselect, evaluator, segments, build host",
    r"\bevidence\b": "reference outputs",
    r"\bjourney\b": "conversion, stages",
    r"\bin (PyTorch|torchvision)'s words\b": "with its PyTorch name",
    r"\b(mends?|mended)\b": "fixes",
    r"\bthe house\b": "the layout",
}
TEXTS = [
    *SOURCES,
    *SCRIPTS,
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def unplain(path: Path) -> list[str]:
    """The places of a file where one of the phrases is, and what to say instead."""
    text = path.read_text(encoding="utf-8")
    return [
        f"{shown(path)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}: say {instead}"
        for phrase, instead in PHRASES.items()
        for match in re.finditer(phrase, text, re.IGNORECASE)
    ]


def test_the_words_are_plain() -> None:
    found = [each for path in TEXTS for each in unplain(path)]
    assert not found, "\n".join(found)
