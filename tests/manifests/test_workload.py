"""What a version needs in a cluster, from its passport: container, cores, memory, GPU, waiting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from example_manifests import SIZE_BYTES, deployed
from passports import composed, converted, engine
from passports import plan as built

from resnet_serve import passport
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.manifests import workload
from resnet_serve.passport import EngineState, MemberFacts
from resnet_serve.triton import releases
from resnet_serve.triton.repository.versions import Deployed


def test_a_cpu_gets_the_cores_that_were_measured() -> None:
    made = workload.of(deployed())
    assert (made.model, made.version, made.cores, made.gpu) == ("resnet50", 3, 2, False)
    assert made.release is releases.CURRENT
    assert made.wait_ms == 4 * 40.0
    more = deployed()
    twice = replace(more.passport, contract=replace(more.passport.contract, instances=2))
    assert workload.of(replace(more, passport=twice)).cores == 4
    assert workload.of(replace(more, passport=twice)).memory_mib > made.memory_mib
    assert made.memory_mib > 2 * SIZE_BYTES / 2**20


def test_a_plan_gets_a_gpu_and_the_container_that_loads_it() -> None:
    row = releases.RELEASES["26.07"]
    for facts in (
        built(tensorrt=row.tensorrt, triton=None),
        built(tensorrt="11.3.0.99", triton=row.tag),
    ):
        made = workload.of(deployed(target="tensorrt", engine=facts))
        assert (made.gpu, made.release) == (True, row)


def test_what_no_cluster_can_run_is_refused() -> None:
    waiting = deployed(target="tensorrt", engine=engine(state=EngineState.NOT_BUILT))
    with pytest.raises(UsageError, match=r"is not built.*build-plan"):
        workload.of(waiting)
    with pytest.raises(UsageError, match=r"no known container loads .* TensorRT 9\.9\.9\.9"):
        workload.of(deployed(target="tensorrt", engine=built(tensorrt="9.9.9.9", triton=None)))


def member(repository: Path, name: str, **changes: Any) -> MemberFacts:
    """A member that is deployed as version 1."""
    made = deployed(**changes)
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / passport.FILE_NAME).write_bytes(made.passport.to_bytes())
    return replace(composed().members[0], name=name, version=1)


def both(repository: Path, *members: MemberFacts, **changes: Any) -> Deployed:
    """A model that is composed of members."""
    return Deployed("both", 1, repository / "both" / "1", composed(members=members, **changes))


def test_members_share_the_cores_and_each_has_its_memory(tmp_path: Path) -> None:
    alone = workload.of(deployed())
    two = member(tmp_path, "one"), member(tmp_path, "two", target="openvino")
    made = workload.of(both(tmp_path, *two, crops=None))
    assert (made.model, made.version, made.of_images) == ("both", 1, False)
    assert made.targets == ("onnxruntime", "openvino")
    assert (made.cores, made.wait_ms) == (alone.cores, alone.wait_ms)
    assert alone.memory_mib < made.memory_mib < 2 * alone.memory_mib
    crops = workload.of(both(tmp_path, two[0]))
    assert crops.of_images, "a ten-crop model takes encoded images"
    assert crops.memory_mib == alone.memory_mib


def test_the_container_is_that_of_a_members_plan(tmp_path: Path) -> None:
    row, other = releases.RELEASES["26.07"], releases.RELEASES["26.05"]

    def plan_of(release: releases.Release) -> Any:
        return built(tensorrt=release.tensorrt, triton=release.tag)

    onnx = member(tmp_path, "onnx")
    plan = member(tmp_path, "plan", target="tensorrt", engine=plan_of(row))
    made = workload.of(both(tmp_path, onnx, plan, crops=None))
    assert (made.release, made.gpu) == (row, True)
    older = member(tmp_path, "older", target="tensorrt", engine=plan_of(other))
    with pytest.raises(UsageError, match=r"plan for 26\.07, older for 26\.05"):
        workload.of(both(tmp_path, plan, older, crops=None))


def test_a_member_that_cannot_run_or_is_gone(tmp_path: Path) -> None:
    waiting = engine(state=EngineState.NOT_BUILT)
    unbuilt = member(tmp_path, "unbuilt", target="tensorrt", engine=waiting)
    with pytest.raises(UsageError, match=r"unbuilt:1 is not built|is not built.*build-plan"):
        workload.of(both(tmp_path, unbuilt, crops=None))
    gone = replace(unbuilt, name="gone")
    with pytest.raises(InputFileError, match="gone version 1, which is gone"):
        workload.of(both(tmp_path, gone))


@pytest.mark.parametrize(
    ("model", "label"), [("resnet50", "resnet50"), ("My_Net.v2", "my-net-v2"), ("a__b-", "a-b")]
)
def test_names_are_dns_labels(model: str, label: str) -> None:
    made = replace(deployed(), name=model)
    assert workload.of(made).name == label
    assert workload.of(made).model == model


@pytest.mark.parametrize("model", ["50", "_", "x" * 64])
def test_names_that_make_no_label_are_refused(model: str) -> None:
    with pytest.raises(UsageError, match="cannot name an object"):
        workload.label(model)


@pytest.mark.parametrize("name", ["", "My_Claim", "-models", "a..b", "x" * 254])
def test_names_that_no_claim_can_have_are_refused(name: str) -> None:
    assert workload.claim_name("nfs-1.models") == "nfs-1.models"
    with pytest.raises(UsageError, match="cannot name a PersistentVolumeClaim"):
        workload.claim_name(name)


def test_without_a_latency_requests_wait_the_shortest_time() -> None:
    made = converted(name="net")
    untimed = replace(made, latency=replace(made.latency, times={}))
    assert workload.of(Deployed("net", 1, Path("m/net/1"), untimed)).wait_ms == 100
