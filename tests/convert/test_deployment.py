"""What is deployed is served: the real tritonserver loads it and names the digit."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from repositories import at

from resnet_convert.conversion import Conversion
from resnet_convert.deployment import PREPROCESSING_FILE, REPORT_FILE, result, stamp
from resnet_serve import passport
from resnet_serve.datasets.digits import Digits
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.queue_bound import bound_of
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.server import Server
from resnet_serve.verification import served as verified
from resnet_serve.verification.files import Row
from resnet_serve.verification.reference import recorded
from resnet_serve.weights import Weights

Conversions = Callable[..., Conversion]
PATCH = """
dynamic_batching { priority_levels: 2 default_priority_level: 2 }
instance_group { rate_limiter { resources { name: "R1" count: 4 } } }
response_cache { enable: true }
"""


@pytest.mark.parametrize("taken", ["uint8", "float32"])
def test_three_models_that_fit_together(conversions: Conversions, taken: str) -> None:
    found = conversions("fp32", taken)
    repository = Path(found.request.repository)
    parsed = {
        model.name: config.parse((model / "config.pbtxt").read_text())
        for model in image_repository.directories(repository)
    }
    assert {name: message.name for name, message in parsed.items()} == {n: n for n in parsed}
    steps = [s.model_name for s in parsed["resnet20_image"].ensemble_scheduling.step]
    assert steps == ["resnet20_preprocess", "resnet20"]
    (pixels,), (image,) = parsed["resnet20_preprocess"].output, parsed["resnet20"].input
    assert (pixels.data_type, pixels.dims) == (image.data_type, image.dims)
    assert all(at(repository, f"{name}/1").is_dir() for name in parsed)


def test_files_beside_the_model(conversions: Conversions, digits: Weights) -> None:
    found = conversions("fp32")
    repository = Path(found.request.repository)
    names = {path.name for path in found.path.iterdir()}
    kept = {"model.onnx", LABELS_FILE, "config.pbtxt", "examples.npz"}
    assert names == {*kept, passport.FILE_NAME, REPORT_FILE}
    files = passport.read(found.path / passport.FILE_NAME).files
    assert files is not None
    assert {model: set(each) for model, each in files.items()} == {
        "resnet20": kept,
        "resnet20_preprocess": {"config.pbtxt", PREPROCESSING_FILE},
        "resnet20_image": {"config.pbtxt", LABELS_FILE, "ensemble.txt"},
    }
    for name in ("resnet20", "resnet20_image"):
        labels = at(repository, f"{name}/labels.txt").read_text().splitlines()
        assert labels == [str(digit) for digit in range(10)]
    stored = at(repository, f"resnet20_preprocess/1/{PREPROCESSING_FILE}").read_text()
    assert Preprocessing.from_json(stored) == digits.preprocessing
    parts = image_repository.directories(repository)
    code = [file for each in parts for file in each.rglob("*.py")]
    assert not code, "a repository is data, never code"


def test_the_result_is_the_passport_and_the_place(conversions: Conversions) -> None:
    found = conversions("int8")
    stored = passport.read(found.path / passport.FILE_NAME).to_json()
    answer = json.loads(json.dumps(result(found)))
    assert (answer["version"], answer["path"]) == (1, str(found.path))
    for key in stamp(found).facts():
        if key not in ("stages",):  # the passport is written before the last stage ends
            assert answer[key] == stored[key], key


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory, convert_digits: Callable[..., Conversion]
) -> Path:
    path = tmp_path_factory.mktemp("served") / "models"
    convert_digits(path, name="fp32", validation_images=16)
    patch = path.with_name("patch.pbtxt")
    patch.write_text(PATCH)
    convert_digits(path, "int8", name="int8", validation_images=16, config_patch=str(patch))
    convert_digits(path, name="planes", validation_images=16, input="float32", max_batch_size=1)
    return path


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Server]:
    with Server(repository, port=0, drain_s=0) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    connection = triton.InferenceServerClient(server.grpc)
    yield connection
    connection.close()


@pytest.mark.triton
def test_a_patch_is_in_the_passport_and_served(
    repository: Path, server: Server, client: triton.InferenceServerClient
) -> None:
    document = passport.read(repository / "int8/1" / passport.FILE_NAME)
    assert isinstance(document, passport.ConvertedPassport)
    assert document.config_patch is not None
    assert config.parse(document.config_patch) == config.parse(PATCH)
    assert f"--config-patch {repository.with_name('patch.pbtxt')}" in document.command
    running = client.get_model_config("int8").config
    assert running.dynamic_batching.priority_levels == 2
    assert running.instance_group[0].rate_limiter.resources[0].name == "R1"
    assert running.response_cache.enable
    assert configuration_row(repository, server).verdict == "ok"

    own = repository / "int8/1/config.pbtxt"
    before = own.read_text()
    own.write_text(before.replace("default_priority_level: 2", "default_priority_level: 1"))
    row = configuration_row(repository, server)
    own.write_text(before)
    said = "dynamic_batching.default_priority_level 2, the version's own 1"
    assert (row.verdict, row.found) == ("differs", said)


def configuration_row(repository: Path, server: Server) -> Row:
    """What `verify` says of the configuration that is served."""
    found = changes.find(Repository(repository).deployed(), "int8")
    with contextlib.closing(GrpcClient(server.grpc)) as ours:
        rows = verified.rows(found, ours, recorded(found))
    return next(row for row in rows if row.subject == "configuration of int8")


def png(index: int) -> bytes:
    buffer = io.BytesIO()
    Digits(held_out=True).image(index).save(buffer, "PNG")
    return buffer.getvalue()


def asked(
    client: triton.InferenceServerClient, name: str, tensor: Any, kind: str, **options: Any
) -> Any:
    given = triton.InferInput("image", list(tensor.shape), kind)
    given.set_data_from_numpy(tensor)
    wanted = triton.InferRequestedOutput("logits", **options)
    return client.infer(name, [given], outputs=[wanted]).as_numpy("logits")


@pytest.mark.triton
@pytest.mark.parametrize("name", ["fp32", "int8", "planes"])
def test_image_bytes_in_the_right_digit_out(
    client: triton.InferenceServerClient, name: str
) -> None:
    truth = Digits(held_out=True).labels
    for index in range(6):
        encoded = np.array([[png(index)]], dtype=np.object_)
        best = asked(client, f"{name}_image", encoded, "BYTES", class_count=3)
        score, number, label = best[0][0].decode().split(":")
        assert (int(number), label) == (truth[index], str(truth[index])), name
        assert float(score) > 0


@pytest.mark.triton
def test_the_server_answers_what_was_proved(
    client: triton.InferenceServerClient, digits: Weights
) -> None:
    images = Digits(held_out=True)
    pixels = np.stack([digits.preprocessing.pixels(images.image(i)) for i in range(5)])
    served = asked(client, "fp32", pixels, "UINT8")
    planes = asked(client, "planes", digits.preprocessing.normalize(pixels[:1]), "FP32")
    integers = asked(client, "int8", pixels, "UINT8")
    np.testing.assert_allclose(planes, served[:1], atol=1e-4)
    assert (integers.argmax(1) == served.argmax(1)).all()
    assert (served.argmax(1) == images.labels[:5]).all()


@pytest.mark.triton
def test_the_server_runs_the_configuration_that_was_deployed(
    repository: Path, client: triton.InferenceServerClient
) -> None:
    for name in ("fp32", "int8", "planes"):
        running = client.get_model_config(name).config
        written = config.parse((repository / name / "config.pbtxt").read_text())
        assert running.instance_group[0].count == written.instance_group[0].count
        assert running.max_batch_size == written.max_batch_size
        assert dict(running.parameters) == dict(written.parameters)
        assert bound_of(running) == bound_of(written)
        assert bound_of(running).requests > 0
        assert not running.dynamic_batching.HasField("default_queue_policy")
        before = client.get_model_config(f"{name}_preprocess").config
        assert 0 < bound_of(before).requests <= bound_of(running).requests
