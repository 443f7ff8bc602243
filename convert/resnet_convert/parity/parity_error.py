"""The errors of a refusal: what was refused, and all that was found until then."""

from __future__ import annotations

from collections.abc import Callable

from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.layers import Layer
from resnet_serve.errors import ParityError
from resnet_serve.parity.verdict import Verdict


class RefusedError(ParityError):
    """A refusal; a subclass adds what was found to `facts`."""

    def facts(self) -> dict[str, object]:
        """What was found, by name, for `--json`."""
        return {}

    def result(self) -> dict[str, object]:
        """What `--json` prints: what was refused, the remedy, and the facts."""
        refused = {"what": self.what, "where": self.where, "remedy": self.remedy}
        return {"refused": refused, **self.facts()}


class GateError(RefusedError):
    """The gate does not hold: its verdict, and the measurements that it judged."""

    def __init__(
        self,
        what: str,
        *,
        where: object,
        remedy: str | None,
        verdict: Verdict,
        measurements: Measurements,
    ) -> None:
        self.verdict, self.measurements = verdict, measurements
        super().__init__(what, where=where, remedy=remedy)

    def facts(self) -> dict[str, object]:
        """The gate, and the decisions where there are some."""
        decisions = self.measurements.decisions
        return {
            "gate": self.verdict.to_json(),
            "decisions": None if decisions is None else decisions.to_json(),
        }


def gate_error(
    what: str,
    verdict: Verdict,
    found: Measurements,
    name_of: Callable[[int], str],
    *,
    where: object,
    remedy: str | None,
    layer: Layer | None = None,
) -> GateError:
    """The error of a verdict: which checks, which image, which layer.

    `what` says what was not done, `name_of` gives the name of an image, `layer` is the one with
    the smallest SQNR.
    """
    checks = "; ".join(f"{c.name} {c.found}, allowed {c.allowed}" for c in verdict.failures)
    changed = found.changed
    worst = changed[0] if changed else found.numerics[max(found.numerics)].worst
    inside = "" if layer is None else f"; worst layer {layer.name} (SQNR {layer.sqnr_db:.1f} dB)"
    return GateError(
        f"parity is not met and {what}: {checks}; worst image {name_of(worst)}{inside}",
        where=where,
        remedy=remedy,
        verdict=verdict,
        measurements=found,
    )
