"""Members for TensorRT in a composition, on a host without a GPU: emulated, and said to be.

`tests/contract/test_trt_ensembles_contract.py` has the members whose plans run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from repositories import at, copied

from resnet_convert import Conversion
from resnet_convert.ensembles import compose, members
from resnet_convert.ensembles.execution import execute
from resnet_convert.graph.emulate import emulated
from resnet_serve import durable, passport
from resnet_serve.errors import InputFileError, ParityError
from resnet_serve.passport import ComposedPassport, EngineState
from resnet_serve.runtimes import onnxruntime
from resnet_serve.triton import config
from resnet_serve.triton.repository import Repository
from resnet_serve.verification import host as verify

pytestmark = pytest.mark.usefixtures("quick")
GIVEN: dict[str, Any] = {"validation": "digits", "validation_images": 16}


@pytest.fixture(scope="module")
def converted(
    tmp_path_factory: pytest.TempPathFactory, convert_digits: Callable[..., Conversion]
) -> Path:
    """`digits` for a CPU; `gpu8`, with a plan to build; `by_server`, `cuda`: none of ours."""
    repository = tmp_path_factory.mktemp("members") / "models"
    convert_digits(repository, name="digits", validation_images=16)
    convert_digits(
        repository,
        "int8",
        name="gpu8",
        target="tensorrt",
        prepare_only=True,
        batch=("1:2:4",),
        max_queue=80,
        validation_images=16,
    )
    convert_digits(
        repository, "fp16", name="by_server", accelerator="tensorrt", validation_images=16
    )
    convert_digits(repository, "fp16", name="cuda", accelerator="cuda", validation_images=16)
    return repository


@pytest.fixture
def repository(converted: Path, tmp_path: Path) -> Path:
    """A copy to deploy to."""
    return copied(converted, tmp_path / "models")


def composed_passport(repository: Path, name: str) -> ComposedPassport:
    found = passport.read(at(repository, f"{name}/1/{passport.FILE_NAME}"))
    assert isinstance(found, ComposedPassport)
    return found


def test_what_runs_a_member_is_its_own_graph(converted: Path) -> None:
    found = members.open_members(Repository(converted), ["digits", "gpu8", "by_server", "cuda"])
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    runs = {member.name: execute(member, 1) for member in found}
    assert {name: each.runtime for name, each in runs.items()} == {
        "digits": "onnxruntime",
        "gpu8": "emulation",
        "by_server": "emulation",
        "cuda": "emulation",
    }
    assert runs["digits"].emulated is None
    assert runs["gpu8"].emulated == "its plan is not built yet"
    assert runs["by_server"].emulated == "the server builds its engine"
    assert runs["cuda"].emulated == "ONNX Runtime's CUDA provider serves it"
    outputs = {name: each.model.run(images) for name, each in runs.items()}
    for each in runs.values():
        each.model.close()
    with onnxruntime.load(
        emulated(ir.load(converted / "gpu8" / "1" / "model.onnx")), threads=1
    ) as own:
        np.testing.assert_array_equal(outputs["gpu8"], own.run(images))
    assert not np.array_equal(outputs["gpu8"], outputs["by_server"])


def test_an_ensemble_says_which_members_were_emulated(repository: Path) -> None:
    made = compose.ensemble("pair", ["digits", "gpu8"], repository=repository, **GIVEN)
    (warning,) = (each for each in made.warnings if "emulated" in each)
    assert "never ran here (gpu8: its plan is not built yet)" in warning
    stamp = composed_passport(repository, "pair")
    assert stamp.parity.runtime == "onnxruntime, emulation"
    assert stamp.target == "onnxruntime+tensorrt"
    assert [(each.engine, each.emulated) for each in stamp.members] == [
        (None, False),
        (EngineState.NOT_BUILT, True),
    ]
    assert warning in stamp.warnings
    assert stamp.contract.max_batch_size == 4
    average = config.parse((repository / "pair_average" / "config.pbtxt").read_text())
    assert average.backend == "onnxruntime"
    assert average.instance_group[0].kind == average.instance_group[0].KIND_CPU
    member = config.parse((repository / "gpu8" / "config.pbtxt").read_text())
    assert member.instance_group[0].kind == member.instance_group[0].KIND_GPU


def test_verify_asks_for_the_plans_of_members(repository: Path) -> None:
    compose.ten_crop("gpu8", scales=(36,), repository=repository, **GIVEN)
    stamp = composed_passport(repository, "gpu8_tencrop")
    assert [each.emulated for each in stamp.members] == [True]
    found = [each for each in Repository(repository).deployed() if each.name == "gpu8_tencrop"]
    report = verify.verify(found, verify.describe())
    (wrong,) = (each for each in report.checks if each.verdict != "ok")
    assert (wrong.subject, wrong.found) == ("plan of gpu8", "the plan is not built yet")
    assert wrong.remedy.endswith(f"resnet-convert build-plan {repository / 'gpu8' / '1'}")
    (repository / "gpu8" / "1" / passport.FILE_NAME).write_text("{}")
    report = verify.verify(found, verify.describe())
    assert [each.subject for each in report.checks if each.verdict == "damaged"] == ["members"]


def test_a_member_whose_graph_computes_something_else_is_refused(repository: Path) -> None:
    """The emulation judges the member's own file, not its passport."""
    folder = repository / "gpu8" / "1"
    model = ir.load(folder / "model.onnx")
    bias = next(each for each in model.graph.initializers.values() if each.name == "fc.bias")
    assert bias.const_value is not None
    values = bias.const_value.numpy().copy()
    values[0] += 20
    bias.const_value = ir.tensor(values, name=bias.name)
    ir.save(model, folder / "model.onnx")
    file = folder / passport.FILE_NAME
    data = json.loads(file.read_text())
    with pytest.raises(InputFileError, match="is missing, or not the file"):
        compose.ten_crop("gpu8", scales=(36,), repository=repository, **GIVEN)
    data["model"]["sha256"] = durable.sha256(folder / "model.onnx")
    file.write_text(json.dumps(data))
    with pytest.raises(ParityError, match="nothing was deployed"):
        compose.ten_crop("gpu8", scales=(36,), repository=repository, **GIVEN)
