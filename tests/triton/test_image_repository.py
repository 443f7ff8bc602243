"""Which server loads which models: one without our `image` backend loads the first repository."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton
import versioned
from deployments import in_one
from patience import PATIENCE_S, until
from toy_repository import deploy_toy

from resnet_serve.errors import UsageError
from resnet_serve.triton import image_repository, installation
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.supervision.endpoints import claim_ports
from resnet_serve.verification import files, served
from resnet_serve.verification.reference import recorded

OURS = ("image", "canary")  # backends that no other Triton has


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with a passport and examples."""
    made = Repository(tmp_path_factory.mktemp("deployed") / "models")
    versioned.deploy(made)
    return made.path


def test_the_models_that_take_encoded_images_are_apart(repository: Path) -> None:
    second = image_repository.of(repository)
    assert second == repository.with_name("models.images")
    assert os.listdir(repository) == ["net"]
    assert sorted(os.listdir(second)) == ["net_image", "net_preprocess"]
    assert image_repository.first(second) == repository
    assert image_repository.first(repository) == repository
    names = [each.name for each in image_repository.directories(repository)]
    assert names == ["net", "net_image", "net_preprocess"]


def test_a_model_is_where_it_is_or_would_be(tmp_path: Path) -> None:
    first, second = tmp_path / "models", tmp_path / "models.images"
    (first / "old_image").mkdir(parents=True)
    for model, place in (("net", first), ("net_image", second), ("old_image", first)):
        assert image_repository.directory(first, model) == place / model
    (second / "old_image").mkdir(parents=True)
    assert image_repository.directory(first, "old_image") == second / "old_image"


def test_a_folder_with_such_a_name_alone_is_an_ordinary_repository(tmp_path: Path) -> None:
    (tmp_path / "my.images").mkdir()
    assert image_repository.first(tmp_path / "my.images") == tmp_path / "my.images"


def test_behind_a_link_it_is_beside_the_real_directory(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository)
    assert image_repository.of(tmp_path / "link") == image_repository.of(repository)


class Stock:
    """The wheel's tritonserver, started by hand with the backends that NVIDIA's has by name."""

    def __init__(self, folder: Path, repository: Path) -> None:
        found = installation.find()
        backends = installation.build_backends(found, folder / "backends")
        for name in OURS:
            shutil.rmtree(backends / name)
        _, (http, grpc, metrics) = claim_ports("127.0.0.1", 0)
        self.grpc = f"127.0.0.1:{grpc}"
        self.log = folder / "log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [
                    str(found.binary),
                    f"--model-repository={repository}",
                    f"--backend-directory={backends}",
                    f"--backend-config=python,shm-region-prefix-name=stock_{os.getpid()}_",
                    *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
                    "--exit-timeout-secs=1",
                ],
                env=found.environment(),
                cwd=folder,
                stdout=output,
                stderr=output,
            )

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with triton.InferenceServerClient(self.grpc) as client:
            try:
                return bool(client.is_server_ready(client_timeout=1))
            except triton.InferenceServerException:
                return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def stock(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    server = Stock(tmp_path_factory.mktemp("stock"), repository)
    try:
        assert until(server.ready), server.log.read_text()
        yield server
    finally:
        server.stop()


@pytest.mark.triton
def test_a_triton_without_our_backends_loads_it_and_answers(repository: Path, stock: Stock) -> None:
    with triton.InferenceServerClient(stock.grpc) as client:
        loaded = client.get_model_repository_index(as_json=True)["models"]
    assert [(each["name"], each["state"]) for each in loaded] == [("net", "READY")]
    (deployed,) = Repository(repository).deployed()
    with contextlib.closing(GrpcClient(stock.grpc)) as ours:
        rows = {row.subject: row for row in served.rows(deployed, ours, recorded(deployed))}
    assert {row.verdict for row in rows.values()} == {"ok"}
    assert {"net: decisions", "net: labels", "configuration of net"} <= set(rows)
    said = "the server has no net_image and no net_preprocess: it was asked with pixels only"
    assert rows["encoded images"].found == said


def test_a_copy_of_the_first_repository_is_whole_without_the_second(
    repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository, tmp_path / "models")
    copied = Repository(tmp_path / "models")
    (deployed,) = copied.deployed()
    assert deployed.models == ("net",)
    rows = list(files.rows(deployed))
    assert [(row.subject, row.verdict) for row in rows] == [
        ("encoded images", "ok"),
        ("files", "ok"),
        ("served copy", "ok"),
    ]
    assert "net_image and net_preprocess were not copied" in rows[0].found
    copied.serve(changes.promote([deployed], "net", 1).models)
    assert os.listdir(tmp_path) == ["models"]


def test_a_version_without_its_image_models_does_not_follow_one_with_them(
    repository: Path, tmp_path: Path
) -> None:
    """`net_image` would go on asking version 2 of `net`, which is not served."""
    shutil.copytree(repository, tmp_path / "models")
    copied = Repository(tmp_path / "models")
    versioned.deploy(copied)
    with pytest.raises(UsageError, match=r"net_image/1 is not there.* Copy it") as refused:
        changes.rollback(copied.deployed(), "net")
    assert "net version 1 was deployed with net_image" in str(refused.value)
    for name in ("net_image", "net_preprocess"):
        origin = image_repository.directory(repository, name)
        shutil.copytree(origin / "1", copied.directory(name) / "1")
    copied.serve(changes.rollback(copied.deployed(), "net").models)
    assert [each.version for each in copied.deployed() if each.served] == [1]


@pytest.mark.triton
def test_one_with_all_models_in_one_place_ends_it(tmp_path: Path) -> None:
    """As an earlier resnet-serve deployed them; to serve a version again moves them apart."""
    path = deploy_toy(tmp_path / "models")
    in_one(Repository(path))
    server = Stock(tmp_path, path)
    try:
        assert server.process.wait(PATIENCE_S) != 0
    finally:
        server.stop()
    assert "unable to find backend library for backend 'image'" in server.log.read_text()
    Repository(path).serve(dict.fromkeys(("toy", "toy_preprocess", "toy_image"), 1))
    assert os.listdir(path) == ["toy"]
