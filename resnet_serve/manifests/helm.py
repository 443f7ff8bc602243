"""A version as a Helm chart: the objects for Kubernetes, with expressions of Helm in some fields.

The objects are those of `kubernetes`: with its default values the chart gives what `--for
kubernetes` writes. What differs between clusters is a value, and the field of the object has the
expression for it as its text. In a template

    1. an expression that is the whole text has no quotes:  type: {{ .Values.service.type | quote }}
    2. one whose value is an object or a list has its own line, and `nindent`
    3. a field that may be absent is between its condition and `{{- end }}`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve import durable
from resnet_serve.manifests import chart_values, document, kubernetes
from resnet_serve.manifests.chart_values import (
    Autoscaling,
    Image,
    Persistence,
    RollingUpdate,
    Values,
)
from resnet_serve.manifests.document import yaml
from resnet_serve.manifests.workload import Workload

# The budget's unhealthyPodEvictionPolicy; "-0" also allows what vendors append.
_OLDEST_KUBERNETES = ">=1.27.0-0"
_LONGEST_RELEASE = 53
_AUTOSCALED = ".Values.autoscaling.enabled"
_FIELD = re.compile(
    r"^(?P<indent> *)(?P<key>\w+): '"
    r"(?:\{\{ (?P<condition>(?:if|with) [^{}]+) \}\})?"
    r"\{\{ (?P<expression>[^{}]+) \}\}'$",
    re.MULTILINE,
)
_NOTES = """\
Version {{ .Chart.AppVersion }} of MODEL, in the namespace {{ .Release.Namespace }}:

  kubectl --namespace {{ .Release.Namespace }} rollout status deployment/NAME
  kubectl --namespace {{ .Release.Namespace }} port-forward service/NAME 8001
  resnet-classify IMAGE --url 127.0.0.1:8001 --model MODEL

The pods wait for the PersistentVolumeClaim {{ .Values.persistence.existingClaim }}, which holds
model_repository.
{{- if .Values.autoscaling.enabled }}
The autoscaler needs the metric METRIC of the pods; without it, set
autoscaling.enabled to false and replicaCount to the number of pods.
{{- end }}
"""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Chart.yaml. Its versions are those of the model: 3.0.0 is the chart of version 3."""

    api_version: str = "v2"
    name: str
    description: str
    type: str = "application"
    version: str
    app_version: str
    kube_version: str = _OLDEST_KUBERNETES


def files(
    workload: Workload, *, image: str, claim: str, replicas: int, most: int
) -> dict[str, str]:
    """The files of the chart by their paths; the arguments are defaults of its values."""
    repository, tag = _parts(image)
    chart = Chart(
        name=workload.name,
        description=f"{workload.model}, version {workload.version}, served by Triton",
        version=f"{workload.version}.0.0",
        app_version=str(workload.version),
    )
    values = Values(
        image=Image(repository, tag),
        replica_count=replicas,
        autoscaling=Autoscaling(enabled=True, min_replicas=replicas, max_replicas=most),
        rolling_update=RollingUpdate(kubernetes.MAX_UNAVAILABLE, kubernetes.MAX_SURGE),
        resources=kubernetes.resources(workload),
        persistence=Persistence(claim),
    )
    made = kubernetes.objects(workload, image=image, claim=claim, replicas=replicas, most=most)
    notes = _NOTES.replace("METRIC", kubernetes.QUEUE_METRIC).replace("NAME", workload.name)
    return {
        "Chart.yaml": str(yaml.safe_dump(document.plain(chart), sort_keys=False)),
        "values.yaml": chart_values.text(values),
        "values.schema.json": chart_values.schema_text() + "\n",
        **{
            f"templates/{each['kind'].lower()}.yaml": _template(each) for each in _with_values(made)
        },
        "templates/NOTES.txt": notes.replace("MODEL", workload.model),
    }


def write(made: dict[str, str], folder: Path) -> None:
    """Write the chart into a folder that does not exist, whole or not at all.

    Raises `UsageError` for a folder that is there, `HostError` where nothing can be written.
    """
    with durable.new_folder(folder) as part:
        for path, text in made.items():
            durable.write(part / path, text)


def release(workload: Workload) -> str:
    """A name for a release of the chart, which may be shorter than the names of objects."""
    return workload.name[:_LONGEST_RELEASE].rstrip("-")


def _parts(image: str) -> tuple[str, str]:
    """Repository and tag, which a colon joins again; of `name@sha256:…` the digest is the tag."""
    repository, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:  # the colon was that of a port
        return image, "latest"
    return repository, tag


def _with_values(objects: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
    """The objects as JSON's types, with expressions in the fields that are values."""
    deployment, service, autoscaler, budget = map(document.plain, objects)
    deployment["spec"]["replicas"] = "{{ if not " + _AUTOSCALED + " }}{{ .Values.replicaCount }}"
    for key in (rolling := deployment["spec"]["strategy"]["rollingUpdate"]):
        rolling[key] = "{{ .Values.rollingUpdate." + key + " }}"
    pod = deployment["spec"]["template"]["spec"]
    for key in ("imagePullSecrets", "nodeSelector", "tolerations"):
        pod[key] = "{{ with .Values." + key + " }}{{ toYaml . }}"
    (container,) = pod["containers"]
    container["image"] = "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
    container["resources"] = "{{ toYaml .Values.resources }}"
    (models,) = (each for each in pod["volumes"] if "persistentVolumeClaim" in each)
    models["persistentVolumeClaim"]["claimName"] = "{{ .Values.persistence.existingClaim | quote }}"
    service["spec"]["type"] = "{{ .Values.service.type | quote }}"
    for key in ("minReplicas", "maxReplicas"):
        autoscaler["spec"][key] = "{{ .Values.autoscaling." + key + " }}"
    return deployment, service, autoscaler, budget


def _template(made: dict[str, Any]) -> str:
    text = _FIELD.sub(_written, document.text((made,)))
    if made["kind"] == "HorizontalPodAutoscaler":
        return "{{- if " + _AUTOSCALED + " }}\n" + text + "{{- end }}\n"
    return text


def _written(field: re.Match[str]) -> str:
    """A field whose text is one expression, by the rules of this module."""
    indent, key, condition, expression = field.groups()
    line = f"{indent}{key}: " + "{{ " + expression + " }}"
    if expression.startswith("toYaml"):
        deeper = indent + "  "
        line = (
            f"{indent}{key}:\n{deeper}" + "{{- " + f"{expression} | nindent {len(deeper)}" + " }}"
        )
    if condition is None:
        return line
    return indent + "{{- " + condition + " }}\n" + line + "\n" + indent + "{{- end }}"
