"""The Compose file, against the schema of the Compose specification.

tests/data/compose-spec.json.gz is schema/compose-spec.json of compose-spec/compose-spec at 170098ba
(2026-06), without descriptions.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import jsonschema
import pytest
import yaml
from example_manifests import on_cpus

from resnet_serve.manifests import compose, document
from resnet_serve.manifests.workload import Workload

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(gzip.decompress((ROOT / "tests/data/compose-spec.json.gz").read_bytes()))


def written(workload: Workload, repository: str = "model_repository") -> dict[str, Any]:
    made = compose.objects(workload, image="mine:1", repository=PurePath(repository))
    found: dict[str, Any] = yaml.safe_load(document.compose_text(made))
    return found


@pytest.mark.parametrize("gpu", [False, True])
def test_it_is_valid(gpu: bool) -> None:
    made = written(replace(on_cpus(), gpu=gpu))
    jsonschema.Draft7Validator(SCHEMA).validate(made)
    wrong = {**made, "services": {"triton": {**made["services"]["triton"], "cap_dropp": []}}}
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(wrong), "the schema knows its fields"


def test_it_is_what_the_passport_says() -> None:
    made = written(on_cpus())
    service = made["services"]["triton"]
    assert made["name"] == "resnet50"
    assert service["image"] == "mine:1"
    assert service["cpus"] == "2"
    assert service["mem_limit"] == f"{on_cpus().memory_mib}m"
    assert "deploy" not in service
    (device,) = written(replace(on_cpus(), gpu=True))["services"]["triton"]["deploy"]["resources"][
        "reservations"
    ]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_it_is_as_closed_as_the_one_with_prometheus() -> None:
    service = written(on_cpus())["services"]["triton"]
    other = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["triton"]
    for field in ("read_only", "tmpfs", "cap_drop", "security_opt", "shm_size"):
        assert service[field] == other[field]
    assert service["stop_grace_period"] == other["stop_grace_period"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize(
    ("repository", "source"),
    [
        ("model_repository", "./model_repository"),
        ("../models", "../models"),
        ("/srv/models", "/srv/models"),
    ],
)
def test_a_path_is_no_name_of_a_volume(repository: str, source: str) -> None:
    volumes = written(on_cpus(), repository)["services"]["triton"]["volumes"]
    assert volumes == [f"{source}:/models:ro", f"{source}.images:/models.images:ro"]
