"""A version on KServe: a ServingRuntime of NVIDIA's container, and an InferenceService with it.

KServe copies the repository to /mnt/models and starts an unmodified Triton on it, which is why the
models that take encoded images are not in it: clients send pixels. The objects have the fields of
KServe's custom resources (serving.kserve.io). Its own Python package cannot be installed beside
this one's other dependencies, so the few that are used are typed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from resnet_serve.errors import UsageError
from resnet_serve.manifests import kubernetes
from resnet_serve.manifests.kubernetes import k8s
from resnet_serve.manifests.workload import LONGEST_LABEL, Workload
from resnet_serve.triton.supervision.orders import METRICS

_HTTP, _GRPC, _METRICS = 8080, 9000, 8002
_FORMATS = {"tensorrt": "tensorrt", "onnxruntime": "onnx"}  # KServe's names of what Triton loads
_ADDRESS = re.compile(r"[a-z0-9+]+://[^\s/]")
_LONGEST_NAME = LONGEST_LABEL - len("isvc.-predictor")  # KServe's label of its pods


@dataclass(frozen=True)
class ModelFormat:
    """What a model is, and what a runtime serves."""

    name: str
    auto_select: bool | None = None


@dataclass(frozen=True)
class ServingRuntimeSpec:
    """A container, and what it serves by which protocols."""

    supported_model_formats: tuple[ModelFormat, ...]
    protocol_versions: tuple[str, ...]
    containers: tuple[Any, ...]
    annotations: dict[str, str]


@dataclass(frozen=True)
class ServingRuntime:
    """`kind: ServingRuntime`."""

    metadata: Any
    spec: ServingRuntimeSpec
    api_version: str = "serving.kserve.io/v1alpha1"
    kind: str = "ServingRuntime"


@dataclass(frozen=True)
class Model:
    """The model of a predictor; `storage_uri` is the directory of its Triton repository."""

    model_format: ModelFormat
    protocol_version: str
    runtime: str
    storage_uri: str
    resources: Any


@dataclass(frozen=True)
class Predictor:
    """How many pods, with which labels, and the share of requests of the newest revision."""

    model: Model
    min_replicas: int
    max_replicas: int
    labels: dict[str, str]
    canary_traffic_percent: int | None = None


@dataclass(frozen=True)
class InferenceServiceSpec:
    """A predictor, without transformer and explainer."""

    predictor: Predictor


@dataclass(frozen=True)
class InferenceService:
    """`kind: InferenceService`."""

    metadata: Any
    spec: InferenceServiceSpec
    api_version: str = "serving.kserve.io/v1beta1"
    kind: str = "InferenceService"


def objects(
    workload: Workload, *, storage: str, replicas: int, most: int, canary: int | None = None
) -> tuple[Any, ...]:
    """The runtime and the service that uses it.

    `storage` is the URI of the repository; `canary` the percentage of the requests that go to this
    revision, where another is served already. Raises `UsageError` for a model that an unmodified
    Triton does not load, and for a storage that is no address.
    """
    kinds = check(workload)
    if not _ADDRESS.match(storage):
        raise UsageError(
            f"{storage!r} is not an address that KServe can read",
            remedy="Give one such as s3://BUCKET/PATH, pvc://CLAIM/PATH or oci://IMAGE.",
        )
    runtime = f"{workload.name}-runtime"
    return (
        ServingRuntime(
            metadata=k8s.V1ObjectMeta(name=runtime),
            spec=ServingRuntimeSpec(
                supported_model_formats=tuple(
                    ModelFormat(kind, auto_select=False) for kind in kinds
                ),
                protocol_versions=("v2", "grpc-v2"),
                containers=(_container(workload),),
                annotations={
                    "prometheus.kserve.io/port": str(_METRICS),
                    "prometheus.kserve.io/path": "/metrics",
                },
            ),
        ),
        InferenceService(
            metadata=k8s.V1ObjectMeta(name=workload.name),
            spec=InferenceServiceSpec(
                Predictor(
                    model=Model(
                        model_format=ModelFormat(kinds[0]),
                        protocol_version="v2",
                        runtime=runtime,
                        storage_uri=storage,
                        resources=kubernetes.resources(workload),
                    ),
                    min_replicas=replicas,
                    max_replicas=most,
                    # Another version is another revision, also at the same address.
                    labels=kubernetes.version_label(workload),
                    canary_traffic_percent=canary,
                )
            ),
        ),
    )


def check(workload: Workload) -> tuple[str, ...]:
    """KServe's names of the formats of a model's networks.

    Raises `UsageError` for a model that an unmodified Triton does not load, and for a name that
    KServe makes too long.
    """
    if len(workload.name) > _LONGEST_NAME:
        raise UsageError(
            f"{workload.model!r} is too long a name for KServe: {_LONGEST_NAME} letters at most",
            remedy="Convert it under a shorter --name, or run it with "
            f"resnet-serve manifests {workload.model} --for kubernetes.",
        )
    if workload.of_images:
        raise UsageError(
            f"{workload.model} takes encoded images, which an unmodified Triton does not decode",
            remedy=f"Use resnet-serve manifests {workload.model} --for kubernetes, whose image has "
            "the decoder.",
        )
    return tuple(_format(each, workload.model) for each in workload.targets)


def _format(target: str, model: str) -> str:
    if target not in _FORMATS:
        raise UsageError(
            f"NVIDIA's container has no backend for {target} that KServe would start",
            remedy="Convert it with --target onnxruntime or tensorrt, or run it with "
            f"resnet-serve manifests {model} --for kubernetes.",
        )
    return _FORMATS[target]


def _container(workload: Workload) -> Any:
    return k8s.V1Container(
        name="kserve-container",  # KServe knows it by this name
        image=workload.release.image,
        args=[
            "tritonserver",
            "--model-repository=/mnt/models",
            f"--http-port={_HTTP}",
            f"--grpc-port={_GRPC}",
            *(f"--metrics-config={setting}" for setting in METRICS),
        ],
        ports=[k8s.V1ContainerPort(name="http1", container_port=_HTTP, protocol="TCP")],
        security_context=k8s.V1SecurityContext(
            run_as_user=1000,
            run_as_non_root=True,
            allow_privilege_escalation=False,
            privileged=False,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
    )
