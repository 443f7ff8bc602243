"""The Node client against the real server, and as npm packs it."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import certificates
import pytest
import triton_proto
from grpc import StatusCode
from node_client import CLIENT, PACKAGE, install, pack, run
from scripted_triton import Reluctant, start
from served_digits import Pictures
from source_tree import ROOT
from tiny_repository import fill

from resnet_client import Classifier
from resnet_serve import __version__
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.transport import Tls

SCRIPT = Path(__file__).parent / "node" / "classify.js"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return pack(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    return install(pytestconfig)


def test_the_package_holds_what_it_needs_and_nothing_else(packed: tuple[Path, list[str]]) -> None:
    _, files = packed
    assert files == [
        "LICENSE",
        "README.md",
        "index.d.ts",
        "index.js",
        "lib/classifier.js",
        "lib/connection.js",
        "lib/errors.js",
        "lib/predictions.js",
        "package.json",
        "proto/LICENSE",
        "proto/grpc_service.proto",
        "proto/model_config.proto",
    ]
    assert PACKAGE["version"] == __version__
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("name", triton_proto.FILES)
def test_the_protocol_is_that_of_tritonclient(name: str) -> None:
    committed = (CLIENT / "proto" / name).read_text()
    assert committed == triton_proto.written(name), "run python tests/support/triton_proto.py"


def test_the_types_declare_what_the_package_exports(installed: Path) -> None:
    code = "console.log(JSON.stringify(Object.keys(require('resnet-client'))))"
    done = run(["node", "-e", code], installed)
    declared = (CLIENT / "index.d.ts").read_text()
    names = json.loads(done.stdout)
    assert len(names) == 8
    assert sorted(names) == sorted(
        line.split()[2] for line in declared.splitlines() if line.startswith("export class ")
    )


@pytest.mark.triton
def test_the_server_may_want_a_client_certificate(installed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for folder in (tmp_path, other):
        certificates.make(folder)
    shown = Tls(*(tmp_path / name for name in ("server.pem", "server.key", "authority.pem")))
    script = shutil.copy(SCRIPT.with_name("certificates.js"), installed)
    with Server(fill(tmp_path / "models"), port=0, drain_s=0, tls=shown) as server:
        url = server.grpc
        done = run(["node", script, url, tmp_path, other], installed)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "none": f"the server at {url} requires a client certificate. "
        "Give tls: { key, certificate }.",
        "other": f"the server at {url} does not accept this client's certificate. "
        "Give one that its authority signed, with tls: { key, certificate }.",
        "own": f"the server at {url} serves no model mean_image "
        "(Request for unknown model: 'mean_image' is not found). It serves no classifier.",
    }


@pytest.mark.triton
def test_it_gives_what_the_python_client_gives(
    installed: Path, url: str, pictures: Pictures
) -> None:
    paths = [str(path) for path in pictures.paths[:20]]
    with Classifier(url, "resnet20", decode="server") as classifier:
        expected = classifier.classify(paths[0], top=10)
        labels = [classifier.classify(path, top=1)[0].label for path in paths]
    script = shutil.copy(SCRIPT, installed)
    reluctant, slow, leaving = Reluctant(), Reluctant(), Reluctant()
    leaving.refusals, leaving.code, leaving.ending = 10_000, StatusCode.NOT_FOUND, True
    # The last of three attempts begins too late for its refusal; the one before is what is said.
    slow.refusals, slow.message, slow.refused_after_s = 10_000, "Exceeds maximum queue size", 0.7
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        absent = f"127.0.0.1:{bound.getsockname()[1]}"
        reluctant.refusals, reluctant.message = 10_000, "Exceeds maximum queue size"
        scripted = [start(each) for each in (reluctant, slow, leaving)]
        full, slower, _ = others = [each.url for each in scripted]
        done = run(["node", script, url, absent, *others, *paths], installed)
        for each in scripted:
            each.stop()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["one"] == found["bytes"] == found["buffer"]
    assert [(each["label"], each["index"]) for each in found["one"]] == [
        (each.label, each.index) for each in expected
    ]
    for theirs, ours in zip(found["one"], expected, strict=True):
        assert theirs["logit"] == pytest.approx(ours.logit, abs=1e-6)
        assert theirs["probability"] == pytest.approx(ours.probability, abs=1e-9)
    assert found["standard"] == 5

    *good, no_image, missing = found["many"]
    assert [(each["image"], each["label"]) for each in good] == list(
        zip(paths, labels, strict=True)
    )
    assert "BadImageError" in no_image["error"]
    assert "not an image" in no_image["error"]
    assert missing["error"] == "BadImageError: /no/such.png: cannot read (ENOENT)"
    assert found["counts"] == list(range(1, 23))
    named, own = found["ids"][:22], found["ids"][22:]
    assert named == [f"batch-{number}" for number in range(1, 23)], "as the server has them"
    assert len({each.partition("-")[0] for each in own}) == 1
    assert len(set(own)) == 2

    kinds = {name: error["kind"] for name, error in found["refused"].items()}
    assert kinds == {
        "top": "UsageError",
        "several": "UsageError",
        "model": "UsageError",
        "version": "UsageError",
        "url": "UsageError",
        "timeout": "UsageError",
        "unknown": "ModelError",
        "option": "UsageError",
        "topp": "UsageError",
        "nothing": "BadImageError",
        "bad": "BadImageError",
        "absent": "UnavailableError",
        "full": "UnavailableError",
        "slow": "UnavailableError",
        "ending": "UnavailableError",
        "id": "UsageError",
        "number": "UsageError",
        "late": "DeadlineError",
        "plain": "UnavailableError",
        "web": "UnavailableError",
        "closed": "ClientError",
    }
    assert all(error["ours"] for error in found["refused"].values())
    assert leaving.calls > 3, "a server that ends has unloaded its models"
    assert "accepts no requests now: Server not ready" in found["refused"]["ending"]["message"]
    assert found["refused"]["absent"]["message"] == f"no server answers at {absent}"
    assert found["refused"]["unknown"]["message"].endswith("It serves means, resnet20.")
    assert "has no option timeout, but timeoutMs" in found["refused"]["option"]["message"]
    assert "image: null is not an image" in found["refused"]["nothing"]["message"]
    assert "does not speak TLS. Connect without" in found["refused"]["plain"]["message"]
    assert "does not speak gRPC, or speaks it only over TLS" in found["refused"]["web"]["message"]
    for name, address in (("full", full), ("slow", slower)):
        assert found["refused"][name]["message"] == (
            f"the server at {address} accepts no requests now: Exceeds maximum queue size. "
            "Its queue is full: send less at once, or allow a longer timeout."
        )
