"""Numbered names, put into the order of their numbers, which are those of the logits: 0 … n-1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from resnet_serve.errors import InputFileError

NUMBER = "[0-9]{1,9}"
# A list is taken in its order, whatever is in the names.
AS_A_LIST = 'Write a JSON list in the order of the logits: ["first class", "second class", …].'


def in_order(numbered: Iterable[tuple[int, str]], path: Path) -> list[str]:
    """The names by number; raises `InputFileError` unless each of 0 … n-1 is there once."""
    pairs = list(numbered)
    remedy = f"Number the classes 0 to {len(pairs) - 1}, each once. Or: {AS_A_LIST}"
    counts = Counter(number for number, _ in pairs)
    twice = next((number for number, count in counts.items() if count > 1), None)
    if twice is not None:
        names = " and ".join(repr(name) for number, name in pairs if number == twice)
        raise InputFileError(
            f"gives the number {twice} to {names}",
            where=path,
            remedy=remedy,
        )
    absent = next((number for number in range(len(pairs)) if number not in counts), None)
    if absent is not None:
        raise InputFileError(
            f"numbers {len(pairs)} classes from {min(counts)} to {max(counts)}, without {absent}",
            where=path,
            remedy=remedy,
        )
    return [name for _, name in sorted(pairs)]


def complete(numbers: Iterable[int]) -> bool:
    """Whether the numbers are 0 … n-1, each once, in any order."""
    found = list(numbers)
    return sorted(found) == list(range(len(found)))
