"""Deployments whose files all say which one they belong to, and what a repository shows of them."""

from __future__ import annotations

import os
from pathlib import Path

from passports import converted
from tritonclient.grpc import model_config_pb2

from resnet_serve import passport
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.repository import ModelFiles, Repository

NAMES = ("net", "net_preprocess", "net_image")


def deployment(mark: str, size: int = 100) -> list[ModelFiles]:
    """Three models, every file of which says which deployment it belongs to."""
    filler = b"." * size
    return [
        ModelFiles(
            "net",
            marked("net", mark),
            {"labels.txt": mark.encode()},
            {"model.onnx": mark.encode() + filler, passport.FILE_NAME: stamp(mark)},
        ),
        ModelFiles(
            "net_preprocess",
            marked("net_preprocess", mark),
            version_files={"p.json": mark.encode()},
        ),
        ModelFiles("net_image", marked("net_image", mark), {"labels.txt": mark.encode()}),
    ]


def marked(name: str, mark: str) -> str:
    """A configuration whose parameter `mark` is the mark; `net_image` has a step.

    The other two of `NAMES` than `net` take encoded images.
    """
    made = model_config_pb2.ModelConfig(name=name)
    made.parameters["mark"].string_value = mark
    if name in NAMES[1:]:
        made.input.add(name="image", data_type=config.ENCODED, dims=[1])
    if name == "net_image":
        made.ensemble_scheduling.step.add(model_name="net", model_version=config.NEWEST)
    return config.to_text(made)


def stamp(mark: str) -> bytes:
    """A passport whose architecture is the mark."""
    return converted(architecture=mark).to_bytes()


def tree(path: Path) -> dict[str, bytes | None]:
    """Every entry below a directory: the bytes of files, None for directories."""
    found: dict[str, bytes | None] = {}
    for folder, folders, files in os.walk(path):
        inner = os.path.relpath(folder, path)
        for name in (*folders, *files):
            where = os.path.normpath(os.path.join(inner, name))
            found[where] = _content(os.path.join(folder, name))
    return found


def _content(path: str) -> bytes | None:
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def mark_of(repository: Repository, name: str) -> str:
    """Which deployment a model is at; fails when its files are of different ones."""
    directory = repository.directory(name)
    shown = config.parse((directory / "config.pbtxt").read_text())
    mark = shown.parameters["mark"].string_value
    (version,) = shown.version_policy.specific.versions
    assert all(step.model_version == version for step in shown.ensemble_scheduling.step)
    newest = directory / str(version)
    own = config.parse((newest / "config.pbtxt").read_text())
    assert own.parameters["mark"].string_value == mark
    for file in (directory / "labels.txt", newest / "p.json", newest / "model.onnx"):
        if file.exists():
            assert file.read_bytes().rstrip(b".") == mark.encode(), file
    if name == "net":
        assert passport.read(newest / passport.FILE_NAME).architecture == mark
        assert (newest / "model.onnx").stat().st_size > 100
    return mark


def inside(repository: Repository) -> set[str]:
    """Every entry of the repository and of the one for encoded images."""
    both = (repository.path, image_repository.of(repository.path))
    return {name for each in both if each.exists() for name in os.listdir(each)}


def in_one(repository: Repository) -> None:
    """Put all models into the first repository, as an earlier resnet-serve did."""
    second = image_repository.of(repository.path)
    for model in sorted(second.iterdir()):
        model.rename(repository.path / model.name)
    second.rmdir()


def beside(repository: Repository) -> set[str]:
    """What else is in the folder that the two repositories are in."""
    both = (repository.path, image_repository.of(repository.path))
    return {entry.name for entry in repository.path.parent.iterdir()} - {each.name for each in both}
