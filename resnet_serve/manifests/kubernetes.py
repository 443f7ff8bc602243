"""A version on Kubernetes: Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget.

The container is that of our Dockerfile's `serve` stage, whose supervisor restarts Triton and whose
`resnet-serve health` infers. The repository, and the one of encoded images beside it, are on a
volume. Pods are added by the time that requests wait, from Triton's own metrics:

    resnet_serve_queue_seconds = max over models of
        rate(nv_inference_queue_duration_us) / rate(requests) / 1e6

Requests to an ensemble wait in the queues of its models; its own counter is always 0.
"""

from __future__ import annotations

from typing import Any

from resnet_serve.manifests.workload import Workload
from resnet_serve.optional import optional

k8s: Any = optional("kubernetes.client", extra="kubernetes")

QUEUE_METRIC = "resnet_serve_queue_seconds"
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002, "status": 8003}
MAX_UNAVAILABLE, MAX_SURGE = 0, 1  # of a rollout: the new pod is there before the old one goes
_VOLUME = "/srv/models"
_USER = 1000
_UNHEARD_S = 5  # until no proxy sends requests to a pod that is to end
_DRAIN_S = 20  # of the supervisor, for the requests in flight
_STARTS_S = 600  # an engine may have to be built first
_PROGRESS_S = 2 * _STARTS_S  # of a rollout: an image of 10 GB may have to be pulled before
_CHECK_S = 4


def objects(
    workload: Workload, *, image: str, claim: str, replicas: int, most: int
) -> tuple[Any, ...]:
    """The objects, in the order in which they are to be created.

    `image` is the serve image, `claim` the PersistentVolumeClaim that holds `model_repository` and
    `model_repository.images`. There are `replicas` pods, up to `most` when requests wait.
    """
    return (
        _deployment(workload, image, claim),
        _service(workload),
        _autoscaler(workload, replicas, most),
        _budget(workload),
    )


def _meta(workload: Workload) -> Any:
    return k8s.V1ObjectMeta(name=workload.name, labels=_labels(workload))


def _selected(workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": "resnet-serve", "app.kubernetes.io/instance": workload.name}


def _labels(workload: Workload) -> dict[str, str]:
    return _selected(workload) | version_label(workload)


def version_label(workload: Workload) -> dict[str, str]:
    """The label of pods by which another version replaces them."""
    return {"app.kubernetes.io/version": str(workload.version)}


def resources(workload: Workload) -> Any:
    """The cores that were measured, the memory of its copies, and one GPU where it runs on one."""
    memory = _quantity(workload.memory_mib, step=1024, units=("Mi", "Gi"))
    limits = {"memory": memory}
    if workload.gpu:
        limits["nvidia.com/gpu"] = "1"
    return k8s.V1ResourceRequirements(
        requests={"cpu": str(workload.cores), "memory": memory}, limits=limits
    )


def _quantity(count: int, *, step: int, units: tuple[str, ...]) -> str:
    """As the API server writes it; `kubectl apply` would find any other form changed each time."""
    small, large = units
    return f"{count}{small}" if count % step else f"{count // step}{large}"


def _deployment(workload: Workload, image: str, claim: str) -> Any:
    """Without a number of pods, which is the autoscaler's: each `kubectl apply` would reset it."""
    pod = k8s.V1PodSpec(
        containers=[_container(workload, image)],
        volumes=[
            k8s.V1Volume(
                name="models",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(
                    claim_name=claim, read_only=True
                ),
            ),
            # Requests pass from Triton to its backends through shared memory.
            k8s.V1Volume(
                name="shared-memory",
                empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit="256Mi"),
            ),
            *(
                k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource())
                for name in ("scratch", "cache")
            ),
        ],
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=_USER,
            run_as_group=_USER,
            fs_group=_USER,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        automount_service_account_token=False,
        termination_grace_period_seconds=_UNHEARD_S + _DRAIN_S + 10,
    )
    metrics = {"scrape": "true", "port": str(PORTS["metrics"]), "path": "/metrics"}
    return k8s.V1Deployment(
        api_version="apps/v1",
        kind="Deployment",
        metadata=_meta(workload),
        spec=k8s.V1DeploymentSpec(
            progress_deadline_seconds=_PROGRESS_S,
            selector=k8s.V1LabelSelector(match_labels=_selected(workload)),
            strategy=k8s.V1DeploymentStrategy(
                type="RollingUpdate",
                rolling_update=k8s.V1RollingUpdateDeployment(
                    max_unavailable=MAX_UNAVAILABLE, max_surge=MAX_SURGE
                ),
            ),
            template=k8s.V1PodTemplateSpec(
                metadata=k8s.V1ObjectMeta(
                    labels=_labels(workload),
                    annotations={f"prometheus.io/{key}": each for key, each in metrics.items()},
                ),
                spec=pod,
            ),
        ),
    )


def _container(workload: Workload, image: str) -> Any:
    return k8s.V1Container(
        name="triton",
        image=image,
        ports=[
            k8s.V1ContainerPort(name=name, container_port=number) for name, number in PORTS.items()
        ],
        env=[
            k8s.V1EnvVar(name="MODEL_REPOSITORY", value=f"{_VOLUME}/model_repository"),
            k8s.V1EnvVar(name="RESNET_SERVE_STATUS_PORT", value=str(PORTS["status"])),
        ],
        resources=resources(workload),
        volume_mounts=[
            k8s.V1VolumeMount(name="models", mount_path=_VOLUME, read_only=True),
            k8s.V1VolumeMount(name="shared-memory", mount_path="/dev/shm"),  # noqa: S108
            k8s.V1VolumeMount(name="scratch", mount_path="/tmp"),  # noqa: S108
            k8s.V1VolumeMount(name="cache", mount_path="/var/cache/resnet-serve"),
        ],
        startup_probe=_probe(workload, every_s=10, failures=_STARTS_S // 10),
        readiness_probe=_probe(workload, every_s=10, failures=2),
        # The supervisor restarts a server that does not answer; this is for when it cannot.
        liveness_probe=_probe(workload, every_s=30, failures=10),
        # It serves on until every proxy has taken it out: from SIGTERM on it refuses new requests.
        lifecycle=k8s.V1Lifecycle(
            pre_stop=k8s.V1LifecycleHandler(
                _exec=k8s.V1ExecAction(command=["sleep", str(_UNHEARD_S)])
            )
        ),
        security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
    )


def _probe(workload: Workload, *, every_s: int, failures: int) -> Any:
    check = ["python3", "-m", "resnet_serve.cli", "health", workload.model]
    return k8s.V1Probe(
        _exec=k8s.V1ExecAction(command=[*check, "--timeout", str(_CHECK_S)]),
        period_seconds=every_s,
        timeout_seconds=2 * _CHECK_S,
        failure_threshold=failures,
    )


def _service(workload: Workload) -> Any:
    return k8s.V1Service(
        api_version="v1",
        kind="Service",
        metadata=_meta(workload),
        spec=k8s.V1ServiceSpec(
            type="ClusterIP",
            selector=_selected(workload),
            ports=[
                k8s.V1ServicePort(name=name, port=number, target_port=name)
                for name, number in PORTS.items()
            ],
        ),
    )


def _autoscaler(workload: Workload, replicas: int, most: int) -> Any:
    """Another pod when requests wait half as long as in a full queue."""
    return k8s.V2HorizontalPodAutoscaler(
        api_version="autoscaling/v2",
        kind="HorizontalPodAutoscaler",
        metadata=_meta(workload),
        spec=k8s.V2HorizontalPodAutoscalerSpec(
            scale_target_ref=k8s.V2CrossVersionObjectReference(
                api_version="apps/v1", kind="Deployment", name=workload.name
            ),
            min_replicas=replicas,
            max_replicas=most,
            metrics=[
                k8s.V2MetricSpec(
                    type="Pods",
                    pods=k8s.V2PodsMetricSource(
                        metric=k8s.V2MetricIdentifier(name=QUEUE_METRIC),
                        target=k8s.V2MetricTarget(
                            type="AverageValue",
                            average_value=_quantity(
                                round(workload.wait_ms / 2), step=1000, units=("m", "")
                            ),
                        ),
                    ),
                )
            ],
        ),
    )


def _budget(workload: Workload) -> Any:
    return k8s.V1PodDisruptionBudget(
        api_version="policy/v1",
        kind="PodDisruptionBudget",
        metadata=_meta(workload),
        spec=k8s.V1PodDisruptionBudgetSpec(
            max_unavailable=1,
            # A pod that serves nothing would otherwise keep its node from being drained.
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=k8s.V1LabelSelector(match_labels=_selected(workload)),
        ),
    )
