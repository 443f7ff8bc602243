"""A network of one channel, from a checkpoint to what the server and the client see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

from resnet_client import contract
from resnet_convert.pipeline import convert
from resnet_serve import weights
from resnet_serve.architectures import build, find
from resnet_serve.checkpoints.reading import Reading
from resnet_serve.datasets.digits import Digits
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights.assumptions import Subject

GREY = find("resnet20").with_channels(1)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The digits network with the three planes of its stem added up: the same for grey images."""
    state = dict(weights.load("digits", find("resnet20")).state)
    state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    torch.save(state, tmp_path / "grey.pth")
    return tmp_path / "grey.pth"


def test_a_grey_network_is_converted_and_described_in_one_channel(
    checkpoint: Path, tmp_path: Path
) -> None:
    shipped = weights.load("digits", find("resnet20")).preprocessing
    assert len(set(shipped.mean)) == len(set(shipped.std)) == 1, "else no grey network is its equal"
    own = tmp_path / "own.json"
    own.write_text(f'{{"mean": [{shipped.mean[0]}], "std": [{shipped.std[0]}]}}')
    loaded = weights.load(str(checkpoint), None, reading=Reading(preprocessing=own))
    assert loaded.architecture == GREY
    conversion = convert(
        arch="auto",
        weights=str(checkpoint),
        preprocessing=own,
        repository=tmp_path / "repository",
        validation="digits",
        validation_images=32,
        name="grey",
    )
    assert conversion.measurements.decisions.reference_top1 > 90
    assert conversion.path is not None
    config = text_format.Parse(
        (tmp_path / "repository/grey/config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    assert list(config.input[0].dims) == [32, 32, 1]
    prepared = contract.read("grey", "1", config, "client").prepare(Digits(held_out=True).image(0))
    assert prepared.shape == (32, 32, 1)
    report = (conversion.path / "report.html").read_text(encoding="utf-8")
    assert "UINT8 [32, 32, 1], raw grey;" in report
    session = onnxruntime.InferenceSession(str(conversion.path / "model.onnx"))
    (logits,) = session.run(None, {"image": prepared[None]})
    assert logits.argmax() == Digits(held_out=True).labels[0]


def test_a_contest_is_held_in_one_channel_too(
    checkpoint: Path, tmp_path: Path, quick: None
) -> None:
    found = convert(
        arch="auto",
        weights=str(checkpoint),
        repository=tmp_path / "repository",
        target="auto",
        optimize="throughput",
        validation="digits",
        validation_images=16,
    ).autoselection
    assert found is not None
    assert found.winner.images_per_s


def test_how_grey_is_normalised_is_said_when_it_is_assumed(checkpoint: Path) -> None:
    found = weights.load(str(checkpoint), find("resnet20"))
    assert found.architecture == GREY
    assert found.preprocessing.channels == 1
    said = {each.subject: str(each) for each in found.assumptions}
    assert said[Subject.PREPROCESSING] == (
        "preprocessing assumed: both sides to 32 × 32, bilinear, mean 0.449 and std 0.226 "
        "(no table has grey images); state it with --preprocessing FILE"
    )


def test_channels_of_network_and_preprocessing_must_agree(checkpoint: Path) -> None:
    colour = checkpoint.with_name("colour.json")
    colour.write_text('{"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]}')
    with pytest.raises(InputFileError) as caught:
        weights.load(str(checkpoint), None, reading=Reading(preprocessing=colour))
    assert str(caught.value) == (
        f"{colour}: the network needs images of 1 channel, its preprocessing gives 3 channels. "
        "Give --preprocessing FILE with as many numbers in mean and std."
    )


def test_grey_pixels_are_pillow_s_luma() -> None:
    grey = Preprocessing((8, 6), (8, 6), mean=(0.5,), std=(0.25,))
    colours = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    pixels = grey.pixels(colours)
    assert pixels.shape == (8, 6, 1)
    assert np.array_equal(pixels[..., 0], np.asarray(Image.fromarray(colours).convert("L")))
    planes = grey.normalize(pixels[None])
    assert planes.shape == (1, 1, 8, 6)
    assert np.allclose(planes[0, 0], (pixels[..., 0] / 255 - 0.5) / 0.25, atol=1e-6)
    assert np.array_equal(grey.pixels(pixels[..., 0]), pixels), "a grey image stays as it is"


def test_mean_and_std_are_of_as_many_channels() -> None:
    assert build(GREY)(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    with pytest.raises(InputFileError, match="or 1 each for grey images"):
        Preprocessing(mean=(0.5,))
