"""`resnet-serve verify NAME`: what was changed on the way from image files to labels is found."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import versioned
from patience import PATIENCE_S
from repositories import at, copied
from serve_command import environment, serve

from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton import config
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.server import Server
from resnet_serve.verification import served
from resnet_serve.verification.files import Row
from resnet_serve.verification.reference import recorded
from resnet_serve.verification.watch import Watch

pytestmark = pytest.mark.slow
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Repository(tmp_path_factory.mktemp("original") / "models")
    versioned.deploy(made)
    return made.path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verified")


@pytest.fixture(scope="module")
def server(original: Path, folder: Path) -> Iterator[Server]:
    copied(original, folder / "models")
    with Server(folder / "models", port=0, drain_s=1) as started:
        yield started


def restored(original: Path, server: Server, edit: Edit, *reloaded: str) -> Path:
    """The repository as it was deployed, changed by `edit`, and these models loaded of it.

    They are loaded without their passport, as native backends do, which know of none.
    """
    path = server.repository
    for name in versioned.NAMES:
        shutil.copytree(at(original, name), at(path, name), dirs_exist_ok=True)
    edit(path)
    stamp = path / "net/1/passport.json"
    stamp.rename(stamp.with_suffix(".away"))
    admin = Admin(server.endpoints)
    for name in reloaded:
        admin.load(name)
    stamp.with_suffix(".away").rename(stamp)
    return path


def compared(path: Path, server: Server) -> list[Row]:
    deployed = changes.find(Repository(path).deployed(), "net")
    with contextlib.closing(GrpcClient(server.grpc)) as client:
        return list(served.rows(deployed, client, recorded(deployed)))


def test_what_was_deployed_is_served(original: Path, server: Server, folder: Path) -> None:
    path = restored(original, server, lambda _: None)
    found = compared(path, server)
    assert {row.verdict for row in found} == {"ok"}
    subjects = {row.subject for row in found}
    assert {"pixels", "net: labels", "net_image: labels", "configuration of net"} <= subjects
    assert "net_image: decisions" in subjects
    words = ("verify", "net", "--url", server.grpc, "--repository", path)
    done = serve(folder, *words)
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(serve(folder, *words, "--json").stdout)["checks"]
    assert {row["verdict"] for row in listed} == {"ok"}
    assert {"files", "served copy"} <= {row["subject"] for row in listed}


def replaced(file: str, text: str, by: str) -> Edit:
    def edit(path: Path) -> None:
        found = at(path, file).read_text()
        assert text in found
        at(path, file).write_text(found.replace(text, by))

    return edit


def openvino(path: Path) -> None:
    """The same model in another backend, which would not take the warm-up of this one."""
    made = config.parse(path.read_text())
    made.backend = "openvino"
    made.ClearField("model_warmup")
    made.ClearField("parameters")
    made.parameters["ENABLE_BATCH_PADDING"].string_value = "YES"
    path.write_text(config.to_text(made))


@pytest.mark.parametrize(
    ("edit", "reloaded", "subject", "said"),
    [
        pytest.param(
            replaced("net_preprocess/1/preprocessing.json", "0.25", "0.2"),
            ("net_preprocess",),
            "pixels",
            "3 of 3 images differ",
            id="preprocessing",
        ),
        pytest.param(
            replaced("net_preprocess/1/preprocessing.json", '"resize": 8', '"resize": 9'),
            ("net_preprocess",),
            "pixels",
            "3 of 3 images differ",
            id="resize",
        ),
        pytest.param(
            replaced("net_image/labels.txt", "version 1\ncolour 1", "colour 1\nversion 1"),
            ("net_image",),
            "net_image: labels",
            "class 0 is called 'colour 1', the version's label is 'version 1'",
            id="labels",
        ),
        pytest.param(
            lambda path: openvino(path / "net/config.pbtxt"),
            ("net",),
            "configuration of net",
            "backend 'openvino', the version's own 'onnxruntime'",
            id="backend",
        ),
        pytest.param(
            replaced("net/config.pbtxt", 'string_value: "1"', 'string_value: "2"'),
            ("net",),
            "configuration of net",
            "parameter intra_op_thread_count '2', the version's own '1'",
            id="configuration",
        ),
        pytest.param(
            lambda path: (path / "net/1/model.onnx").write_bytes(versioned.model(1, wrong=2)),
            ("net",),
            "net: cosine of the logits, batch 1",
            "allowed",
            id="model",
        ),
    ],
)
def test_what_was_changed_is_found(
    edit: Edit,
    reloaded: tuple[str, ...],
    subject: str,
    said: str,
    original: Path,
    server: Server,
    folder: Path,
) -> None:
    path = restored(original, server, edit, *reloaded)
    try:
        wrong = {row.subject: row.found for row in compared(path, server) if row.verdict != "ok"}
        assert said in wrong[subject]
        done = serve(folder, "verify", "net", "--url", server.grpc, "--repository", path)
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
    finally:
        restored(original, server, lambda _: None, *reloaded)


@pytest.mark.parametrize(
    ("model", "file"), [("net", "model.onnx"), ("net_preprocess", "preprocessing.json")]
)
def test_the_server_loads_no_file_that_was_changed(
    model: str, file: str, original: Path, server: Server
) -> None:
    path = restored(original, server, lambda _: None)
    changed = at(path, f"{model}/1/{file}")
    changed.write_bytes(changed.read_bytes() + b" ")
    admin = Admin(server.endpoints)
    with pytest.raises(HostError) as refused:
        admin.load(model)
    assert f"{changed} has sha256" in str(refused.value)
    assert "resnet-serve verify --host" in str(refused.value)
    assert model in admin.models(), "what was loaded before is served on"
    restored(original, server, lambda _: None, model)


def test_a_handshake_that_fails_is_said_in_one_line(original: Path, server: Server) -> None:
    """In a process of its own, whose gRPC writes to the same stderr."""
    words = ["verify", "net", "--url", server.grpc, "--tls", "--repository", str(original)]
    done = subprocess.run(
        [sys.executable, "-m", "resnet_serve.cli", *words],
        env=environment(original.parent),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert f"net is not served: the server at {server.grpc} does not speak TLS" in done.stderr


def test_where_neither_side_has_the_image_models(
    original: Path, server: Server, tmp_path: Path
) -> None:
    """The repository was copied without its second part, and served like that."""
    path = tmp_path / "models"
    shutil.copytree(original, path)
    with Server(path, port=0, drain_s=1) as without:
        found = compared(path, without)
    assert {row.verdict for row in found} == {"ok"}
    assert "the server has no net_preprocess and no net_image: it was asked with pixels only" in [
        row.found for row in found if row.subject == "encoded images"
    ]
    assert "net: decisions" in {row.subject for row in found}
    restored(original, server, lambda _: None)
    found = compared(path, server)
    assert {row.verdict for row in found} == {"ok"}
    assert "net_image: decisions" in {row.subject for row in found}, "this server has them"


def test_an_image_model_that_was_unloaded_is_named_and_the_rest_compared(
    original: Path, server: Server, folder: Path
) -> None:
    path = restored(original, server, lambda _: None)
    Admin(server.endpoints).unload("net_image")
    try:
        found = {row.subject: row for row in compared(path, server)}
        done = serve(folder, "verify", "net", "--url", server.grpc, "--repository", path)
        again = Watch(
            lambda: changes.find(Repository(path).deployed(), "net"),
            lambda: GrpcClient(server.grpc),
            recorded,
        ).round()
    finally:
        restored(original, server, lambda _: None, "net_image")
    said = found.pop("encoded images")
    assert said.verdict == "unknown"
    assert said.found == (
        "the server has no net_image: outputs and labels for image files were not compared"
    )
    assert "has unloaded net_image" in said.remedy
    assert {row.verdict for row in found.values()} == {"ok"}
    assert {"pixels", "net: decisions", "configuration of net_preprocess"} <= found.keys()
    assert not {"net_image: decisions", "configuration of net_image"} & found.keys()
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 unknown" in done.stdout
    assert again.outcome == "ok"
    assert again.said == f"encoded images: {said.found}", "no round is ok without a word of it"


def test_what_cannot_be_compared_is_refused(original: Path, folder: Path) -> None:
    deployed = changes.find(Repository(original).deployed(), "net")
    with contextlib.closing(GrpcClient("127.0.0.1:9")) as client, pytest.raises(HostError):
        served.rows(deployed, client, recorded(deployed))
    for words, code, said in (
        ((), 2, "--host"),
        (("net",), 2, f"resnet-serve up --repository {original} --detach"),
        (("nett", "--url", "127.0.0.1:9"), 2, "There is net"),
        (("--host", "--url", "127.0.0.1:9"), 2, "Leave out"),
        (("net", "--url", "127.0.0.1:9"), 4, "127.0.0.1:9"),
    ):
        refused = serve(folder, "verify", *words, "--repository", original)
        assert refused.returncode == code, refused.stderr
        assert said in refused.stderr


def test_a_version_without_examples_needs_images(original: Path, tmp_path: Path) -> None:
    copied(original, tmp_path / "models")
    (tmp_path / "models" / "net" / "1" / "examples.npz").unlink()
    deployed = changes.find(Repository(tmp_path / "models").deployed(), "net")
    with pytest.raises(UsageError, match="keeps no example images") as refused:
        recorded(deployed)
    assert "--images" in str(refused.value)
