"""Weights that have names: random, digits and imagenet."""

from __future__ import annotations

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from state_dicts import same
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import Architecture, build, catalog, find
from resnet_serve.datasets import pixel_batches
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.fashion_mnist import DEBIAN_FOLDER, SAMPLE_FOLDER, FashionMnist
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.weights import class_names

pytestmark = pytest.mark.usefixtures("one_thread")
RESNET20 = find("resnet20")
REQUIRED = {"architecture", "preprocessing", "labels", "training"}


# --- random -----------------------------------------------------------------------------------


def test_random_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    specs = ("random", "random:0", "random:1")
    one, again, other = (weights.load(spec, RESNET20) for spec in specs)
    assert same(dict(one.state), dict(again.state))
    assert one.sha256 == again.sha256 != other.sha256
    assert not torch.equal(one.state["conv1.weight"], other.state["conv1.weight"])
    assert one.source == "random:0 (untrained)"


def test_random_does_not_disturb_the_generator_of_the_caller() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    weights.load("random:9", RESNET20)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["random20", "random18"])
def test_random_is_untrained_and_its_batch_statistics_have_seen_images(
    name: str, request: pytest.FixtureRequest
) -> None:
    found: weights.Weights = request.getfixturevalue(name)
    assert not found.trained
    assert found.training == {}
    network = found.network()
    checked: list[str] = []

    def as_recorded(layer: str, norm: torch.nn.BatchNorm2d, x: Tensor) -> None:
        """What comes in has the mean and the variance that the layer says it has seen."""
        assert norm.running_mean is not None and norm.running_var is not None
        spread = x.std(dim=(0, 2, 3))
        off = (x.mean(dim=(0, 2, 3)) - norm.running_mean).abs() / spread
        assert off.median() < 0.2, layer
        assert 0.5 < (spread.square() / norm.running_var).median() < 2, layer
        checked.append(layer)

    for layer, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert not torch.equal(module.running_mean, torch.zeros_like(module.running_mean))
            module.register_forward_pre_hook(
                lambda norm, inputs, layer=layer: as_recorded(layer, norm, inputs[0])
            )
    side = found.architecture.image_size
    smooth = torch.randn(4, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(1))
    logits = network(torch.nn.functional.interpolate(smooth, size=(side, side), mode="bilinear"))
    assert len(checked) == found.architecture.convolutions
    assert torch.isfinite(logits).all()
    assert 0.01 < logits.std() < 100, "activations have collapsed or exploded"


def test_labels_decide_the_class_count_of_a_random_network() -> None:
    found = weights.load("random", RESNET20, labels=("a", "b"))
    assert (found.architecture.classes, found.labels) == (2, ("a", "b"))
    assert found.state["fc.bias"].shape == (2,)


def test_a_random_imagenet_network_has_the_labels_of_imagenet(random18: weights.Weights) -> None:
    assert random18.labels == class_names.built_in("imagenet1k")
    assert random18.preprocessing == Preprocessing()


@pytest.mark.parametrize("seed", ["x", "-1", "1.5", "0x3", "9" * 40, " "])
def test_a_seed_that_is_no_number_is_refused(seed: str) -> None:
    with pytest.raises(UsageError, match="must be a whole number"):
        weights.load(f"random:{seed}", RESNET20)


# --- digits -----------------------------------------------------------------------------------


def test_the_shipped_digits_network_is_as_accurate_as_its_record_says() -> None:
    found = weights.load("digits", RESNET20)
    held_out = Digits(held_out=True)
    pixels = torch.cat(
        [
            torch.from_numpy(found.preprocessing.normalize(batch))
            for batch in pixel_batches(held_out, found.preprocessing, 250)
        ]
    )
    network = found.network()
    decisions = torch.cat([network(part).argmax(1) for part in torch.split(pixels, 250)])
    accuracy = (decisions == torch.tensor(held_out.labels)).double().mean().item()
    assert accuracy >= 0.98
    assert accuracy == pytest.approx(found.training["held_out_accuracy"], abs=0.0021)
    assert found.training["trained_on"] == 1297
    assert (found.trained, found.source, found.labels) == (True, "digits", Digits.LABELS)


def test_the_shipped_digits_network_carries_its_record_and_is_small() -> None:
    path = Path(weights.__file__).parents[1] / "checkpoints" / "digits-resnet20.safetensors"
    assert path.stat().st_size < 1.2 * 2**20
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    assert set(metadata) >= REQUIRED
    assert "examples/train_digits.py" in json.loads(metadata["training"])["command"]


def test_digits_take_other_names_for_their_ten_classes_and_no_other_number() -> None:
    names = ("zero", *"123456789")
    assert weights.load("digits", RESNET20, labels=names).labels == names
    with pytest.raises(UsageError, match="2 labels for a network of 10 classes"):
        weights.load("digits", RESNET20, labels=("a", "b"))


def test_the_shipped_fashion_network_is_as_accurate_as_its_record_says() -> None:
    """On the sample here; where the host has the data set, on all of the 10,000 images."""
    found = weights.load("fashion-mnist", RESNET20)
    record = found.training
    assert (found.architecture.channels, found.preprocessing.channels) == (1, 1)
    assert (found.trained, found.source) == (True, "fashion-mnist")
    assert found.labels == FashionMnist.LABELS
    assert (record["trained_on"], record["held_out"]) == (60_000, 10_000)
    assert "examples/train_fashion_mnist.py" in record["command"]
    assert {"date", "seconds"} <= set(record)
    folder = DEBIAN_FOLDER if DEBIAN_FOLDER.is_dir() else SAMPLE_FOLDER
    held_out = FashionMnist(held_out=True, folder=folder)
    network = found.network()
    decisions = torch.cat(
        [
            network(torch.from_numpy(found.preprocessing.normalize(part[..., None]))).argmax(1)
            for part in np.array_split(held_out.greys, 200)
        ]
    )
    accuracy = (decisions.numpy() == held_out.labels).mean()
    # 200 images have a standard error of two points, 10,000 are those of the record.
    tolerance = 0.0002 if len(held_out) == record["held_out"] else 0.06
    assert accuracy == pytest.approx(record["held_out_accuracy"], abs=tolerance)
    assert record["held_out_accuracy"] > 0.92


def test_there_are_no_digits_of_another_architecture() -> None:
    with pytest.raises(UsageError, match=r"no digits checkpoint of resnet56.*resnet20"):
        weights.load("digits", find("resnet56"))


# --- imagenet ---------------------------------------------------------------------------------


def test_imagenet_weights_from_address_to_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with a file of ours in the place of the published one."""
    row18 = find("resnet18")
    site, cache = tmp_path / "site", tmp_path / "cache"
    site.mkdir()
    torch.manual_seed(0)
    torch.save(build(row18).state_dict(), site / "net.pth")
    content = (site / "net.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"resnet18-{digest[:8]}.pth"
    (site / "net.pth").rename(site / name)
    monkeypatch.setenv("TORCH_HOME", str(cache))
    monkeypatch.setenv("no_proxy", "*")
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        row = catalog.Published(
            "resnet18",
            "v1",
            name,
            round(len(content) / 2**20, 3),
            232,
            70.0,
            89.0,
            f"http://127.0.0.1:{server.server_port}/",
        )
        monkeypatch.setattr(catalog, "CATALOG", MappingProxyType({("resnet18", "v1"): row}))
        found = weights.load("imagenet", row18)
        server.shutdown()
    assert (cache / "hub" / "checkpoints" / name).read_bytes() == content
    assert found.source == "imagenet:v1"
    assert found.sha256 == digest
    assert found.preprocessing == Preprocessing(resize=232)
    assert found.training["published_top1"] == 70.0
    assert found.labels[0] == "tench"
    # the server has gone: the second time needs no network
    assert weights.load("imagenet:v1", row18).sha256 == digest


def test_labels_that_are_not_imagenet_s_are_refused_before_the_download() -> None:
    with pytest.raises(UsageError, match="3 labels for a network of 1000 classes"):
        weights.load("imagenet", find("resnet18"), labels=("a", "b", "c"))


def test_a_damaged_file_in_the_cache_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a download")
    text = refused_spec("imagenet", find("resnet18"))
    assert str(path) in text
    assert "f37072fd" in text


def refused_spec(spec: str, architecture: Architecture) -> str:
    with pytest.raises(InputFileError) as caught:
        weights.load(spec, architecture)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "spec"), [("resnet18", "imagenet"), ("resnet152", "imagenet"), ("resnet20", "digits")]
)
def test_the_default_weights(name: str, spec: str) -> None:
    assert weights.default_spec(find(name)) == spec


def test_an_architecture_without_default_weights_says_what_to_give() -> None:
    with pytest.raises(UsageError, match=r"no default weights for resnet56.*'random'"):
        weights.default_spec(find("resnet56"))
