"""A worker without Ray: parts become files with one row per input, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import poison
import pytest
from batch_jobs import done, facts_of, job_of
from batch_model import BAD, CHANNELS, deploy, picture, pictures
from pyarrow import parquet as pq
from toy_repository import LABELS

from resnet_serve import host
from resnet_serve.activation import Activation
from resnet_serve.activation import Kind as Activations
from resnet_serve.batch import model, rows
from resnet_serve.batch.failures import Failure, Kind
from resnet_serve.batch.local import Local
from resnet_serve.batch.on_ray import worker
from resnet_serve.batch.on_ray.worker import Options, Worker, heard
from resnet_serve.batch.run_file import ATTEMPTS
from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.triton.repository import Repository, changes


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy(tmp_path_factory.mktemp("batch") / "models")


def test_every_input_is_a_row_with_its_predictions_or_its_failure(
    tmp_path: Path, repository: Path
) -> None:
    folder = pictures(tmp_path / "images", 37, bad=True)
    job, parts = job_of(tmp_path / "out", folder)
    found = done(job, facts_of(repository), parts)
    assert [each["row"] for each in found] == list(range(37 + len(BAD)))
    assert {each["input"]: each["failure"] for each in found if each["failure"]} == BAD
    for each in found:
        bad = each["failure"] is not None
        assert bad == (each["error"] is not None) == (each["label"] is None)
        assert bad == (each["index"] is None) == (each["logit"] is None)
        if not bad:
            assert each["label"] == [LABELS[index] for index in each["index"]]
            assert len(each["label"]) == 5
            assert each["probability"] == sorted(each["probability"], reverse=True)
            assert 0 < sum(each["probability"]) <= 1.000001
            assert each["above_threshold"] == [None] * 5


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_predictions_are_those_of_the_model_alone(
    tmp_path: Path, repository: Path, target: str
) -> None:
    facts = replace(facts_of(repository), target=target)
    opened = model.Model(facts, 1)
    job, parts = job_of(tmp_path / "out", pictures(tmp_path / "images", 9))
    for each in done(job, facts, parts, top=3, batch_size=2):
        seed = int(Path(each["input"]).stem)
        element = opened.prepared(picture(seed))
        assert not isinstance(element, Failure)
        logits = opened.outputs([element])[0]
        order = np.argsort(-logits)[:3]
        assert each["index"] == order.tolist()
        assert np.allclose(each["logit"], logits[order], atol=1e-5)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert np.allclose(each["probability"], shares[order], atol=1e-6)


def test_sigmoid_outputs_have_decisions(tmp_path: Path, repository: Path) -> None:
    activation = Activation(Activations.SIGMOID, (0.5,))
    facts = replace(facts_of(repository), activation=activation)
    job, parts = job_of(tmp_path / "out", pictures(tmp_path / "images", 6))
    for top, every in ((None, False), (10, True)):
        for each in done(job, facts, parts, top=top):
            decided = [share >= 0.5 for share in each["probability"]]
            assert each["above_threshold"] == decided
            assert all(decided) or every
            assert (len(decided) == 10) == every


def test_features_are_vectors(tmp_path: Path, repository: Path) -> None:
    facts = facts_of(repository, "embed")
    folder = pictures(tmp_path / "images", 5, bad=True)
    job, parts = job_of(tmp_path / "out", folder, features=True)
    found = done(job, facts, parts)
    opened = model.Model(facts, 1)
    for each in found:
        if each["failure"]:
            assert each["features"] is None
            continue
        element = opened.prepared((folder / each["input"]).read_bytes())
        assert not isinstance(element, Failure)
        assert np.allclose(each["features"], opened.outputs([element])[0], atol=1e-5)
    assert {each["input"]: each["failure"] for each in found if each["failure"]} == BAD
    kind = pq.read_schema(Path(job.output) / "part-000000.parquet").field("features").type
    assert str(kind) == "list<element: float>"
    assert {len(each["features"]) for each in found if not each["failure"]} == {CHANNELS}


def test_a_part_says_what_it_is(tmp_path: Path, repository: Path) -> None:
    job, parts = job_of(tmp_path / "out", pictures(tmp_path / "images", 3, bad=True))
    done(job, facts_of(repository), parts)
    found = rows.written(Path(job.output) / parts[0].name)
    assert (found.rows, dict(found.failures)) == (8, dict.fromkeys(sorted(BAD.values()), 1))
    assert (found.about["model"], found.about["version"], found.about["part"]) == ("toy", "1", "0")
    assert found.cpu_seconds > 0
    assert found.seconds > 0


def test_a_part_that_is_done_twice_is_one_file(tmp_path: Path, repository: Path) -> None:
    job, parts = job_of(tmp_path / "out", pictures(tmp_path / "images", 20))
    first = done(job, facts_of(repository), parts)
    assert done(job, facts_of(repository), parts[::-1]) == first
    assert sorted(path.name for path in Path(job.output).glob("*.parquet")) == [
        "_inputs.parquet",
        *(part.name for part in parts),
    ]


def test_outputs_that_are_not_finite_are_failures(tmp_path: Path, repository: Path) -> None:
    local = Local(facts_of(repository), threads=1, batch_size=4, top=None)

    def prepared(data: bytes) -> Any:
        """One image that becomes NaN in a model that takes numbers as they come."""
        return np.full((32, 32, 3), 255, np.uint8) if data else Failure(Kind.EMPTY, "empty")

    local._model.outputs = lambda batch: np.full((len(batch), 10), np.nan, np.float32)  # type: ignore[method-assign]
    found = local.decoding(prepared).found([b"a", Failure(Kind.MISSING, "gone"), b"", b"b"])
    kinds = [each.kind for each in found if isinstance(each, Failure)]
    assert kinds == [Kind.OUTPUTS, Kind.MISSING, Kind.EMPTY, Kind.OUTPUTS]


def test_an_image_that_kills_the_worker_is_a_row_at_the_third_attempt(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "images", 3)
    (folder / "poison.png").write_bytes(poison.KILLS)
    job, parts = job_of(tmp_path / "out", folder)
    monkeypatch.setattr(model, "prepared", poison.by_kind)
    arguments = (job, facts_of(repository), Options(threads=1, batch_size=4, top=None))
    for attempt in (1, 2):
        if (child := os.fork()) == 0:
            Worker(*arguments).do(parts[0])
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0
        assert (Path(job.output) / ATTEMPTS / parts[0].name).read_text() == str(attempt)
        assert not (Path(job.output) / parts[0].name).exists()
    made = Worker(*arguments).do(parts[0])
    assert (made.attempt, dict(made.failures)) == (3, {"crashed": 1})
    assert not list((Path(job.output) / ATTEMPTS).iterdir())
    found = pq.read_table(job.output).to_pylist()
    assert [each["failure"] for each in found] == [None, None, None, "crashed"]


def test_errors_arrive_as_what_they_are(tmp_path: Path, repository: Path) -> None:
    job, parts = job_of(tmp_path / "out", pictures(tmp_path / "images", 3))
    facts = facts_of(repository)
    options = Options(threads=1, batch_size=4, top=None)
    batch = {"part": [json.dumps(asdict(parts[0]))]}

    wrong = replace(facts, sha256="0" * 64)
    with pytest.raises(InputFileError, match=r"has sha256 .*, its passport 000000000000…"):
        heard(Worker(job, wrong, options)(batch)["done"][0])
    gone = replace(facts, path=str(tmp_path / "nowhere"))
    with pytest.raises(InputFileError, match="every node must see the repository"):
        heard(Worker(job, gone, options)(batch)["done"][0])
    elsewhere = replace(job, output=str(tmp_path / "not shared"))
    with pytest.raises(HostError, match="every node of the cluster shares"):
        heard(Worker(elsewhere, facts, options)(batch)["done"][0])
    assert heard(Worker(job, facts, options)(batch)["done"][0]).rows == 3


def test_a_disk_that_is_full_fails_the_part(
    small_disk: Path, tmp_path: Path, repository: Path
) -> None:
    job, parts = job_of(small_disk / "out", pictures(tmp_path / "images", 16))
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free))
    with pytest.raises(HostError, match="Free some space"):
        done(job, facts_of(repository), parts)
    assert not list(Path(job.output).glob("part-*"))
    assert not list(Path(job.output).glob(".part-*"))


@pytest.mark.parametrize("file", ["model.onnx", "labels.txt", "config.pbtxt"])
def test_files_that_are_not_those_of_the_passport_are_refused(tmp_path: Path, file: str) -> None:
    repository = deploy(tmp_path / "models")
    path = repository / "toy" / "1" / file
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputFileError, match=r"toy version 1: .*has sha256"):
        facts_of(repository)


def test_models_that_only_a_server_runs_are_refused(tmp_path: Path, repository: Path) -> None:
    deployed = changes.find(Repository(repository).deployed(), "toy")
    on_gpu = replace(deployed, passport=replace(deployed.passport, target="tensorrt"))
    with pytest.raises(UsageError, match=r"which runs on a GPU\. Serve it, .* --url"):
        model.facts(on_gpu)
    maps = replace(deployed, passport=replace(deployed.passport, outputs={"c2": (64, 8, 8)}))
    with pytest.raises(UsageError, match="--head features"):
        model.facts(maps)


def test_the_attempt_counts_without_a_place_to_count(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert worker._begun(tmp_path / "file" / "part") == 1


def test_int8_on_a_host_without_vnni_is_said(tmp_path: Path, repository: Path) -> None:
    facts = facts_of(repository)
    assert facts.fast_int8 is None  # FP32
    job, parts = job_of(tmp_path / "out", pictures(tmp_path / "images", 2))
    options = Options(threads=1, batch_size=4, top=None)
    proved = {
        fast: Worker(job, replace(facts, fast_int8=fast), options).do(parts[0]).note
        for fast in (None, False, True)
    }
    assert (proved[None], proved[False]) == ("", "")
    assert ("has no VNNI or AMX" in proved[True]) == (not host.describe().fast_int8)
