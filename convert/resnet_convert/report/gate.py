"""Gate: the checks of a composed model or of a plan, and what was compared, as one HTML page.

A conversion has a report of its own (`report`); what is made of one has this. The template is
`gate.html.j2`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.parity_error import Subject
from resnet_convert.report import label_rows, page
from resnet_convert.report.decided import changed, decided
from resnet_serve import host, passport
from resnet_serve.activation.contract import to_logits
from resnet_serve.parity.verdict import Verdict
from resnet_serve.triton.composed_config import PROBABILITIES


def render(
    name: str,
    verdict: Verdict,
    found: Measurements,
    subject: Subject,
    *,
    refused: str | None = None,
    next_command: str | None = None,
    created: datetime | None = None,
) -> str:
    """The page, as HTML; `refused` is the error of what was not made, None of what was."""
    several = subject.activation is not None and subject.activation.decides_labels
    shown: dict[str, object] = {"worst_pictures": []}
    if subject.trained and not several:
        shown = decided(found, subject.images, subject.names)
    machine = host.describe()
    return page.render(
        "gate.html.j2",
        **shown,
        title=name,
        verdict=verdict,
        checks=[(check, *check.outcome) for check in verdict.checks],
        found=found,
        subject=subject,
        decisions=found.decisions,
        label_decisions=found.label_decisions,
        label_rows=list(_label_rows(found, subject)),
        changed=list(_changed(found, subject)),
        refused=refused,
        next_command=next_command,
        host=machine,
        created=(created or datetime.now(UTC)).astimezone(UTC),
        versions={"Python": machine.python, **passport.versions()},
    )


def _label_rows(found: Measurements, subject: Subject) -> Iterator[label_rows.LabelRow]:
    if subject.activation is not None:
        yield from label_rows.rows(found, subject.activation)


def _changed(found: Measurements, subject: Subject) -> Iterator[tuple[int, str, str, str, str]]:
    """The images decided otherwise; averaged probabilities of labels are read as logits."""
    if subject.activation is None or not subject.trained:
        return
    logits = found.logits
    averaged = found.output_kind == PROBABILITIES and subject.activation.decides_labels
    if logits is not None and averaged:
        read = replace(
            logits,
            reference=to_logits(logits.reference),  # type: ignore[arg-type]
            converted=to_logits(logits.converted),  # type: ignore[arg-type]
        )
        found = replace(found, logits=read)
    yield from changed(found, subject.images, subject.names, subject.activation)
