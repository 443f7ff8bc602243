"""Assumption: what no file says and the conversion takes for granted, and how to state it.

A proof of parity compares with a reference, and the reference rests on these. Each is said in the
stage line, kept in the passport and shown in the report, so that a green verdict hides none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Subject(StrEnum):
    """What an assumption is about."""

    NETWORK = "network"
    ARITHMETIC = "arithmetic"
    PREPROCESSING = "preprocessing"
    LABELS = "labels"
    ACTIVATION = "activation"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Assumption:
    """`what` is assumed and from where, as a clause; `remedy` is the option that states it.

    Assumption(Subject.LABELS, "the names of ImageNet-1k, because there are 1,000 classes",
               "--labels FILE")
    """

    subject: Subject
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line: "labels assumed: …; state it with --labels FILE"."""
        return f"{self.subject} assumed: {self.what}; state it with {self.remedy}"
