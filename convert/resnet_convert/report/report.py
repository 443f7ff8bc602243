"""Report: one conversion as one self-contained HTML page.

The page is the template `report.html.j2`, which has the texts, filled with the rows of this module
and the figures of `plots.py`. Every text of the conversion (labels, paths) is escaped; only the
figures are inserted as they are.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.head import HEADS
from resnet_convert.parity.latencies import REFERENCE
from resnet_convert.parity.opening import PRECISION_CHECK
from resnet_convert.report import label_rows, page, plots
from resnet_convert.report.decided import changed, decided
from resnet_convert.report.page import count, percent, size
from resnet_convert.report.speed import RUNTIME_NAMES, figure, named, speed
from resnet_serve import passport
from resnet_serve.parity.latency import Latency
from resnet_serve.parity.numerics import EXACT_DB, Numerics
from resnet_serve.passport import EngineState

if TYPE_CHECKING:
    from resnet_convert.conversion import Conversion
    from resnet_convert.parity.compare import Measurements
    from resnet_convert.roofline import Roofline
    from resnet_serve.datasets import Images

FP32_BYTES = 4
SLOWEST_SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One row of a table: its name, value and note, and a bar from `start`, both in percent."""

    name: str
    value: str
    note: str = ""
    start: float = 0.0
    share: float = 0.0
    accent: bool = False


def render(
    conversion: Conversion, *, created: datetime | None = None, next_command: str | None = None
) -> str:
    """The page of a conversion, as HTML; `created` is the date on it, now when None.

    `next_command` is what to try after a refusal.
    """
    return page.render(
        "report.html.j2",
        **_decided(conversion),
        next_command=next_command,
        conversion=conversion,
        found=conversion.measurements,
        decisions=conversion.measurements.decisions,
        label_decisions=conversion.measurements.label_decisions,
        label_rows=list(label_rows.rows(conversion.measurements, conversion.weights.activation)),
        shown_labels=label_rows.LABELS_SHOWN,
        outputs=HEADS[conversion.request.head],
        states=EngineState,
        created=(created or datetime.now(UTC)).astimezone(UTC),
        versions={"Python": conversion.host.python, **passport.versions()},
        command=list(_command(conversion)),
        verdict=_verdict(conversion),
        speed=_speed(conversion),
        worst_cosine=min(n.cosine for n in conversion.measurements.numerics.values()),
        images=_images(conversion),
        checkpoint_bytes=_checkpoint_bytes(conversion),
        served=conversion.served_file,
        timeline=list(_timeline(conversion)),
        checks=[(check, *check.outcome) for check in conversion.verdict.checks],
        numerics=list(_numerics(conversion)),
        latencies=_latencies(conversion),
        sizes=list(_sizes(conversion)),
        operators=list(_operators(conversion)),
        compiled_precision=_compiled_precision(conversion),
        runtime=RUNTIME_NAMES.get(conversion.measurements.runtime, ""),
        roofline=conversion.proof.roofline,
        slowest=_slowest(conversion.proof.roofline),
        changed=list(changed(*_compared(conversion), conversion.weights.activation)),
        exact_db=EXACT_DB,
        not_finite=_not_finite(conversion),
        figures=_figures(conversion),
    )


def _decided(conversion: Conversion) -> dict[str, object]:
    """Images and classes; those of an untrained network mean nothing."""
    several = conversion.weights.activation.decides_labels
    if several or not conversion.weights.trained:
        return {"worst_pictures": []}
    return decided(*_compared(conversion))


def _compared(conversion: Conversion) -> tuple[Measurements, Images, tuple[str, ...]]:
    """What was measured, on which images, and the names of the classes."""
    return conversion.measurements, conversion.validation_set, conversion.weights.labels


def _verdict(conversion: Conversion) -> str:
    """The conversion in one sentence."""
    found = conversion.measurements
    verb = "passed parity"
    if conversion.verdict.constant is not None:
        verb = f"passed parity, which shows nothing because {conversion.verdict.constant}"
    if not conversion.verdict.passed:
        verb = f"did not pass parity and was {'forced' if conversion.overridden else 'refused'}"
    cosine = min(n.cosine for n in found.numerics.values())
    agreement = (
        f"{percent(found.agreement)} of the decisions on {found.count:,} images agree"
        if conversion.weights.trained and found.agreement is not None
        else f"{HEADS[conversion.request.head]} agree to a cosine of {cosine:.5f}"
    )
    return f"{conversion.name} {conversion.request.precision.upper()} {verb}: {agreement}"


def _speed(conversion: Conversion) -> str:
    """How fast it is, in a clause."""
    ratio = conversion.measurements.speedup
    if ratio is None:
        if conversion.proof.cuda is not None:
            return f"CUDA provider {conversion.proof.cuda.state}"
        return f"TensorRT {conversion.engine_state or 'not measured'}"
    return speed(ratio)


def _command(conversion: Conversion) -> Iterator[str]:
    """The command in pieces of one option each, between which a line may break."""
    piece: list[str] = []
    for word in shlex.split(conversion.request.command()):
        if word.startswith("--") and piece:
            yield shlex.join(piece)
            piece = []
        piece.append(word)
    yield shlex.join(piece)


def _images(conversion: Conversion) -> str:
    """The validation images, with their number."""
    found = conversion.measurements
    images = f"{found.count:,}"
    if found.images.startswith(f"{images} "):
        return found.images
    return f"{images} images: {found.images}"


def _timeline(conversion: Conversion) -> Iterator[Row]:
    """Stages one after the other on one time axis."""
    total = sum(stage.seconds for stage in conversion.stages) or 1.0
    gone = 0.0
    for stage in conversion.stages:
        text = f"{stage.seconds:.1f} s" if stage.seconds >= 1 else f"{1000 * stage.seconds:.0f} ms"
        start, share = 100 * gone / total, 100 * stage.seconds / total
        yield Row(stage.name, text, stage.summary, start, share, accent=True)
        gone += stage.seconds


def _numerics(conversion: Conversion) -> Iterator[tuple[str, Numerics, str]]:
    """The graph, its distance from PyTorch, and the worst image by name."""
    for batch_size, numerics in conversion.folded.trace.numerics.items():
        yield f"traced FP32, batch {batch_size}", numerics, "random noise"
    for batch_size, numerics in conversion.folded.numerics.items():
        yield f"folded FP32, batch {batch_size}", numerics, "random noise"
    precision = conversion.request.precision.upper()
    for batch_size, numerics in conversion.measurements.numerics.items():
        name = _image_name(conversion, numerics.worst)
        yield f"converted {precision}, batch {batch_size}", numerics, name


def _image_name(conversion: Conversion, index: int) -> str:
    """The image's name without the folder that the whole page is about."""
    images = conversion.validation_set
    return images.name_of(index).removeprefix(f"{images.name}/")


def _latencies(conversion: Conversion) -> dict[str, Latency]:
    found = conversion.measurements.latencies
    if found is None:
        return {}
    return named({REFERENCE: found.reference, found.runtime: found.candidate})


def _sizes(conversion: Conversion) -> Iterator[Row]:
    file, after = conversion.served_file
    before = _checkpoint_bytes(conversion)
    largest = max(before, after)
    share = 100 * before / largest
    yield Row("FP32 checkpoint", size(before), "parameters × 4 bytes", share=share)
    name = f"{file}, {conversion.request.precision.upper()}"
    note, share = f"{100 * after / before:.0f} % of it", 100 * after / largest
    yield Row(name, size(after), note, share=share, accent=True)


def _checkpoint_bytes(conversion: Conversion) -> int:
    return FP32_BYTES * conversion.weights.architecture.parameters


def _operators(conversion: Conversion) -> Iterator[Row]:
    compiled = conversion.measurements.compiled
    most = max(compiled.values(), default=1)
    for name, nodes in sorted(compiled.items(), key=lambda item: (-item[1], item[0])):
        yield Row(name, f"{nodes:,}", share=100 * nodes / most, accent="Conv" in name)


def _compiled_precision(conversion: Conversion) -> str:
    """`53 of 53 convolutions INT8`, or how many there are where their precision is not checked."""
    for check in conversion.verdict.checks:
        if check.name == PRECISION_CHECK:
            return f"{check.found}."
    total = sum(n for name, n in conversion.measurements.compiled.items() if "Conv" in name)
    return f"{count(total, 'convolution')}."


def _slowest(found: Roofline | None) -> str:
    """The layers that cost the most time, with what they reach of the peak, in a sentence."""
    if found is None:
        return ""
    longest = sorted(found.layers, key=lambda name: -found.layers[name].ms)[:SLOWEST_SHOWN]
    named = (_reached(name, found) for name in longest)
    rest = _whole_percent(found.other_ms / found.total_ms)
    return (
        f"The layers that take the most time are {', '.join(named)}; what is no convolution or "
        f"linear layer takes {rest}."
    )


def _reached(name: str, found: Roofline) -> str:
    share, speed = _whole_percent(found.share_of_time(name)), found.layers[name]
    of_peak = "" if speed.of_peak is None else f", at {_whole_percent(speed.of_peak)} of the peak"
    return f"{name} ({share}{of_peak})"


def _whole_percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def _not_finite(conversion: Conversion) -> int:
    """Converted logits that are NaN or infinite."""
    logits = conversion.measurements.logits
    return 0 if logits is None else int((~np.isfinite(logits.converted)).sum())


def _figures(conversion: Conversion) -> dict[str, str]:
    found, proof = conversion.measurements, conversion.proof
    logits = found.logits
    figures = {
        "logits": plots.logit_scatter(logits.reference, logits.converted) if logits else "",
        "errors": plots.error_histogram(logits.reference, logits.converted) if logits else "",
        "responses": plots.layer_response(proof.layers),
        "sqnr": plots.layer_sqnr(proof.layers),
        "latencies": figure(_latencies(conversion)) if found.latencies else "",
    }
    search = conversion.precise.mixed_precision
    if search is not None and search.tried:
        figures["mixed_precision"] = plots.mixed_precision(search)
    return figures
