"""The objects for KServe, against the schemas of its custom resources.

tests/data/kserve-crds.json.gz has them from config/crd/full of kserve/kserve at aaac4e29 (2026-08),
without descriptions.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from example_manifests import on_cpus

from resnet_serve.errors import UsageError
from resnet_serve.manifests import document, kserve
from resnet_serve.triton import releases

SCHEMAS = Path(__file__).parents[1] / "data" / "kserve-crds.json.gz"


@cache
def schemas() -> dict[str, Any]:
    return dict(json.loads(gzip.decompress(SCHEMAS.read_bytes())))


def closed(schema: Any) -> Any:
    """As the API server reads it: a field that no property names is dropped, and here refused."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and not made.get(
        "x-kubernetes-preserve-unknown-fields"
    ):
        made.setdefault("additionalProperties", False)
    if made.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    return made


def validate(made: dict[str, Any]) -> None:
    row = schemas()[made["kind"]]
    assert made["apiVersion"] == f"serving.kserve.io/{row['version']}"
    schema = closed(row["schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.Draft202012Validator(schema).validate(made)


def objects(canary: int | None = None, **changes: Any) -> dict[str, dict[str, Any]]:
    made = kserve.objects(
        replace(on_cpus(), **changes), storage="s3://models/x", replicas=1, most=3, canary=canary
    )
    return {each["kind"]: each for each in map(document.plain, made)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpu": True, "targets": ("tensorrt",)},
        {"targets": ("onnxruntime", "tensorrt")},
        {"canary": 10},
    ],
)
def test_they_are_valid(changes: dict[str, Any]) -> None:
    made = objects(**changes)
    assert list(made) == ["ServingRuntime", "InferenceService"]
    for each in made.values():
        validate(each)


def test_the_schemas_refuse_what_is_wrong() -> None:
    made = objects()["InferenceService"]
    made["spec"]["predictor"]["canaryPercent"] = 10
    with pytest.raises(jsonschema.ValidationError):
        validate(made)


def test_the_service_uses_the_runtime_of_its_container() -> None:
    row = releases.RELEASES["26.07"]
    made = objects(release=row, targets=("tensorrt",), gpu=True, canary=10)
    runtime, service = made["ServingRuntime"], made["InferenceService"]
    predictor = service["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 10
    assert predictor["model"]["runtime"] == runtime["metadata"]["name"]
    assert predictor["model"]["protocolVersion"] in runtime["spec"]["protocolVersions"]
    (served,) = runtime["spec"]["supportedModelFormats"]
    assert served["name"] == predictor["model"]["modelFormat"]["name"] == "tensorrt"
    (container,) = runtime["spec"]["containers"]
    assert container["image"] == "nvcr.io/nvidia/tritonserver:26.07-py3"
    assert predictor["model"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "canaryTrafficPercent" not in objects()["InferenceService"]["spec"]["predictor"]


def test_another_version_is_another_revision() -> None:
    """Also from the same storage: KServe replaces pods when the predictor changes."""
    third, fourth = (objects(version=each)["InferenceService"] for each in (3, 4))
    assert third["spec"]["predictor"]["model"] == fourth["spec"]["predictor"]["model"]
    labels = [each["spec"]["predictor"]["labels"] for each in (third, fourth)]
    assert labels == [{"app.kubernetes.io/version": "3"}, {"app.kubernetes.io/version": "4"}]


def test_its_container_keeps_the_restricted_pod_security_standard() -> None:
    """Kubernetes, Pod Security Standards: what a namespace with `enforce: restricted` takes."""
    (container,) = objects()["ServingRuntime"]["spec"]["containers"]
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_name_is_as_long_as_the_labels_that_kserve_makes_of_it() -> None:
    longest = "m" * 48
    assert len(f"isvc.{longest}-predictor") == 63
    objects(model=longest)
    with pytest.raises(UsageError, match="too long a name for KServe"):
        objects(model=longest + "m")


@pytest.mark.parametrize("target", ["openvino", "tensorrt-rtx"])
def test_what_an_unmodified_triton_does_not_load_is_refused(target: str) -> None:
    with pytest.raises(UsageError, match="--for kubernetes"):
        objects(targets=("onnxruntime", target))


def test_a_composed_model_is_served_as_pixels_only() -> None:
    made = objects(targets=("onnxruntime", "tensorrt"))
    formats = made["ServingRuntime"]["spec"]["supportedModelFormats"]
    assert [each["name"] for each in formats] == ["onnx", "tensorrt"]
    with pytest.raises(UsageError, match="takes encoded images"):
        objects(of_images=True)
