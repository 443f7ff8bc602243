"""A composed model on the real server is compared with its members there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from quick import quicken

from resnet_convert.ensembles import compose
from resnet_convert.pipeline import convert
from resnet_serve.errors import ParityError
from resnet_serve.passport import ComposedPassport
from resnet_serve.triton.http_client import HttpClient
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.rollout import smoke, smoke_composed
from resnet_serve.triton.server import Server

pytestmark = pytest.mark.slow


def test_composed_models_are_the_average_of_their_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten crops and an ensemble; with other crops or members the outputs are not the average."""
    quicken(monkeypatch, cores=None)
    path = tmp_path / "models"
    network = {"arch": "resnet20", "repository": path}
    convert(**network, weights="digits", validation="digits", validation_images=16, name="digits")
    convert(**network, weights="random", labels=path / "digits/1/labels.txt", name="other")
    compose.ten_crop("digits", scales=(36,), repository=path)
    compose.ensemble("both", ["digits", "other"], repository=path)
    found = Repository(path).deployed()
    with Server(path, port=0) as server:
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
