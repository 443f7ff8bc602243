"""Deploy a proved conversion: configuration, labels, model, passport and report, in one swap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert.conversion import MODEL_FILE
from resnet_convert.parity import reference_outputs
from resnet_convert.report import report
from resnet_serve import passport
from resnet_serve.parity import numerics
from resnet_serve.triton import config, releases
from resnet_serve.triton.gpu_serving import Accelerator, GpuServing
from resnet_serve.triton.repository import ModelFiles, Repository

if TYPE_CHECKING:
    from resnet_convert.conversion import Conversion

REPORT_FILE = "report.html"
PREPROCESSING_FILE = "preprocessing.json"


def deploy(conversion: Conversion, model: bytes, repository: Repository) -> tuple[int, Path]:
    """Write one version of `<name>`, `<name>_preprocess` and `<name>_image`."""
    name = conversion.name
    loaded, serving = conversion.weights, conversion.serving
    classes = loaded.architecture.classes
    input_kind = conversion.request.input
    labels = {}
    if conversion.features is None:
        labels[config.LABELS_FILE] = config.labels_text(loaded.labels).encode()
    document = passport.create(**facts(conversion))
    classifier = config.classifier(
        name,
        target=conversion.target,
        input_kind=input_kind,
        preprocessing=loaded.preprocessing,
        classes=classes,
        features=conversion.features,
        serving=serving,
        precision=conversion.request.precision,
        gpu=gpu_serving(conversion),
    )
    preprocess = config.preprocess(
        f"{name}_preprocess",
        input_kind=input_kind,
        preprocessing=loaded.preprocessing,
        serving=serving,
        cores=conversion.host.cores,
    )
    ensemble = config.image_ensemble(
        f"{name}_image",
        preprocess_name=f"{name}_preprocess",
        classifier_name=name,
        classes=classes,
        features=conversion.features,
        serving=serving,
    )
    version = repository.deploy(
        [
            ModelFiles(
                name,
                config.to_text(classifier),
                labels,
                {
                    MODEL_FILE: model,
                    passport.FILE_NAME: document.to_json().encode(),
                    REPORT_FILE: report.render(conversion, created=document.created).encode(),
                    **_of_the_engine(conversion),
                },
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
    )
    return version, repository.path / name / str(version)


def gpu_serving(conversion: Conversion) -> GpuServing | None:
    """How a GPU serves it; None for CPU targets."""
    request = conversion.request
    if not request.for_tensorrt:
        return None
    options = request.build_options
    accelerator = None
    if request.accelerator is not None:
        accelerator = Accelerator(
            request.precision,
            conversion.model_sha256,
            workspace_mib=options.workspace_mib,
            level=options.level,
            release=releases.find(request.triton) if request.triton else releases.CURRENT,
        )
    return GpuServing(options.profiles, request.instances, accelerator)


def _of_the_engine(conversion: Conversion) -> dict[str, bytes]:
    """The plan, and what proves one that is built elsewhere."""
    files = {}
    if conversion.target.name == "tensorrt":
        proof = reference_outputs.collect(
            conversion.validation_set, conversion.weights.preprocessing, conversion.measurements
        )
        files[reference_outputs.FILE_NAME] = proof.to_bytes()
    if conversion.plan is not None:
        files[conversion.target.model_file] = conversion.plan
    return files


def result(conversion: Conversion) -> dict[str, Any]:
    """What `--json` prints: the passport's facts, and where the version lies."""
    return {
        **passport.json_values(facts(conversion)),
        "version": conversion.version,
        "path": None if conversion.path is None else str(conversion.path),
    }


def facts(conversion: Conversion) -> Mapping[str, Any]:
    """Everything the passport and `--json` say of a conversion."""
    request, loaded, found = conversion.request, conversion.weights, conversion.measurements
    return {
        "name": conversion.name,
        "architecture": loaded.architecture.name,
        "module": request.module,
        "parameters": loaded.architecture.parameters,
        "head": request.head,
        "outputs": conversion.outputs,
        "classes": loaded.architecture.classes if request.classifies else None,
        "precision": request.precision,
        "target": conversion.target.name,
        "command": request.command(),
        "host": conversion.host.to_json(),
        "weights": {
            "source": loaded.source,
            "sha256": loaded.sha256,
            "trained": loaded.trained,
            "trusted_pickle": loaded.trusted_pickle,
            "training": dict(loaded.training),
        },
        "model": {
            "file": MODEL_FILE,
            "sha256": conversion.model_sha256,
            "size_bytes": conversion.model_bytes,
            "opset": conversion.opset,
            "ir_version": conversion.ir_version,
        },
        "engine": None if conversion.engine is None else conversion.engine.to_json(),
        "contract": {
            "input": request.input,
            "preprocessing": loaded.preprocessing.to_json(),
            "max_batch_size": conversion.serving.max_batch_size,
            "instances": conversion.serving.instances,
            "threads": conversion.serving.threads,
        },
        "calibration": _calibration(conversion),
        "trace": {"numerics": numerics.by_batch(conversion.trace.numerics)},
        "fold": {
            "folded": conversion.fold.folded,
            "total": conversion.fold.total,
            "kept": list(conversion.fold.kept),
            "max_weight_change": conversion.fold.max_weight_change,
            "numerics": numerics.by_batch(conversion.fold_numerics),
        },
        "parity": {
            "runtime": found.runtime,
            "images": found.images,
            "images_sha256": found.images_sha256,
            "numerics": numerics.by_batch(found.numerics),
            "decisions": found.decisions and found.decisions.to_json(),
            "layers": [layer.to_json() for layer in conversion.layers],
        },
        "latency": {
            **{name: times.to_json() for name, times in found.latencies.items()},
            "reference_on": found.reference_on,
            "share_of_integer_peak": conversion.peak_share,
            "speedup": None if found.speedup is None else found.speedup.to_json(),
        },
        "autoselection": None
        if conversion.autoselection is None
        else conversion.autoselection.to_json(),
        "calibration_search": [row.to_json() for row in conversion.calibration_search.rows]
        if conversion.calibration_search
        else None,
        "mixed_precision": None
        if conversion.mixed_precision is None
        else conversion.mixed_precision.to_json(),
        "compiled_operators": found.compiled,
        "gate": {**conversion.verdict.to_json(), "overridden": conversion.overridden},
        "warnings": list(conversion.warnings),
        "stages": [
            {"name": stage.name, "seconds": round(stage.seconds, 3), "summary": stage.summary}
            for stage in conversion.stages
        ],
    }


def _calibration(conversion: Conversion) -> dict[str, Any] | None:
    images = conversion.calibration_set
    if conversion.calibration is None or images is None:
        return None
    return {
        "images": conversion.calibration.images,
        "source": images.name,
        "list_sha256": images.digest(),
        "method": conversion.calibration.method,
    }
