"""What a backend refuses to load: files that are not the passport's, and links that lead out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import versioned
from repositories import at

from resnet_serve import durable
from resnet_serve.triton.backends import integrity
from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.supervision import servable

FILES = {"net": "model.onnx", "net_preprocess": "preprocessing.json"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = Repository(tmp_path / "models")
    versioned.deploy(made)
    return made.path


def load(repository: Path, model: str = "net", file: str = "", **config: Any) -> None:
    """What a backend does before it opens its file."""
    directory = at(repository, f"{model}/1")
    path = directory / (file or FILES[model])
    integrity.check({"name": model, **config}, directory, path)


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("model", FILES)
def test_what_was_deployed_is_loaded(repository: Path, model: str) -> None:
    load(repository, model)


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("net", "model.onnx"),
        ("net", "config.pbtxt"),
        ("net", "labels.txt"),
        ("net_preprocess", "preprocessing.json"),
        ("net_preprocess", "config.pbtxt"),
    ],
)
def test_a_changed_file_is_refused(repository: Path, model: str, file: str) -> None:
    path = at(repository, f"{model}/1/{file}")
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ContractError) as refused:
        load(repository, model)
    said = str(refused.value)
    assert f"model '{model}': {path} has sha256 " in said
    assert "resnet-serve verify --host" in said
    assert "\n" not in said


def test_a_file_that_the_passport_names_must_be_there(repository: Path) -> None:
    (repository / "net/1/labels.txt").unlink()
    with pytest.raises(ContractError, match=r"labels\.txt cannot be read \(no such file"):
        load(repository)


@pytest.mark.parametrize("file", ["other.onnx", "../2/model.onnx"])
def test_a_file_that_the_passport_does_not_name_is_refused(repository: Path, file: str) -> None:
    path = repository / "net/1" / file
    path.parent.mkdir(exist_ok=True)
    shutil.copy(repository / "net/1/model.onnx", path)
    with pytest.raises(ContractError, match="is not among the files of its passport"):
        load(repository, file=file)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": 3}', '{"name": "net"', "\0"])
def test_a_damaged_passport_is_refused(repository: Path, text: str) -> None:
    (repository / "net/1/passport.json").write_text(text)
    with pytest.raises(ContractError, match="is not a passport"):
        load(repository)


def test_versions_without_hashes_are_loaded(repository: Path) -> None:
    stamp = repository / "net/1/passport.json"
    for model, file in FILES.items():
        path = at(repository, f"{model}/1/{file}")
        path.write_bytes(path.read_bytes() + b"\n")
    rewritten(stamp, lambda document: document.pop("files"))
    load(repository)
    load(repository, "net_preprocess")
    stamp.unlink()
    load(repository)
    load(repository, "net_preprocess")


def test_a_model_of_another_name_is_none_of_the_passport_s(repository: Path) -> None:
    rewritten(repository / "net/1/passport.json", lambda each: each["files"].pop("net_preprocess"))
    path = at(repository, "net_preprocess/1/preprocessing.json")
    path.write_bytes(path.read_bytes() + b"\n")
    load(repository, "net_preprocess")


@pytest.mark.parametrize("wrong", [False, True])
def test_a_copy_under_another_name_is_checked(repository: Path, wrong: bool) -> None:
    shutil.copytree(repository / "net", repository / "copied")
    if not wrong:
        load(repository, "copied", "model.onnx")
        return
    (repository / "copied/1/model.onnx").write_bytes(versioned.model(1, wrong=2))
    with pytest.raises(ContractError, match="sha256"):
        load(repository, "copied", "model.onnx")


@pytest.mark.parametrize("right", [True, False])
def test_a_plan_that_was_built_later_is_checked(repository: Path, right: bool) -> None:
    plan = repository / "net/1/model.plan"
    plan.write_bytes(b"plan")
    sha256 = durable.sha256(plan if right else b"another")
    rewritten(
        repository / "net/1/passport.json",
        lambda each: each.update(engine={"plan_sha256": sha256}),
    )
    if right:
        load(repository, file="model.plan")
        return
    with pytest.raises(ContractError, match="sha256"):
        load(repository, file="model.plan")


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("what", ["file", "version", "model", "labels", "absolute", "relative"])
def test_nothing_outside_the_repository_is_loaded(
    repository: Path, tmp_path: Path, what: str, stamped: bool
) -> None:
    if not stamped:
        (repository / "net/1/passport.json").unlink()
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    file, config = "", {}
    moved = {"file": "net/1/model.onnx", "version": "net/1", "model": "net"}
    if what in moved:
        inside = repository / moved[what]
        there = outside / inside.name
        inside.rename(there)
        inside.symlink_to(there)
    elif what == "labels":
        (outside / "labels.txt").write_text("a\nb\nc\n")
        config = {"output": [{"name": "y", "label_filename": "../../elsewhere/labels.txt"}]}
    else:
        shutil.copy(repository / "net/1/model.onnx", outside / "model.onnx")
        there = outside / "model.onnx"
        file = str(there) if what == "absolute" else "../../../elsewhere/model.onnx"
    with pytest.raises(ContractError, match="leads out of the model repository, to /"):
        load(repository, file=file, **config)


def test_links_inside_the_repository_are_followed(repository: Path) -> None:
    (repository / "net/1/model.onnx").rename(repository / "kept.onnx")
    (repository / "net/1/model.onnx").symlink_to("../../kept.onnx")
    load(repository)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_version_beside_the_served_one_is_checked_too(
    repository: Path, tmp_path: Path, wrong: bool
) -> None:
    """Its folder, as `rollout` makes it, links into the server's repository."""
    beside = servable.beside(tmp_path / "scratch")
    model = beside / "net.beside-1"
    model.mkdir(parents=True)
    servable.repository(tmp_path / "scratch").symlink_to(repository)
    (model / "1").symlink_to((repository / "net/1").resolve())
    (model / "labels.txt").write_text("a\n")
    labelled = {"output": [{"name": "y", "label_filename": "labels.txt"}]}
    if not wrong:
        load(beside, "net.beside-1", "model.onnx", **labelled)
        return
    (repository / "net/1/model.onnx").write_bytes(versioned.model(1, wrong=2))
    with pytest.raises(ContractError, match=str(repository / "net/1/model.onnx")):
        load(beside, "net.beside-1", "model.onnx", **labelled)
