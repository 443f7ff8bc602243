"""A composed model on the real server is compared with its members there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import command
from quick import quicken

from resnet_convert.ensembles import compose
from resnet_convert.pipeline import convert
from resnet_serve.errors import ParityError, UsageError
from resnet_serve.passport import ComposedPassport
from resnet_serve.triton.canary import seen
from resnet_serve.triton.canary.split import Split
from resnet_serve.triton.http_client import HttpClient
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.rollout import rollout, smoke, smoke_composed
from resnet_serve.triton.server import Running, Server, running

pytestmark = pytest.mark.slow
FEW: dict[str, Any] = {"validation": "digits", "validation_images": 16}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """A trained and a random network, both averaged, and ten crops; served detached."""
    folder = tmp_path_factory.mktemp("composed")
    path = folder / "models"
    network = {"arch": "resnet20", "repository": path}
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch, cores=None)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        convert(**network, weights="digits", name="digits", **FEW)
        convert(**network, weights="random", labels=path / "digits/1/labels.txt", name="other")
        compose.ten_crop("digits", scales=(36,), repository=path, **FEW)
        compose.ensemble("both", ["digits", "other"], repository=path, **FEW)
        started = Server(path, port=0, drain_s=0).start(detach=True)
        try:
            yield Repository(path)
        finally:
            started.stop()


@pytest.fixture
def server(repository: Repository) -> Running:
    found = running(repository.path)
    assert found is not None
    return found


def test_composed_models_are_the_average_of_their_members(
    repository: Repository, server: Running
) -> None:
    """Ten crops and an ensemble; with other crops or members the outputs are not the average."""
    found = repository.deployed()
    client = HttpClient(server.endpoints)
    for name in ("digits_tencrop", "both_image"):
        deployed = changes.find(found, name)
        names = {each: each for each in deployed.models}
        shown = smoke.test(client, deployed, names)
        assert shown.summary == "4 example images are its members' average"
    document = deployed.passport
    assert isinstance(document, ComposedPassport)
    files = smoke_composed.images(deployed, document)
    with pytest.raises(ParityError, match="not the average of its members"):
        smoke_composed.compare(client, deployed, document, {**names, "digits": "other"}, files)
    crops = changes.find(found, "digits_tencrop")
    wrong = crops.passport
    assert isinstance(wrong, ComposedPassport)
    assert wrong.crops is not None
    scaled = dataclasses.replace(wrong, crops=dataclasses.replace(wrong.crops, scales=(64,)))
    names = {each: each for each in crops.models}
    with pytest.raises(ParityError, match="not the average of its members"):
        smoke_composed.compare(client, crops, scaled, names, files)


def test_a_composition_gets_a_share_of_the_requests(
    repository: Repository, server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten crops at another scale, as a canary, which is then promoted."""
    client = HttpClient(server.endpoints)
    old = changes.find(repository.deployed(), "digits_tencrop")
    document = old.passport
    assert isinstance(document, ComposedPassport)
    data = np.array([smoke_composed.images(old, document)[0]], np.object_)

    def answers(count: int) -> list[bytes]:
        return [
            client.ask("digits_tencrop", data, ["probabilities"], timeout_s=60)[
                "probabilities"
            ].tobytes()
            for _ in range(count)
        ]

    (before,) = set(answers(2))
    words = ["ten-crop", "digits", "--scales", "44", "--canary", "50%"]
    words += ["--validation", "digits", "--validation-images", "16"]
    done = command(
        "resnet-convert", [*words, "--repository", str(repository.path)], capsys, Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    ends = "resnet-serve promote digits_tencrop or resnet-serve withdraw digits_tencrop"
    assert f"Canary: 50% of the requests. Next: {ends}" in done.stdout
    found = answers(20)
    assert found.count(before) == 10
    assert len(set(found)) == 2
    told = seen.read(seen.path(server.beside.parent, "digits_tencrop"), Split(1, 2, Fraction(1, 2)))
    assert told is None or told.errors == 0
    change = changes.promote(repository.deployed(), "digits_tencrop", 2)
    rollout.serve(server, repository, change, lambda _: None, drain_s=0)
    assert set(answers(4)) == set(found) - {before}


def test_a_canary_needs_a_served_version(repository: Repository) -> None:
    with pytest.raises(UsageError, match="no version of three_image is served") as refused:
        compose.ensemble("three", ["digits", "other"], repository=repository.path, canary="10%")
    assert "Leave out --canary" in str(refused.value)
