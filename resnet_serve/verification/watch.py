"""Watch: the verification of an endpoint again and again, each round as one line and as metrics.

    round ─► files, configuration, pixels, outputs, labels ─► ok | missed | failed

`missed` is a server that answers, but not as was proved; `failed` one that could not be compared.
Neither ends the watch. The reference's outputs are those of the beginning, until another version is
served.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from resnet_serve.errors import HostError, ParityError, ResnetServeError
from resnet_serve.prometheus import Family, Labels, gauge
from resnet_serve.triton.http_client import Client
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import files, served
from resnet_serve.verification.files import LEFT_OUT
from resnet_serve.verification.served import Expected, Measured

Outcome: TypeAlias = Literal["ok", "missed", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "missed", "failed")
_PREFIX = "resnet_serve_verify"


@dataclass(frozen=True)
class Round:
    """One round: when it ended (Unix time), what came of it, and how close the outputs were.

    `measured` is by model. `said` is what differs, what was not compared, or why nothing was.
    """

    at: float
    outcome: Outcome
    model: str
    version: int | None = None
    measured: Mapping[str, Measured] = field(default_factory=dict)
    said: str = ""

    @property
    def agreement(self) -> float | None:
        """The lowest share of decisions that agree, of any model; None if nothing decides."""
        found = (each.agreement for each in self.measured.values())
        return min((each for each in found if each is not None), default=None)

    @property
    def cosine(self) -> float | None:
        """The smallest cosine of any image; None where no outputs were compared."""
        return min((each.numerics.cosine for each in self.measured.values()), default=None)

    @property
    def max_abs(self) -> float | None:
        """The largest distance of any output; None where no outputs were compared."""
        return max((each.numerics.max_abs for each in self.measured.values()), default=None)

    @property
    def flipped(self) -> tuple[str, ...]:
        """The images that any model gives another class."""
        every = (name for each in self.measured.values() for name in each.flipped)
        return tuple(dict.fromkeys(every))

    def __str__(self) -> str:
        version = "" if self.version is None else f" {self.version}"
        words = [f"{_time(self.at)}  {self.outcome:<6}  {self.model}{version}"]
        if self.agreement is not None:
            words.append(f"agreement {100 * self.agreement:.2f} %")
        if self.cosine is not None:
            words.append(f"cosine {self.cosine:.5f}, max |Δ| {self.max_abs:.3g}")
        if self.agreement is not None:
            flips = f"{len(self.flipped)} flipped"
            words.append(f"{flips}: {served.named(self.flipped)}" if self.flipped else flips)
        return "  ".join([*words, *filter(None, [self.said])])

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints, on one line."""
        return {
            "time": _time(self.at),
            "outcome": self.outcome,
            "model": self.model,
            "version": self.version,
            "agreement": self.agreement,
            "cosine": self.cosine,
            "max_abs": self.max_abs if math.isfinite(self.max_abs or 0.0) else None,
            "flipped": list(self.flipped),
            "said": self.said,
        }


@dataclass(frozen=True)
class Tally:
    """All rounds so far; `last` is the last one, `compared` the last that compared outputs."""

    ok: int = 0
    missed: int = 0
    failed: int = 0
    last: Round | None = None
    compared: Round | None = None
    succeeded_at: float | None = None
    lowest: float | None = None

    def plus(self, done: Round) -> Tally:
        """With one more round."""
        counts = {name: getattr(self, name) + (name == done.outcome) for name in OUTCOMES}
        agreements = [each for each in (self.lowest, done.agreement) if each is not None]
        return replace(
            self,
            **counts,
            last=done,
            compared=done if done.measured else self.compared,
            succeeded_at=done.at if done.outcome == "ok" else self.succeeded_at,
            lowest=min(agreements, default=None),
        )

    def __str__(self) -> str:
        rounds = self.ok + self.missed + self.failed
        said = f"{rounds} rounds: {self.ok} ok, {self.missed} missed, {self.failed} failed"
        return (
            said if self.lowest is None else f"{said}; lowest agreement {100 * self.lowest:.2f} %"
        )

    def require(self) -> None:
        """Raise `ParityError` if a round missed, else `HostError` if one failed."""
        if self.missed:
            raise ParityError(f"{self.missed} rounds were not as it was proved")
        if self.failed:
            raise HostError(f"{self.failed} rounds could not compare anything")

    def families(self) -> Iterator[Family]:
        """The metrics; the distances are those of the last round that compared outputs."""
        yield Family(
            f"{_PREFIX}_rounds_total",
            "counter",
            "Rounds of the verification.",
            {(("outcome", name),): getattr(self, name) for name in OUTCOMES},
        )
        if self.last is not None:
            ok = self.last.outcome == "ok"
            yield gauge(f"{_PREFIX}_ok", "Whether the last round found all as it was proved.", ok)
            what = "When the last round ended."
            yield gauge(f"{_PREFIX}_last_round_timestamp_seconds", what, self.last.at)
        if self.succeeded_at is not None:
            what = "When the last round ended that found all as it was proved."
            yield gauge(f"{_PREFIX}_last_success_timestamp_seconds", what, self.succeeded_at)
        if self.compared is not None:
            yield from _distances(self.compared)


def _distances(done: Round) -> Iterator[Family]:
    version = ("version", str(done.version))
    of = {model: (("model", model), version) for model in done.measured}
    decided = {
        model: (each.agreement, len(each.flipped))
        for model, each in done.measured.items()
        if each.agreement is not None
    }
    for name, what, values in (
        (
            "agreement",
            "Share of decisions that agree with the reference's.",
            {model: agreement for model, (agreement, _) in decided.items()},
        ),
        (
            "flipped_images",
            "Images whose decision is not the reference's.",
            {model: float(flipped) for model, (_, flipped) in decided.items()},
        ),
        (
            "cosine",
            "The smallest cosine of an image's outputs with the reference's.",
            {model: each.numerics.cosine for model, each in done.measured.items()},
        ),
        (
            "distance",
            "The largest distance of an output from the reference's.",
            {model: each.numerics.max_abs for model, each in done.measured.items()},
        ),
    ):
        labelled: dict[Labels, float] = {of[model]: value for model, value in values.items()}
        yield Family(f"{_PREFIX}_{name}", "gauge", what, labelled)


class Watch:
    """Rounds of one model. `find` is its served version now, `connect` makes a client each round.

    `reference` gives the images and outputs of a version; it is called here for the present one,
    and again only for another. What it and `find` raise here ends the watch before it begins.
    """

    def __init__(
        self,
        find: Callable[[], Deployed],
        connect: Callable[[], Client],
        reference: Callable[[Deployed], Examples],
    ) -> None:
        self._find = find
        self._connect = connect
        self._reference = reference
        self._expected = self._of(find())
        self.tally = Tally()

    def round(self) -> Round:
        """Compare once; never raises for what happens to the server or its repository."""
        name = self._expected.deployed.name
        try:
            deployed = self._find()
            if str(deployed) != str(self._expected.deployed):
                self._expected = self._of(deployed)
            done = self._compared(deployed)
        except ResnetServeError as error:
            done = Round(time.time(), "failed", name, said=str(error))
        except Exception as error:  # noqa: BLE001 - the next round may be better
            done = Round(time.time(), "failed", name, said=f"{type(error).__name__}: {error}")
        self.tally = self.tally.plus(done)
        return done

    def _of(self, deployed: Deployed) -> Expected:
        return Expected(deployed, self._reference(deployed))

    def _compared(self, deployed: Deployed) -> Round:
        with contextlib.closing(self._connect()) as client:
            found = self._expected.compare(client)
        rows = [*files.all_rows(deployed), *found.rows]
        wrong = [row for row in rows if row.verdict in ("damaged", "differs")]
        left_out = [row for row in rows if row.verdict == "unknown" or row.subject == LEFT_OUT]
        said = wrong or left_out
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        return Round(
            time.time(),
            "missed" if wrong else "ok",
            deployed.name,
            deployed.version,
            found.measured,
            f"{said[0].subject}: {said[0].found}{more}" if said else "",
        )


def _time(at: float) -> str:
    """The time of day in UTC, to the second, as ISO 8601 has it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
