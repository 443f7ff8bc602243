"""The digits network, converted and served once for all tests of the client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from repositories import at, copied
from scripted_triton import Scripted, features_config, start
from served_digits import Pictures, deploy_means, edit

from resnet_client.extractor import Extractor
from resnet_serve.datasets.digits import HELD_OUT, Digits
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import image_repository
from resnet_serve.triton.server import Server

GEOMETRY = Preprocessing(resize=8, crop=(8, 8))
COLON_LABELS = "".join(f"digit: {index}:{index}\n" for index in range(10))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = tmp_path_factory.mktemp("digits")
    paths = Digits(held_out=True).export(folder, HELD_OUT)
    return Pictures(folder, tuple(paths), tuple(path.parent.name for path in paths))


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`resnet20`, trained on the digits, with its companions."""
    from quick import quicken

    from resnet_convert import convert

    repository = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch, cores=None)
        convert(
            arch="resnet20",
            weights="digits",
            precision="fp32",
            validation="digits",
            validation_images=16,
            repository=repository,
        )
    return repository


@pytest.fixture(scope="session")
def server(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`resnet20`, two more ensembles over it with other labels or none, and `means`."""
    repository = tmp_path_factory.mktemp("served") / "models"
    copied(converted, repository)
    for name in ("colons_image", "unlabelled_image"):
        shutil.copytree(at(repository, "resnet20_image"), image_repository.of(repository) / name)
        # The first mention is the ensemble's own name, the others are its steps.
        edit(
            at(repository, f"{name}/config.pbtxt"),
            lambda text, name=name: text.replace("resnet20_image", name, 1),
        )
    at(repository, "colons_image/labels.txt").write_text(COLON_LABELS)
    edit(
        at(repository, "unlabelled_image/config.pbtxt"),
        lambda text: text.replace('label_filename: "labels.txt"', ""),
    )
    deploy_means(repository)
    with Server(repository, port=0, drain_s=0) as running:
        yield running


@pytest.fixture
def url(server: Server) -> str:
    return server.grpc


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(features=features_config(2, GEOMETRY.to_json()))


@pytest.fixture
def extractor(scripted: Scripted) -> Iterator[Extractor]:
    server = start(scripted)
    with Extractor(server.url, "features") as made:
        yield made
    server.stop()
