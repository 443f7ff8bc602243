"""`resnet-serve verify` of composed models and of any head, through a server with mutual TLS."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import certificates
import numpy as np
import pytest
from quick import quicken
from serve_command import serve

from resnet_convert.ensembles import compose
from resnet_convert.pipeline import convert
from resnet_serve.datasets.digits import Digits
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.transport import Tls
from resnet_serve.verification.reference import computed, recorded

pytestmark = [pytest.mark.slow, pytest.mark.triton]
OWN = """
import torch
from torch import nn

def net():
    torch.manual_seed(5)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30 * 30, 10))
"""
Verify = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repository, certificates, and a network of the user's own."""
    made = tmp_path_factory.mktemp("verified")
    certificates.make(made)
    (made / "own.py").write_text(OWN)
    Digits(held_out=True).export(made / "images", 10)
    path = made / "model_repository"
    few: dict[str, Any] = {"validation": "digits", "validation_images": 16, "repository": path}
    digits: dict[str, Any] = {"arch": "resnet20", "weights": "digits", **few}
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        patch.chdir(made)
        convert(**digits, name="digits")
        convert(**digits, name="planes", input="float32")
        convert(**digits, name="vectors", head="features")
        convert(**digits, name="labels", activation="sigmoid", threshold=0.5)
        prepared = image_repository.directory(path, "digits_preprocess")
        kept = prepared / "1/preprocessing.json"
        labels = path / "digits/1/labels.txt"
        convert(module="own.py:net", name="own", preprocessing=kept, labels=labels, repository=path)
        compose.ensemble("pair", ["digits", "planes"], **few)
        compose.ten_crop("digits", scales=(36,), **few)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    tls = Tls(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        started = Server(folder / "model_repository", port=0, drain_s=0, tls=tls).start(detach=True)
        try:
            yield started
        finally:
            started.stop()


def remote(server: Server) -> tuple[object, ...]:
    """The options of a client at another host."""
    address = f"localhost:{server.grpc.rpartition(':')[2]}"
    files = ("--tls-ca", "authority.pem", "--tls-cert", "client.pem", "--tls-key", "client.key")
    return ("--url", address, *files)


@pytest.fixture
def verify(folder: Path) -> Verify:
    """Verdict and finding by subject, of a verification with this exit code."""

    def run(*words: object, code: int = 0) -> dict[str, tuple[str, str]]:
        done = serve(folder, "verify", *words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return {
            row["subject"]: (row["verdict"], row["found"])
            for row in json.loads(done.stdout)["checks"]
        }

    return run


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("pair_image", {"pixels of digits", "pixels of planes", "member digits", "member planes"}),
        ("digits_tencrop", {"pixels", "member digits"}),
    ],
)
def test_a_composed_model_is_its_members_average(
    name: str, pixels: set[str], server: Server, verify: Verify, folder: Path
) -> None:
    """With the recorded average, and with that of PyTorch for other images."""
    found = verify(name, *remote(server))
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    decided = {f"{name}: {what}" for what in ("decisions", "labels", "logits")}
    assert pixels | decided <= set(found)
    deployed = changes.find(Repository(folder / "model_repository").deployed(), name)
    kept = recorded(deployed)
    (folder / name).mkdir()
    for number, data in enumerate(kept.images):
        (folder / name / f"{number}.png").write_bytes(data)
    again = computed(deployed, str(folder / name)).expected["probabilities"]
    np.testing.assert_allclose(again, kept.expected["probabilities"], atol=1e-6)
    found = verify(name, "--images", "images")
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert "decisions agree" in found[f"{name}: decisions"][1]


def replaced(text: str, by: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        before = path.read_text()
        assert text in before
        path.write_text(before.replace(text, by))

    return edit


def step_of(member: str, other: str) -> Callable[[Any], None]:
    def edit(made: Any) -> None:
        (step,) = (each for each in made.ensemble_scheduling.step if each.model_name == member)
        step.model_name = other

    return edit


@pytest.mark.parametrize(
    ("edited", "edit", "subject", "said"),
    [
        pytest.param(
            "pair_image/labels.txt",
            replaced("0\n1\n", "1\n0\n"),
            "pair_image: labels",
            "class 0 is called '1', the version's label is '0'",
            id="labels",
        ),
        pytest.param(
            "pair_image/config.pbtxt",
            step_of("digits", "own"),
            "configuration of pair_image",
            "own 1",
            id="another member",
        ),
        pytest.param(
            "digits_preprocess/1/preprocessing.json",
            replaced('"resize": [32, 32]', '"resize": [40, 40]'),
            "pixels of digits",
            "4 of 4 images differ",
            id="preprocessing of a member",
        ),
    ],
)
def test_what_was_changed_is_found(
    edited: str,
    edit: Callable[[Any], object],
    subject: str,
    said: str,
    server: Server,
    folder: Path,
    verify: Verify,
) -> None:
    """The server has loaded it, as one does that checks no hash; the files are as they were."""
    model, _, file = edited.partition("/")
    path = image_repository.directory(folder / "model_repository", model) / file
    admin, before = Admin(server.endpoints), path.read_text()
    stamps = [*folder.glob("model_repository*/*/1/passport.json")]
    try:
        if path.name == "config.pbtxt":
            made = config.parse(before)
            edit(made)
            path.write_text(config.to_text(made))
        else:
            edit(path)
        for stamp in stamps:
            stamp.rename(stamp.with_suffix(".away"))
        admin.load(model)
    finally:
        for stamp in stamps:
            stamp.with_suffix(".away").rename(stamp)
        path.write_text(before)
    found = verify("pair_image", code=3)
    assert found[subject][0] == "differs"
    assert said in found[subject][1]
    if subject != "pair_image: labels":
        assert "differs" in {v for name, (v, _) in found.items() if name.startswith("pair_image:")}
    admin.load(model)
    assert {verdict for verdict, _ in verify("pair_image").values()} == {"ok"}


def test_changed_members_are_found(server: Server, folder: Path, verify: Verify) -> None:
    """Files of a member, and a member that is served at another version."""
    root = folder / "model_repository"
    labels = root / "planes/1/labels.txt"
    before = labels.read_text()
    labels.write_text(f"{before}more\n")
    try:
        found = verify("pair_image", code=3)
    finally:
        labels.write_text(before)
    assert found["member planes: planes/labels.txt"][0] == "damaged"
    made = root / "planes/config.pbtxt"
    before = made.read_text()
    shutil.copytree(root / "planes/1", root / "planes/2")
    made.write_text(before.replace("versions: 1", "versions: 2"))
    try:
        found = verify("pair_image", code=3)
    finally:
        made.write_text(before)
        shutil.rmtree(root / "planes/2")
    assert found["member planes"] == ("differs", "version 1 is not served")


@pytest.mark.parametrize(
    ("name", "words", "subject"),
    [
        ("vectors", ("--images", "images"), "vectors_image: cosine of the features, batch 1"),
        ("labels", ("--images", "images"), "labels_image: worst label"),
        ("own", ("--images", "images", "--module", "own.py:net"), "own_image: labels"),
    ],
)
def test_other_images_for_any_head(
    name: str, words: tuple[str, ...], subject: str, server: Server, verify: Verify
) -> None:
    """Features, a sigmoid's labels, and a network of the user's own, by PyTorch again."""
    found = verify(name, *words)
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert subject in found


def test_code_runs_only_where_it_is_named(server: Server, folder: Path, verify: Verify) -> None:
    refused = serve(folder, "verify", "own", "--images", "images")
    assert refused.returncode == 2
    assert "Give --module own.py:net, or leave out --images" in refused.stderr
    refused = serve(folder, "verify", "own", "--images", "images", "--module", "os:abort")
    assert refused.returncode == 2
    assert "own.py:net" in refused.stderr
    assert {verdict for verdict, _ in verify("own").values()} == {"ok"}


def test_a_server_with_tls_needs_the_options(server: Server, folder: Path) -> None:
    url, files = remote(server)[:2], remote(server)[2:]
    refused = serve(folder, "verify", "digits", *url)
    assert refused.returncode == 4
    assert "--tls" in refused.stderr, "of either address of localhost"
    refused = serve(folder, "verify", "digits", *url, *files[:2])
    assert refused.returncode == 4
    assert "--tls-cert and --tls-key" in refused.stderr, "of either address of localhost"
    assert serve(folder, "verify", "digits", *url, *files).returncode == 0
    for words, code, said in (
        ((*files[:4],), 2, "Give --tls-cert and --tls-key"),
        (("--tls-ca", "own.py"), 5, "is not a PEM file"),
        (("--tls-ca", "nothing.pem"), 5, "cannot be read"),
        (("--host", *files), 2, "Leave out --tls-ca and --tls-cert and --tls-key"),
        (("--module", "own.py:net"), 2, "Leave out --module"),
    ):
        refused = serve(folder, "verify", "digits", *words)
        assert (refused.returncode, refused.stderr.count("\n")) == (code, 1), refused.stderr
        assert said in refused.stderr
