"""The chart: with its defaults it gives the objects for Kubernetes; every value changes something.

The first tests fill in the templates themselves; the last are with the Helm library.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import charts
import kubernetes_validate
import pytest
import yaml
from example_manifests import on_cpus

from resnet_serve.errors import UsageError
from resnet_serve.manifests import document, helm, kubernetes
from resnet_serve.manifests.workload import Workload

CHANGES: dict[str, Any] = {
    "image": {"repository": "registry:5000/serve", "tag": "2"},
    "replicaCount": 4,
    "autoscaling": {"enabled": False},
    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
    "resources": {"limits": {"cpu": "8"}},
    "persistence": {"existingClaim": "other"},
    "service": {"type": "LoadBalancer"},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"accelerator": "l4", "zone": "1"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}
GIVEN = {"image": "serve:1", "claim": "models", "replicas": 2, "most": 6}


def workload(gpu: bool = False) -> Workload:
    return replace(on_cpus(), gpu=gpu, model="wide_resnet50_2")


def files(gpu: bool = False, **changes: Any) -> dict[str, str]:
    return helm.files(workload(gpu), **{**GIVEN, **changes})


def defaults(made: dict[str, str]) -> dict[str, Any]:
    return dict(yaml.safe_load(made["values.yaml"]))


def expected(gpu: bool = False) -> list[dict[str, Any]]:
    return [document.plain(each) for each in kubernetes.objects(workload(gpu), **GIVEN)]


def checked(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By their kinds, each valid."""
    for each in objects:
        kubernetes_validate.validate(each, "1.37", strict=True)
    return {each["kind"]: each for each in objects}


@pytest.mark.parametrize("gpu", [False, True])
def test_with_its_defaults_it_is_what_is_written_for_kubernetes(gpu: bool) -> None:
    made = files(gpu)
    assert charts.rendered(made, defaults(made)) == expected(gpu)


def test_every_value_is_used_and_what_is_used_is_a_value() -> None:
    made = files()
    values = defaults(made)
    templates = "\n".join(text for path, text in made.items() if path.startswith("templates/"))
    used = set(re.findall(r"\.Values\.([\w.]+)", templates))
    for path in used:
        charts.at(values, path)
    groups = {key for path in used if "." in path for key in [path.partition(".")[0]]}
    leaves = {f"{group}.{key}" for group in groups for key in values[group]}
    assert used == leaves | (values.keys() - groups)


def test_the_values_change_the_objects() -> None:
    made = files()
    objects = checked(charts.rendered(made, charts.merged(defaults(made), CHANGES)))
    assert list(objects) == ["Deployment", "Service", "PodDisruptionBudget"]
    spec = objects["Deployment"]["spec"]
    assert spec["replicas"] == 4, "there is no autoscaler that would set it"
    assert spec["strategy"]["rollingUpdate"] == CHANGES["rollingUpdate"]
    pod = spec["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry:5000/serve:2"
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == "8"
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "other"
    for key in ("imagePullSecrets", "nodeSelector", "tolerations"):
        assert pod[key] == CHANGES[key]
    assert objects["Service"]["spec"]["type"] == "LoadBalancer"
    changes = {"autoscaling": {"minReplicas": 3, "maxReplicas": 9}}
    scaled = checked(charts.rendered(made, charts.merged(defaults(made), changes)))
    spec = scaled["HorizontalPodAutoscaler"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 9)
    assert "replicas" not in scaled["Deployment"]["spec"]


@pytest.mark.parametrize(
    ("image", "repository", "tag"),
    [
        ("serve:1", "serve", "1"),
        ("serve", "serve", "latest"),
        ("registry:5000/team/serve", "registry:5000/team/serve", "latest"),
        ("registry:5000/serve:1.10", "registry:5000/serve", "1.10"),
        ("serve@sha256:0123", "serve@sha256", "0123"),
    ],
)
def test_the_parts_of_the_image(image: str, repository: str, tag: str) -> None:
    made = files(image=image)
    values = defaults(made)
    assert values["image"] == {"repository": repository, "tag": tag}
    container = charts.rendered(made, values)[0]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] in (image, f"{image}:latest")


def test_it_is_of_the_version_of_the_model() -> None:
    chart = yaml.safe_load(files()["Chart.yaml"])
    assert (chart["apiVersion"], chart["name"]) == ("v2", "wide-resnet50-2")
    assert (chart["version"], chart["appVersion"]) == ("3.0.0", "3")


def test_a_release_has_a_name_that_helm_takes() -> None:
    assert helm.release(replace(workload(), model="a" * 52 + "-b")) == "a" * 52


def test_it_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    made = files()
    helm.write(made, tmp_path / "chart")
    written = [each for each in (tmp_path / "chart").rglob("*") if each.is_file()]
    texts = {str(each.relative_to(tmp_path / "chart")): each.read_text() for each in written}
    assert texts == made
    with pytest.raises(UsageError, match="Name a new folder"):
        helm.write(made, tmp_path / "chart")


# --- with Helm ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library() -> Any:
    reason = "Helm's library is not installed: pip install helm-python-sdk"
    return pytest.importorskip("helm_python", reason=reason)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    helm.write(files(gpu=True), tmp_path / "wide-resnet50-2")
    return tmp_path / "wide-resnet50-2"


def from_helm(library: Any, folder: Path, values: dict[str, Any]) -> tuple[list[Any], str]:
    """What `helm template` gives: the objects, and the notes."""
    with library.Chart.load(folder) as chart:
        texts = chart.render(values, name="release", namespace="vision")
    notes = texts.pop("wide-resnet50-2/templates/NOTES.txt")
    objects = [each for text in texts.values() for each in yaml.safe_load_all(text) if each]
    return objects, notes


def by_kind(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["kind"]: each for each in objects}


def test_helm_finds_nothing_to_complain_about(library: Any, folder: Path) -> None:
    for values in (None, CHANGES):
        report = library.lint(folder, values, strict=True)
        assert report["total_charts_linted"] == 1
        assert report["errors"] == []
        complaints = [each["error"] for each in report["messages"] if each["severity"] > 1]
        assert complaints == []
    (folder / "templates" / "wrong.yaml").write_text("a: {{ .Values.a.b }}\n")
    assert library.lint(folder, strict=True)["errors"], "it does find what is wrong"


def test_helm_makes_the_same_objects(library: Any, folder: Path) -> None:
    objects, notes = from_helm(library, folder, {})
    assert by_kind(objects) == by_kind(expected(gpu=True))
    assert "kubectl --namespace vision rollout status deployment/wide-resnet50-2" in notes
    assert "--model wide_resnet50_2" in notes
    assert "PersistentVolumeClaim models," in notes
    assert kubernetes.QUEUE_METRIC in notes


def test_helm_fills_in_the_values_as_these_tests_do(library: Any, folder: Path) -> None:
    made = files(gpu=True)
    for changes in (CHANGES, {"autoscaling": {"minReplicas": 3}}):
        objects, notes = from_helm(library, folder, changes)
        ours = charts.rendered(made, charts.merged(defaults(made), changes))
        assert by_kind(objects) == by_kind(ours)
        assert (kubernetes.QUEUE_METRIC in notes) == (changes is not CHANGES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": {"tagg": "1"}},
        {"image": {"tag": 1.1}},
        {"service": {"type": "Loadbalancer"}},
        {"autoscaling": {"minReplicas": 0}},
    ],
)
def test_helm_refuses_a_value_that_is_none(library: Any, folder: Path, wrong: Any) -> None:
    with library.Chart.load(folder) as chart:
        chart.validate_schema({})
        with pytest.raises(library.HelmValuesError):
            chart.validate_schema(wrong)
