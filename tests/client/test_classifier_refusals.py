"""A classifier that is used wrongly, and a server that is absent, slow, or comes back."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE_S
from ports import three_ports
from repositories import at
from served_digits import Pictures, edit, logits, only

from resnet_client import (
    Classifier,
    ClientError,
    DeadlineError,
    UnavailableError,
    UsageError,
)
from resnet_serve.triton.server import Server

pytestmark = pytest.mark.triton


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"url": "http://127.0.0.1:8001"}, "is not an address. Give host:port"),
        ({"url": "127.0.0.1"}, "is not an address"),
        ({"url": "127.0.0.1:99999"}, "is not an address"),
        ({"decode": "gpu"}, "decode is 'client' or 'server'"),
        ({"timeout_s": 0}, "timeout_s of 0 s is not possible"),
        ({"timeout_s": float("nan")}, "timeout_s of nan s"),
        ({"timeout_s": "30"}, "timeout_s is a number of seconds, not '30'"),
        ({"timeout_s": None}, "timeout_s is a number of seconds, not None"),
        ({"version": "latest"}, "a version is a number"),
        ({"version": 1}, "a version is a text such as '1', or '' for the latest, not 1"),
        ({"version": None}, "or '' for the latest, not None"),
        ({"model": None}, "model is a text, not None"),
        ({"model": ""}, "model is a text, not ''"),
        ({"url": None}, "None is not an address"),
        ({"url": 8001}, "8001 is not an address"),
        ({"decode": None}, "decode is 'client' or 'server', not None"),
        ({"tls": "yes"}, "tls is True, False or a Tls, not 'yes'"),
        ({"headers": {"a b": "c"}}, "'a b' is not the name of a header"),
        ({"headers": {"a": 1}}, "the header 'a' is text"),
        ({"keep_alive_s": -1}, "keep_alive_s of -1 s is not possible"),
    ],
)
def test_impossible_options_are_refused_at_once(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        Classifier(**options)
    assert caught.value.exit_code == 2


def test_impossible_arguments_are_refused(url: str, pictures: Pictures) -> None:
    path = pictures.paths[0]
    with Classifier(url, "resnet20") as classifier:
        with pytest.raises(UsageError, match="top must be at least 1"):
            classifier.classify(path, top=0)
        for wrong in ("5", 5.0, True, [5]):
            with pytest.raises(UsageError, match="top is a whole number, not"):
                classifier.classify(path, top=wrong)  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="top is a whole number, not"):
                classifier.classify_many([path], top=wrong)  # type: ignore[arg-type]
            with pytest.raises(UsageError, match="batch_size is a whole number, not"):
                classifier.classify_many([path], batch_size=wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="concurrency must be at least 1"):
            classifier.classify_many([path], concurrency=0)
        with pytest.raises(UsageError, match="a batch of 9: 'resnet20' accepts 1 to 8 images"):
            classifier.classify_many([path], batch_size=9)
        with pytest.raises(UsageError, match="needs several images"):
            classifier.classify_many(str(path))


def test_nothing_listens(pictures: Pictures) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with (
            Classifier(address, "resnet20", timeout_s=0.5) as classifier,
            pytest.raises(UnavailableError) as caught,
        ):
            classifier.classify(pictures.paths[0])
    assert str(caught.value) == f"no server answers at {address}. Start it with: resnet-serve up"
    assert caught.value.exit_code == 4


def test_the_port_of_another_protocol(server: Server, pictures: Pictures) -> None:
    with (
        Classifier(server.http, "resnet20", timeout_s=1) as classifier,
        pytest.raises(UnavailableError, match=r"does not speak gRPC, or .*gRPC port is 8001"),
    ):
        classifier.classify(pictures.paths[0])


def test_the_deadline_holds(url: str, pictures: Pictures) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with (
            Classifier(address, "resnet20", timeout_s=0.3) as classifier,
            pytest.raises(DeadlineError, match=f"no response from {address} within 0.3 s"),
        ):
            classifier.classify(pictures.paths[0])
        assert 0.25 < time.monotonic() - started < PATIENCE_S
    with (
        Classifier(url, "resnet20", timeout_s=1e-6) as classifier,
        pytest.raises(DeadlineError) as caught,
    ):
        classifier.classify(pictures.paths[0])
    assert caught.value.exit_code == 4


def test_closed_means_closed(url: str, pictures: Pictures) -> None:
    with Classifier(url, "resnet20") as classifier:
        assert classifier.classify(pictures.paths[0])
    with pytest.raises(ClientError, match="this Classifier is closed"):
        classifier.classify(pictures.paths[0])
    with pytest.raises(ClientError, match="this Classifier is closed"):
        list(classifier.classify_many(pictures.paths[:3]))
    classifier.close()


def of_version_two(text: str) -> str:
    """A configuration that serves version 2, whose ensemble has steps of version 2."""
    return text.replace("versions: 1", "versions: 2").replace(
        "model_version: 1", "model_version: 2"
    )


def test_a_server_that_returns_with_a_new_version(
    converted: Path, pictures: Pictures, tmp_path: Path
) -> None:
    repository = only(converted, tmp_path / "models", "resnet20")
    path = pictures.paths[0]
    port = three_ports()
    with Server(repository, port=port) as server:
        address = server.grpc
        classifier = Classifier(address, "resnet20", timeout_s=PATIENCE_S)
        before = logits(classifier.classify(path, top=10))
    with (
        Classifier(address, "resnet20", timeout_s=0.5) as impatient,
        pytest.raises(UnavailableError, match="no server answers"),
    ):
        impatient.classify(path)

    for name in ("resnet20", "resnet20_preprocess", "resnet20_image"):
        shutil.copytree(at(repository, f"{name}/1"), at(repository, f"{name}/2"))
        edit(at(repository, f"{name}/config.pbtxt"), of_version_two)
    (repository / "resnet20/2/passport.json").unlink()  # it would refuse the edited files
    edit(repository / "resnet20/config.pbtxt", lambda text: text.replace("bilinear", "nearest"))
    stored = at(repository, "resnet20_preprocess/2/preprocessing.json")
    edit(stored, lambda text: text.replace("bilinear", "nearest"))
    with Server(repository, port=port) as server:
        assert server.grpc == address
        after = logits(classifier.classify(path, top=10))
        many = list(classifier.classify_many(pictures.paths[:12], top=10))
        with Classifier(address, "resnet20", decode="server") as other:
            expected = logits(other.classify(path, top=10))
    classifier.close()
    assert np.abs(after - before).max() > 0.01
    assert np.abs(after - expected).max() < 1e-3
    assert np.abs(logits(many[0].predictions) - expected).max() < 1e-3
