"""The errors of a refusal: what was refused, and all that was found until then."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.layers import Layer
from resnet_serve.activation import Activation
from resnet_serve.datasets import Images
from resnet_serve.errors import ParityError
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import ParityFacts


class RefusedError(ParityError):
    """A refusal; a subclass adds what was found to `facts`."""

    def facts(self) -> dict[str, object]:
        """What was found, by name, for `--json`."""
        return {}

    def result(self) -> dict[str, object]:
        """What `--json` prints: what was refused, the remedy, and the facts."""
        refused = {"what": self.what, "where": self.where, "remedy": self.remedy}
        return {"refused": refused, **self.facts()}


@dataclass(frozen=True)
class Subject:
    """What was compared: the images, and the names and the activation of the outputs.

    `warnings` and `notes` are those of what was made until then.
    """

    images: Images
    names: tuple[str, ...]
    activation: Activation | None
    trained: bool
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class GateError(RefusedError):
    """The gate does not hold: its verdict, and the measurements that it judged.

    `next_command` is what to try next, None where nothing is left.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object,
        remedy: str | None,
        verdict: Verdict,
        measurements: Measurements,
        subject: Subject,
        next_command: str | None = None,
    ) -> None:
        self.verdict, self.measurements, self.subject = verdict, measurements, subject
        self.next_command = next_command
        super().__init__(what, where=where, remedy=remedy)

    def facts(self) -> dict[str, object]:
        """The gate, what it judged, and the command to try next."""
        return {
            "gate": self.verdict.to_json(),
            "parity": ParityFacts.measured(self.measurements).to_json(),
            "next": self.next_command,
        }


def gate_error(
    what: str,
    verdict: Verdict,
    found: Measurements,
    subject: Subject,
    *,
    where: object,
    next_command: str | None,
    otherwise: str = "--force it.",
    layer: Layer | None = None,
) -> GateError:
    """The error of a verdict: which checks, which image, which layer.

    `what` says what was not done, `layer` is the one with the smallest SQNR. `next_command` is the
    remedy; where there is none, it is `otherwise`.
    """
    tried = f"Try next: {next_command} (or --force it)"
    checks = "; ".join(f"{c.name} {c.found}, allowed {c.allowed}" for c in verdict.failures)
    changed = found.changed
    worst = changed[0] if changed else found.numerics[max(found.numerics)].worst
    inside = "" if layer is None else f"; worst layer {layer.name} (SQNR {layer.sqnr_db:.1f} dB)"
    return GateError(
        f"parity is not met and {what}: {checks}; worst image {subject.images.name_of(worst)}"
        f"{inside}",
        where=where,
        remedy=otherwise if next_command is None else tried,
        verdict=verdict,
        measurements=found,
        subject=subject,
        next_command=next_command,
    )
