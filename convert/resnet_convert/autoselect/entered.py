"""Entered: the entrants that are open, each compared with the reference before it is timed.

    entrant ─► its graph ─► its runtime, or an engine built on this GPU ─► parity

What misses parity, or does not compute in the precision that was requested, is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resnet_convert import precision
from resnet_convert.autoselect.entrants import Entrant, EntrantResult
from resnet_convert.autoselect.gpu import Gpu
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.evaluator import for_budgets
from resnet_convert.parity.opening import open_cpu_model, open_engine, open_on_cuda
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve.datasets import Images
from resnet_serve.errors import HostError, ResnetServeError
from resnet_serve.parity.verdict import Verdict
from resnet_serve.runtimes import RunnableModel, open_on_cpu
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider

if TYPE_CHECKING:
    import onnx_ir as ir

RECORDED_BYTES = 2**30  # of pixels: 7,000 images of 224 px


@dataclass
class Entered:
    """The graphs of the entrants, by `Entrant.graph`, and what opens and judges them."""

    request: Request
    folded: ir.Model
    reference: Reference
    calibration: Images | None
    validation: Images
    gpu: Gpu
    stack: ExitStack
    graphs: dict[str, Precise] = field(default_factory=dict)
    logs: dict[str, StageLog] = field(default_factory=dict)

    def enter_all(
        self, candidates: Sequence[Entrant], images: Images, log: StageLog
    ) -> tuple[dict[EntrantResult, Candidate], list[EntrantResult]]:
        """Open all entrants and compare them: those that keep parity, and those that do not."""
        recorded = self._record(images)
        running: dict[EntrantResult, Candidate] = {}
        dropped: list[EntrantResult] = []
        for number, entrant in enumerate(candidates):
            log.progress.advance(number, len(candidates))
            result, candidate = self.enter(entrant, recorded, images)
            if candidate is None:
                dropped.append(result)
            else:
                running[result] = candidate
        return running, dropped

    def enter(
        self, entrant: Entrant, recorded: ReferenceOutputs | None, images: Images
    ) -> tuple[EntrantResult, Candidate | None]:
        """Open an entrant and compare it; no candidate where it has a problem."""
        try:
            candidate, size_bytes = self._open(entrant)
            found = self._compare(candidate, recorded, images)
        except HostError as error:
            return EntrantResult(entrant, error.what), None
        except ResnetServeError as error:
            return EntrantResult(entrant, str(error)), None
        budget = self._request_for(entrant).gate_budget
        verdict = found.verdict(budget, trained=self.reference.weights.trained)
        if candidate.check is not None:
            verdict = Verdict((*verdict.checks, candidate.check))
        result = EntrantResult(
            entrant,
            agreement=found.agreement,
            found=found,
            verdict=verdict,
            size_bytes=size_bytes,
        )
        if verdict.passed:
            return result, candidate
        worst = verdict.failures[0]
        problem = f"no parity: {worst.name} {worst.found}, allowed {worst.allowed}"
        return replace(result, problem=problem), None

    def copies(self, entrant: Entrant, count: int) -> list[RunnableModel]:
        """So many instances of an entrant of a CPU, each on its threads."""
        data = self.graphs[entrant.graph].data
        return [
            self.stack.enter_context(
                open_on_cpu(entrant.target, entrant.precision, data, entrant.threads)
            )
            for _ in range(count)
        ]

    def _open(self, entrant: Entrant) -> tuple[Candidate, int]:
        """The file in its runtime, or its engine, built here; with the bytes of what was loaded."""
        made, asked = self._graph(entrant), self._request_for(entrant)
        largest = self.request.max_batch_size
        if not entrant.on_gpu:
            opened = open_cpu_model(
                entrant.target,
                entrant.precision,
                made.model,
                made.data,
                threads=entrant.threads,
                max_batch_size=largest,
            )
            return self.stack.enter_context(opened), len(made.data)
        if entrant.accelerator is not None:
            provider = CudaProvider(asked.workspace)
            opened = open_on_cuda(
                made.data, provider, threads=entrant.threads, max_batch_size=largest
            )
            return self.stack.enter_context(opened), len(made.data)
        build_host = self.gpu.build_host
        assert build_host is not None  # noqa: S101 - engines enter only where there is one
        build_host.guard(asked.build_options, asked.precision, asked.triton)
        engine = open_engine(
            build_host,
            made.model,
            made.data,
            asked.build_options,
            StageLog(Silent()),
            max_batch_size=largest,
            timing_cache=asked.timing_cache_directory,
        )
        candidate, built = self.stack.enter_context(engine)
        return candidate, len(built.engine.plan)

    def _compare(
        self, candidate: Candidate, recorded: ReferenceOutputs | None, images: Images
    ) -> Measurements:
        if recorded is None:
            return compare(self.reference, candidate, images, Silent())
        return compare(recorded, candidate, recorded, Silent())

    def _record(self, images: Images) -> ReferenceOutputs | None:
        """PyTorch's logits, computed once; None for features, and where memory is too small."""
        height, width = self.reference.preprocessing.crop
        size_bytes = len(images) * height * width * self.reference.preprocessing.channels
        if not self.reference.classifies or size_bytes > RECORDED_BYTES:
            return None
        return ReferenceOutputs.record(self.reference, images)

    def _request_for(self, entrant: Entrant) -> Request:
        return replace(
            self.request,
            target=entrant.target,
            accelerator=entrant.accelerator,
            precision=entrant.precision,
        )

    def _graph(self, entrant: Entrant) -> Precise:
        if entrant.graph not in self.graphs:
            log, request = StageLog(Silent()), self._request_for(entrant)
            evaluator = for_budgets(request, self.reference, self.validation)
            made = precision.bring(
                self.folded, request, self.reference, self.calibration, log, evaluator
            )
            precision.check_rules(made, request, log)
            self.graphs[entrant.graph] = made
            self.logs[entrant.graph] = log
        return self.graphs[entrant.graph]


@contextmanager
def entering(
    request: Request,
    folded: ir.Model,
    reference: Reference,
    calibration: Images | None,
    validation: Images,
    gpu: Gpu,
) -> Iterator[Entered]:
    """No entrant yet; those that enter are open until the end."""
    with ExitStack() as stack:
        yield Entered(request, folded, reference, calibration, validation, gpu, stack)
