"""The refusal of a conversion: the error that carries it whole, and what to try next."""

from __future__ import annotations

from resnet_convert.conversion import Conversion
from resnet_convert.parity.parity_error import GateError, Subject, gate_error
from resnet_convert.refusals.next_request import next_request


class ConversionRefusedError(GateError):
    """The gate refused a conversion: `conversion` has all that was made and found."""

    def __init__(self, error: GateError, conversion: Conversion) -> None:
        self.conversion = conversion
        super().__init__(
            error.what,
            where=error.where,
            remedy=error.remedy,
            verdict=error.verdict,
            measurements=error.measurements,
            subject=error.subject,
            next_command=error.next_command,
        )

    def facts(self) -> dict[str, object]:
        """The command to try next; `deployment.result` has what was found of the conversion."""
        return {"next": self.next_command}


def refused(conversion: Conversion) -> ConversionRefusedError:
    """The error of a conversion whose gate does not hold."""
    following = next_request(conversion.request, conversion.verdict)
    command = None if following is None else following.command()
    weights = conversion.weights
    error = gate_error(
        "nothing was deployed",
        conversion.verdict,
        conversion.measurements,
        Subject(
            conversion.validation_set,
            weights.labels,
            conversion.activation,
            weights.trained,
            conversion.warnings,
            conversion.notes,
        ),
        where=f"{conversion.name} {conversion.request.precision}",
        next_command=command,
        layer=conversion.proof.worst_layer,
    )
    return ConversionRefusedError(error, conversion)
