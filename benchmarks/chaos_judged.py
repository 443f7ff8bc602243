"""What came of a chaos run: which answers were right, and what each event cost.

An answer is right if it is of a version that was served at some moment between question and answer,
label by label. A failure is one that the client calls retryable.
"""

from __future__ import annotations

import collections
import math
import statistics
from dataclasses import dataclass, field

from chaos_clients import Answer


@dataclass(frozen=True)
class Happened:
    """One event on the monotonic clock: its beginning, the kill, and when both paths answered.

    `restarts` is how often the supervisor started the server since the event before,
    `supervisor_says_s` its own time of the last one.
    """

    kind: str
    began: float
    since: float
    quiet: float
    restarts: int
    supervisor_says_s: float | None
    said: str


@dataclass
class Timeline:
    """Which versions may answer, and when: per version, spans on the monotonic clock."""

    spans: dict[int, list[tuple[float, float]]] = field(default_factory=dict)

    def may(self, version: int, since: float) -> None:
        """From then on, this version may answer too."""
        spans = self.spans.setdefault(version, [])
        if not spans or spans[-1][1] != math.inf:
            spans.append((since, math.inf))

    def only(self, version: int, since: float) -> None:
        """From then on, no other version may answer."""
        self.may(version, since)
        for other, spans in self.spans.items():
            if other != version and spans[-1][1] == math.inf:
                spans[-1] = (spans[-1][0], since)

    def allows(self, answer: Answer) -> bool:
        """Whether the version may have answered at some moment of the request."""
        spans = self.spans.get(answer.version or 0, [])
        return any(start <= answer.done and answer.asked <= end for start, end in spans)


@dataclass
class Run:
    """A run from `started` on; `wrong` says what must not have happened, `answers` are of all."""

    started: float
    timeline: Timeline
    happened: list[Happened] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    given_up: int = 0


def broken(run: Run) -> list[str]:
    """Everything that must not have happened."""
    found = list(run.wrong)
    for each in run.answers:
        if each.version is None and not each.retryable:
            found.append(f"not retryable: {each.text}")
        elif each.version == 0:
            found.append(f"of no version: {each.text}")
        elif each.version is not None and not run.timeline.allows(each):
            found.append(f"version {each.version} when it was not served: {each}")
    return found


def rows(run: Run) -> list[dict[str, object]]:
    """The events, with what the clients saw between the beginning of each and the quiet after."""
    made = []
    for each in run.happened:
        within = [a for a in run.answers if each.began <= a.done <= each.quiet]
        says_s = each.supervisor_says_s
        made.append(
            {
                "event": each.kind,
                "at_s": round(each.began - run.started, 1),
                "seconds": round(each.quiet - each.since, 2),
                "restarts": each.restarts,
                "supervisor_says_s": "" if says_s is None else round(says_s, 2),
                "answers": sum(a.version is not None for a in within),
                "failures": sum(a.version is None for a in within),
                "said": each.said,
            }
        )
    return made


def summary(run: Run) -> dict[str, object]:
    """The run in numbers: recovery by kind of event, answers, failures by class."""
    wrong = broken(run)
    seconds: dict[str, list[float]] = {}
    for each in run.happened:
        seconds.setdefault(each.kind, []).append(each.quiet - each.since)
    failures = collections.Counter(
        a.text.partition(":")[0] for a in run.answers if a.version is None
    )
    return {
        "events": len(run.happened),
        "seconds": round(run.happened[-1].quiet - run.started, 1),
        "answers": sum(a.version is not None for a in run.answers),
        "answers_by_version": dict(
            sorted(collections.Counter(a.version for a in run.answers if a.version).items())
        ),
        "wrong_or_not_retryable": len(wrong),
        "which": wrong[:20],
        "failures": dict(failures),
        "restarts_by_the_supervisor": sum(each.restarts for each in run.happened),
        "given_up": run.given_up,
        "until_both_paths_answer_s": {
            kind: {
                "events": len(each),
                "median": round(statistics.median(each), 2),
                "longest": round(max(each), 2),
            }
            for kind, each in sorted(seconds.items())
        },
    }
