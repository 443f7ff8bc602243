"""Time a deployed version again: its speed is measured once more, everything else is as proved.

    passport's command ─► weights ─► PyTorch ┐
                                             ├─► interleaved rounds ─► the passport's new times
    the version's own model file ────────────┘

Without the weights that the passport describes there is no PyTorch to compare with. Its recorded
times are not used: they are of another moment, and perhaps of another machine. Then the model is
timed alone, and no speed-up is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.latencies import LATENCY_SECONDS, REFERENCE, time_both
from resnet_convert.parity.reference import Reference, random_pixels
from resnet_serve import durable, host
from resnet_serve.architectures import with_head
from resnet_serve.comparison.recorded import to_input
from resnet_serve.errors import InputFileError, ResnetServeError, UsageError
from resnet_serve.parity import latency
from resnet_serve.parity.latency import Latency
from resnet_serve.passport import ConvertedPassport, LatencyFacts, RemeasuredFacts, TimingFacts
from resnet_serve.runtimes import open_on_cpu
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.weights import Weights


@dataclass(frozen=True)
class Remeasured:
    """The passport of a version with new times, and the rounds behind them by runtime."""

    passport: ConvertedPassport
    latencies: Mapping[str, Latency]


def remeasure(deployed: Deployed, load: Callable[[], Weights]) -> Remeasured:
    """Time a version again; nothing is written.

    `load` gives the weights that it was converted from. Raises `UsageError` for an ensemble and for
    a TensorRT model, and `InputFileError` for a damaged model file.
    """
    found = deployed.passport
    if not isinstance(found, ConvertedPassport) or found.engine is not None:
        raise UsageError(
            f"{deployed.name} version {deployed.version} is not timed by this command",
            remedy="It times converted models on CPUs: build-plan times an engine, "
            "`resnet-serve loadtest` what is served.",
        )
    path = deployed.path / found.model.file
    if not path.is_file() or durable.sha256(path) != found.model.sha256:
        raise InputFileError(
            "is not the file that its passport describes",
            where=path,
            remedy="Copy the version again, or convert it again.",
        )
    threads = host.cores()
    loaded, missing = _weights(found, load)
    with open_on_cpu(found.target, found.precision, path.read_bytes(), threads) as model:
        if loaded is None:
            kind, how = found.contract.input, found.contract.preprocessing
            batch = to_input(kind, random_pixels(how, 1), how)
            alone = latency.measure(
                {found.target: partial(model.run_all, batch)},
                batch_size=1,
                seconds=LATENCY_SECONDS,
            )
            times, ratio = alone, None
        else:
            network = with_head(loaded.network(), found.head)
            reference = Reference(network, loaded, found.contract.input, threads, found.head)
            both = time_both(reference, Candidate(model, found.target))
            times = {REFERENCE: both.reference, both.runtime: both.candidate}
            ratio = both.speedup
    facts = LatencyFacts(
        times={name: TimingFacts.timed(each) for name, each in times.items()},
        reference_on="CPU",
        share_of_integer_peak=None,
        speedup=ratio,
        remeasured=RemeasuredFacts(
            at=datetime.now(UTC).replace(microsecond=0),
            processor=host.describe().processor,
            without_reference=missing,
        ),
    )
    old = found.latency.speedup
    outdated = None if old is None else old.caution(found.precision, found.name)
    caution = None if ratio is None else ratio.caution(found.precision, found.name)
    again = latency.remeasuring(found.name)
    kept = [each for each in found.warnings if each != outdated and not each.endswith(again)]
    warnings = (*kept, *([caution] if caution else []))
    return Remeasured(replace(found, latency=facts, warnings=warnings), times)


def _weights(
    found: ConvertedPassport, load: Callable[[], Weights]
) -> tuple[Weights | None, str | None]:
    """The weights of the passport, or why they are not there."""
    try:
        loaded = load()
    except ResnetServeError as error:
        return None, f"the PyTorch weights are not there ({error.what})"
    if loaded.sha256 != found.weights.sha256:
        return None, "the PyTorch weights there are others (their SHA-256 differs)"
    return loaded, None
