"""The objects for Kubernetes, against its own schemas."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import prometheus_server
import pytest
import yaml
from example_manifests import examples, on_cpus

from resnet_serve.manifests import document, kubernetes
from resnet_serve.triton.supervision.orders import DRAIN_S

VERSIONS = ("1.31", "1.34", "1.37")


def objects(**changes: Any) -> dict[str, dict[str, Any]]:
    made = kubernetes.objects(
        replace(on_cpus(), **changes), image="serve:1", claim="models", replicas=2, most=6
    )
    return {each["kind"]: each for each in map(document.plain, made)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("gpu", [False, True])
def test_they_are_valid(version: str, gpu: bool) -> None:
    made = objects(gpu=gpu)
    assert list(made) == [
        *("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    ]
    for each in made.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    made = objects()["Deployment"]
    made["spec"]["template"]["spec"]["containers"][0]["imagePull"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, VERSIONS[-1], strict=True)


def test_they_select_the_same_pods() -> None:
    made = objects()
    pod = made["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    for kind, at in (("Deployment", "matchLabels"), ("PodDisruptionBudget", "matchLabels")):
        assert made[kind]["spec"]["selector"][at].items() <= labels
    assert made["Service"]["spec"]["selector"].items() <= labels
    target = made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["kind"] == "Deployment"
    assert target["name"] == made["Deployment"]["metadata"]["name"]
    names = {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
    assert {each["targetPort"] for each in made["Service"]["spec"]["ports"]} == names


def test_the_pod_is_what_the_passport_says() -> None:
    pod = objects()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["requests"]["cpu"] == "2"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    (on_gpu,) = objects(gpu=True)["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert on_gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = container[probe]["exec"]["command"]
        assert command[:5] == ["python3", "-m", "resnet_serve.cli", "health", "resnet50"]
        assert container[probe]["timeoutSeconds"] > int(command[-1])
    word, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert word == "sleep", "the Service still sends requests to a pod that was told to end"
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + DRAIN_S
    assert pod["securityContext"]["runAsNonRoot"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}
    assert {"name": "MODEL_REPOSITORY", "value": "/srv/models/model_repository"} in container["env"]


@pytest.mark.parametrize(
    ("memory_mib", "wait_ms", "memory", "average"),
    [(967, 100.0, "967Mi", "50m"), (2048, 4000.0, "2Gi", "2"), (1536, 3000.0, "1536Mi", "1500m")],
)
def test_quantities_are_as_the_api_server_writes_them(
    memory_mib: int, wait_ms: float, memory: str, average: str
) -> None:
    """Otherwise a second `kubectl apply` says "configured" of what is unchanged."""
    made = objects(memory_mib=memory_mib, wait_ms=wait_ms)
    (container,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["memory"] == memory
    assert container["resources"]["limits"]["memory"] == memory
    (metric,) = made["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["target"]["averageValue"] == average


def test_pods_that_are_not_ready_do_not_keep_a_node_from_being_drained() -> None:
    budget = objects()["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_rollout_waits_for_the_image_and_for_a_slow_start() -> None:
    """Otherwise `kubectl rollout status` and `helm --wait` fail while a pod may still start."""
    spec = objects()["Deployment"]["spec"]
    probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
    assert spec["progressDeadlineSeconds"] > probe["periodSeconds"] * probe["failureThreshold"]


def test_pods_are_added_when_a_full_queue_is_half_waited_for() -> None:
    (metric,) = objects(wait_ms=160.0)["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "resnet_serve_queue_seconds"
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "80m"}


def documented() -> list[dict[str, Any]]:
    """The YAML documents of docs/kubernetes.md."""
    text = (Path(__file__).parents[2] / "docs/kubernetes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [each for block in blocks for each in yaml.safe_load_all(block)]


def test_the_metric_is_the_wait_of_the_busiest_model_of_a_pod(tmp_path: Path) -> None:
    """Triton counts the wait in an ensemble at the models inside it; some are not asked at all."""
    (adapter,) = (each["rules"][0] for each in documented() if "rules" in each)
    metric = objects()["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]
    assert metric == {"name": adapter["name"]["as"]}, "of all models of the pod"
    query = adapter["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="n",pod=~"a|b"')
    series = [
        {"series": f'{name}{{namespace="n",pod="{pod}",model="{model}"}}', "values": f"0+{step}x9"}
        for pod, model, asked, wait_us in [
            *(("a", "net_image", 2, 0), ("a", "net_preprocess", 2, 700_000)),
            *(("a", "net", 3, 100_000), ("a", "other", 0, 0), ("b", "net", 1, 50_000)),
        ]
        for name, step in [
            ("nv_inference_request_success", asked),
            ("nv_inference_queue_duration_us", asked * wait_us),
        ]
    ]
    expected = [{"labels": f'{{pod="{pod}"}}', "value": s} for pod, s in (("a", 0.7), ("b", 0.05))]
    rounded = f"round({query.replace('<<.GroupBy>>', 'pod')}, 0.001)"
    test = {"expr": rounded, "eval_time": "2m", "exp_samples": expected}
    file = tmp_path / "test.yml"
    made = {"interval": "15s", "input_series": series, "promql_expr_test": [test]}
    file.write_text(yaml.safe_dump({"tests": [made]}))
    words = [prometheus_server.program("promtool"), "test", "rules", file]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_objects_in_the_documentation_are_valid() -> None:
    native = [each for each in documented() if each.get("apiVersion") == "v1"]
    assert [each["kind"] for each in native] == ["PersistentVolumeClaim", "Pod"]
    for each in native:
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
    claim, pod = native
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


@pytest.mark.parametrize("path", examples(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_examples_are_what_the_command_writes(path: Any) -> None:
    """Otherwise: .venv/bin/python tests/support/example_manifests.py."""
    assert path.read_text(encoding="utf-8") == examples()[path]


def test_kubectl_reads_every_field_of_the_deployment() -> None:
    """Its own types drop what they do not know: what comes back is what was written.

    Its dry run of `apply` asks a cluster, `set image --local` does not.
    """
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")

    def read(made: dict[str, Any]) -> dict[str, Any]:
        words = [program, "set", "image", "--local", "-f", "-", "triton=other:2", "-o", "json"]
        text = json.dumps(made)
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        for each in (found["metadata"], found["spec"]["template"]["metadata"]):
            assert each.pop("creationTimestamp", None) is None
        assert found.pop("status") == {}
        return found

    for gpu in (False, True):
        made = objects(gpu=gpu)["Deployment"]
        expected = copy.deepcopy(made)
        expected["spec"]["template"]["spec"]["containers"][0]["image"] = "other:2"
        assert read(made) == expected
        made["spec"]["template"]["spec"]["containers"][0]["imagePull"] = "Always"
        assert read(made) == expected, "a field that is none is lost"
