"""Deploy a proved conversion: configuration, labels, model, passport and report, in one swap."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert.parity.latencies import REFERENCE
from resnet_convert.report import report
from resnet_convert.request.options import EPCONTEXT
from resnet_convert.tensorrt import epcontext
from resnet_serve import passport
from resnet_serve.comparison.recorded import FILE_NAME
from resnet_serve.passport import (
    CalibrationFacts,
    CheckpointFacts,
    ConvertedPassport,
    FoldFacts,
    GateFacts,
    LatencyFacts,
    OnnxFacts,
    ParityFacts,
    StageFacts,
    TensorContractFacts,
    TimingFacts,
    TraceFacts,
    WaitingFacts,
)
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider
from resnet_serve.triton import config, queue_bound, releases
from resnet_serve.triton.gpu_serving import Accelerator, CudaAccelerator, GpuServing
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import QueueBound
from resnet_serve.triton.repository import ModelFiles, Repository, examples, whole
from resnet_serve.triton.repository.versions import MODEL_FILE, PREPROCESSING_FILE, REPORT_FILE

if TYPE_CHECKING:
    from resnet_convert.conversion import Conversion


def deploy(
    conversion: Conversion, repository: Repository, *, serve: bool = True
) -> tuple[int, Path]:
    """Write one version of `<name>`, `<name>_preprocess` and `<name>_image`.

    It is the served one then, unless `serve` is False and another version is served.
    """
    document = stamp(conversion)
    written = {
        passport.FILE_NAME: document.to_bytes(),
        REPORT_FILE: report.render(conversion, created=document.created).encode(),
        **_engine_files(conversion),
    }
    classifier, *rest = models(conversion)
    version_files = {**classifier.version_files, **written}
    version = repository.deploy(
        [replace(classifier, version_files=version_files), *rest], serve=serve
    )
    return version, repository.path / conversion.name / str(version)


def models(conversion: Conversion) -> list[ModelFiles]:
    """What is deployed, without the passport and what is built from it: the classifier first."""
    name, input_kind = conversion.name, conversion.request.input
    loaded, serving = conversion.weights, conversion.serving
    classes = loaded.architecture.classes
    labels = {}
    if conversion.features is None:
        labels[LABELS_FILE] = config.labels_text(loaded.labels).encode()
    classifier = config.classifier(
        name,
        target=conversion.target,
        input_kind=input_kind,
        preprocessing=loaded.preprocessing,
        classes=classes,
        features=conversion.features,
        activation=conversion.activation,
        serving=serving,
        precision=conversion.request.precision,
        gpu=gpu_serving(conversion),
        queue=queue_bound_of(conversion),
    )
    if conversion.patch is not None:
        classifier = conversion.patch.merged(classifier)
    preprocess = config.preprocess(
        f"{name}_preprocess",
        input_kind=input_kind,
        preprocessing=loaded.preprocessing,
        serving=serving,
        cores=conversion.host.cores,
        queue=decoding_bound(conversion),
        decoded=queue_bound_of(conversion).decoded,
    )
    ensemble = config.image_ensemble(
        f"{name}_image",
        preprocess_name=f"{name}_preprocess",
        classifier_name=name,
        classes=classes,
        features=conversion.features,
        activation=conversion.activation,
        serving=serving,
    )
    recorded = conversion.proof.recorded
    proving = {} if recorded is None else {FILE_NAME: recorded.to_bytes()}
    if conversion.examples is not None:
        proving[examples.FILE_NAME] = conversion.examples.to_bytes()
    return [
        ModelFiles(
            name,
            config.to_text(classifier),
            labels,
            {MODEL_FILE: conversion.precise.data, **proving},
        ),
        ModelFiles(
            f"{name}_preprocess",
            config.to_text(preprocess),
            version_files={PREPROCESSING_FILE: loaded.preprocessing.to_json().encode()},
        ),
        ModelFiles(
            f"{name}_image",
            config.to_text(ensemble),
            labels,
            # Object stores drop empty directories, and Triton wants one per version.
            {"ensemble.txt": f"{name}_preprocess, then {name}\n".encode()},
        ),
    ]


def gpu_serving(conversion: Conversion) -> GpuServing | None:
    """How a GPU serves it; None for CPU targets."""
    request = conversion.request
    if not request.for_gpu:
        return None
    options = request.build_options
    accelerator: Accelerator | CudaAccelerator | None = None
    if request.for_cuda:
        accelerator = CudaAccelerator(CudaProvider(request.workspace))
    elif request.accelerator is not None:
        accelerator = Accelerator(
            request.precision,
            conversion.precise.sha256,
            workspace_mib=options.workspace_mib,
            level=options.level,
            release=releases.find(request.triton) if request.triton else releases.CURRENT,
        )
    return GpuServing(options.profiles, request.instances, accelerator)


def queue_bound_of(conversion: Conversion) -> QueueBound:
    """What waits for the classifier: by its measured latency, or as the request says."""
    request, serving = conversion.request, conversion.serving
    found, on_cpu = conversion.measurements.latencies, gpu_serving(conversion) is None
    bound = queue_bound.of_latency(
        None if found is None else found.candidate.median_ms,
        instances=serving.instances,
        batch_size=1 if found is not None and on_cpu else serving.max_batch_size,
    ).of(requests=request.max_queue, timeout_ms=request.queue_timeout)
    return bound.of_backend if on_cpu and not request.queue_timeout else bound


def decoding_bound(conversion: Conversion) -> QueueBound:
    """What waits to be decoded; `--max-queue` and `--queue-timeout` are for both."""
    bound, request = queue_bound_of(conversion), conversion.request
    if request.max_queue is None:
        bound = bound.of_decoding(conversion.host.cores)
    return bound if request.queue_timeout else bound.of_backend


def _engine_files(conversion: Conversion) -> dict[str, bytes]:
    """The plan, where it is built here."""
    files = {}
    if conversion.plan is not None:
        files[conversion.target.model_file] = conversion.plan
    engine = conversion.proof.engine
    if conversion.request.format == EPCONTEXT and engine is not None and engine.built:
        files[epcontext.FILE_NAME] = epcontext.wrap(
            engine.built.engine, conversion.precise.data, name=conversion.name
        )
    return files


def result(conversion: Conversion) -> dict[str, Any]:
    """What `--json` prints: the passport's facts, and the path of the version."""
    checked = conversion.reference_check
    return {
        **stamp(conversion).facts(),
        "version": conversion.version,
        "path": None if conversion.path is None else str(conversion.path),
        "reference": None if checked is None else checked.to_json(),
    }


def stamp(conversion: Conversion) -> ConvertedPassport:
    """The passport of a conversion."""
    request, loaded, found = conversion.request, conversion.weights, conversion.measurements
    folded, precise, engine = conversion.folded, conversion.precise, conversion.proof.engine
    return ConvertedPassport(
        name=conversion.name,
        architecture=loaded.architecture.name,
        module=request.module,
        parameters=loaded.architecture.parameters,
        head=request.head,
        outputs=conversion.outputs,
        classes=loaded.architecture.classes if request.classifies else None,
        precision=request.precision,
        target=conversion.target.name,
        command=request.command(),
        host=conversion.host,
        weights=CheckpointFacts(
            source=loaded.source,
            sha256=loaded.sha256,
            trained=loaded.trained,
            trusted_pickle=loaded.trusted_pickle,
            training=loaded.training,
            assumptions=loaded.assumptions,
        ),
        model=OnnxFacts(
            file=MODEL_FILE,
            sha256=conversion.precise.sha256,
            size_bytes=len(conversion.precise.data),
            opset=conversion.precise.opset,
            ir_version=conversion.precise.ir_version,
        ),
        engine=None if engine is None else engine.facts(),
        cuda=conversion.proof.cuda,
        contract=TensorContractFacts(
            input=request.input,
            preprocessing=loaded.preprocessing,
            activation=conversion.activation,
            max_batch_size=conversion.serving.max_batch_size,
            instances=conversion.serving.instances,
            threads=conversion.serving.threads,
        ),
        calibration=_calibration(conversion),
        trace=TraceFacts(numerics=folded.trace.numerics),
        fold=FoldFacts(
            folded=folded.fold.folded,
            total=folded.fold.total,
            kept=tuple(folded.fold.kept),
            max_weight_change=folded.fold.max_weight_change,
            numerics=folded.numerics,
        ),
        parity=ParityFacts.measured(
            found, tuple(conversion.proof.described(layer) for layer in conversion.proof.layers)
        ),
        latency=_latency(conversion),
        waiting=_waiting(conversion),
        config_patch=None if conversion.patch is None else conversion.patch.text,
        autoselect=None if conversion.autoselection is None else conversion.autoselection.to_json(),
        calibration_search=None
        if precise.calibration_search is None
        else tuple(row.to_json() for row in precise.calibration_search.rows),
        mixed_precision=None
        if precise.mixed_precision is None
        else precise.mixed_precision.to_json(),
        compiled_operators=found.compiled,
        gate=GateFacts.decided(conversion.verdict, request.gate_budget),
        warnings=conversion.warnings,
        notes=conversion.notes,
        files=whole.hashes(models(conversion)),
        stages=tuple(
            StageFacts(name=stage.name, seconds=round(stage.seconds, 3), summary=stage.summary)
            for stage in conversion.stages
        ),
    )


def _latency(conversion: Conversion) -> LatencyFacts:
    found = conversion.measurements.latencies
    return LatencyFacts(
        times={}
        if found is None
        else {
            REFERENCE: TimingFacts.timed(found.reference),
            found.runtime: TimingFacts.timed(found.candidate),
        },
        reference_on="CPU" if found is None else found.reference_on,
        share_of_integer_peak=conversion.proof.peak_share,
        speedup=None if found is None else found.speedup,
    )


def _waiting(conversion: Conversion) -> WaitingFacts | None:
    found = conversion.proof.waiting
    if found is None:
        return None
    return WaitingFacts(one_per_core_below=found.one_per_core_below, **asdict(found))


def _calibration(conversion: Conversion) -> CalibrationFacts | None:
    images, calibration = conversion.calibration_set, conversion.precise.calibration
    if calibration is None or images is None:
        return None
    return CalibrationFacts(
        images=calibration.images,
        source=images.name,
        list_sha256=images.digest(),
        method=calibration.method,
    )
