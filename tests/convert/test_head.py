"""Features and pyramids from the reference to the server; classifiers have their own tests."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from repositories import at
from thin import shallow, thin
from trace_once import traced_this_run

from resnet_client import Classifier, Extractor, ModelError, UsageError
from resnet_client.errors import NoClassesError
from resnet_convert import convert
from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.trace import trace, verify
from resnet_convert.head import HEADS
from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_serve import listing
from resnet_serve.architectures import build, find, with_head
from resnet_serve.datasets.digits import Digits
from resnet_serve.errors import ParityError
from resnet_serve.errors import UsageError as Refused
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import openvino as openvino_runtime
from resnet_serve.triton import config
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Server
from resnet_serve.weights import Weights

IMAGES = 6
MAPS = {"c2": (16, 32, 32), "c3": (32, 16, 16), "c4": (64, 8, 8)}


@pytest.mark.parametrize("head", ["features", "pyramid"])
@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "plain20", "preact_resnet18", "resnet50d"]
)
def test_every_kind_is_traced_folded_and_named(name: str, head: str) -> None:
    torch.manual_seed(0)
    row = shallow(thin(find(name)))
    side = 64 if row.family == "ImageNet" else 32
    network = with_head(build(row).requires_grad_(False), head)
    found = traced_this_run(network, (3, side, side))
    expected = network(torch.zeros(1, 3, side, side))
    graph = onnx.load_from_string(serialize(found.model)).graph
    shapes = {
        each.name: [s.dim_param or s.dim_value for s in each.type.tensor_type.shape.dim]
        for each in graph.output
    }
    assert shapes == {key: ["batch", *each.shape[1:]] for key, each in expected.items()}
    assert not any("fc" in each.name for each in (*graph.node, *graph.initializer))
    assert "layer3.1.conv2" in {node.name for node in graph.node}
    fold(found.model)
    after = verify(found.reference, found.model, (3, side, side), stage="fold")
    assert set(after) == {1, 3}


@pytest.mark.parametrize("head", ["features", "pyramid"])
def test_autoselect_takes_the_fastest_that_keeps_every_output(
    tmp_path: Path, quick: None, head: str
) -> None:
    conversion = convert(
        arch="resnet20",
        weights="digits",
        head=head,
        target="auto",
        precision="auto",
        calibration="digits",
        calibration_images=32,
        validation="digits",
        validation_images=16,
        repository=tmp_path / "models",
    )
    found = conversion.autoselection
    assert found is not None
    assert found.winner.problem is None
    assert found.winner.agreement is None, "there is nothing to agree on"
    assert conversion.path is not None
    assert conversion.target.name == found.winner.entrant.target
    timed = [each for each in found.results if each.speedup is not None]
    assert len(timed) > 1
    said = [each.problem for each in found.results if each.problem is not None]
    assert all(f"of the {HEADS[head]}" in each or "instructions" in each for each in said)


def test_one_wrong_map_of_several_is_found() -> None:
    network = with_head(build(find("resnet20")).requires_grad_(False), "pyramid")
    found = trace(network, (3, 32, 32))
    network.layer2[2].conv2.weight[0] += 1  # of c3 and c4, not of c2
    changed = trace(network, (3, 32, 32)).reference
    with pytest.raises(ParityError):
        verify(changed, found.model, (3, 32, 32))


def test_every_output_of_a_typed_graph_is_fp32() -> None:
    network = with_head(build(find("resnet20")).requires_grad_(False), "pyramid")
    model = trace(network, (3, 32, 32)).model
    fold(model)
    halve(model)
    proto = onnx.load_from_string(serialize(model))
    onnx.checker.check_model(proto, full_check=True)
    assert [each.name for each in proto.graph.output] == list(MAPS)
    assert {each.type.tensor_type.elem_type for each in proto.graph.output} == {
        onnx.TensorProto.FLOAT
    }
    types = {each.data_type for each in proto.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in types


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"head": "neck"}, "unknown head 'neck'. Use classifier, features, pyramid."),
        ({"labels": Path("names.txt")}, "has no classes, and --labels needs them"),
        ({"budget_top1": 0.5}, "has no classes, and a budget needs them"),
        ({"budget_agreement": 99.0}, "has no classes, and a budget needs them"),
    ],
)
def test_what_needs_classes_is_refused(options: dict[str, Any], said: str) -> None:
    asked = {"head": "features", "precision": "int8", "calibration": "digits"} | options
    with pytest.raises(Refused) as caught:
        check(Request(arch="resnet20", **asked))
    assert said in str(caught.value)


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory, convert_digits: Callable[..., Any]
) -> Path:
    path = tmp_path_factory.mktemp("heads") / "models"
    made = {"validation_images": 16}
    convert_digits(path, name="digits", **made)
    convert_digits(path, name="features", head="features", **made)
    convert_digits(path, "int8", name="maps8", head="pyramid", calibration_method="auto", **made)
    convert_digits(path, name="maps", head="pyramid", target="openvino", max_batch_size=4, **made)
    return path


@pytest.fixture(scope="module")
def url(repository: Path) -> Iterator[str]:
    with Server(repository, port=0, drain_s=0) as server:
        yield server.grpc


def reference(digits: Weights, head: str) -> dict[str, NDArray[np.float32]]:
    """What PyTorch answers to the first held-out digits."""
    pixels = np.stack([digits.preprocessing.pixels(each) for each in pictures()])
    network = with_head(digits.network(), head)
    answers = network(torch.from_numpy(digits.preprocessing.normalize(pixels)))
    return {name: each.numpy() for name, each in answers.items()}


def pictures() -> list[Any]:
    images = Digits(held_out=True)
    return [images.image(index) for index in range(IMAGES)]


def encoded(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_configuration_says_what_is_answered_and_has_no_labels(repository: Path) -> None:
    for name in ("maps", "maps_image", "maps8"):
        written = config.parse(at(repository, f"{name}/config.pbtxt").read_text())
        assert {each.name: tuple(each.dims) for each in written.output} == MAPS
        assert not any(each.label_filename for each in written.output)
        assert not at(repository, f"{name}/labels.txt").exists()
    written = config.parse(at(repository, "features_image/config.pbtxt").read_text())
    assert dict(written.ensemble_scheduling.step[1].output_map) == {"features": "features"}


def test_the_passport_and_the_report_speak_of_no_decisions(repository: Path) -> None:
    data = json.loads((repository / "maps8/1/passport.json").read_text())
    assert (data["head"], data["classes"]) == ("pyramid", None)
    assert data["outputs"] == {name: list(dims) for name, dims in MAPS.items()}
    assert data["parity"]["decisions"] is None
    assert data["gate"]["passed"] is True
    assert [row["agreement"] for row in data["calibration_search"]] == [None] * len(
        data["calibration_search"]
    )
    chosen = next(row for row in data["calibration_search"] if row["chosen"])
    assert chosen["sqnr_db"] >= data["calibration_search"][0]["sqnr_db"]
    names = [check["name"] for check in data["gate"]["checks"]]
    assert "cosine of the maps, batch 8" in names
    assert not any("top-1" in name for name in names)
    page = (repository / "maps8/1/report.html").read_text()
    assert "Top-1" not in page
    assert "decisions" not in page.partition("<body>")[2].lower()
    found = listing.rows(Repository(repository).deployed())
    assert {row["model"]: (row["head"], row["agreement"]) for row in found} == {
        "digits": ("classifier", 1.0),
        "features": ("features", None),
        "maps": ("pyramid", None),
        "maps8": ("pyramid", None),
    }
    listing.table(Repository(repository).deployed())


def test_the_runtimes_answer_every_output(repository: Path, digits: Weights) -> None:
    file = repository / "maps8/1/model.onnx"
    pixels = np.stack([digits.preprocessing.pixels(each) for each in pictures()])
    with onnxruntime_runtime.load(file, threads=1) as one:
        theirs = one.run_all(pixels)
    with openvino_runtime.load(file, threads=1) as other:
        ours = other.run_all(pixels)
    assert list(ours) == list(theirs) == list(MAPS)
    for name, dims in MAPS.items():
        assert ours[name].shape == theirs[name].shape == (IMAGES, *dims)
        assert ours[name].dtype == np.float32


@pytest.mark.triton
@pytest.mark.parametrize("decode", ["client", "server"])
@pytest.mark.parametrize(("model", "head"), [("features", "features"), ("maps", "pyramid")])
def test_served_answers_equal_pytorch(
    url: str, digits: Weights, model: str, head: str, decode: Any
) -> None:
    expected = reference(digits, head)
    with Extractor(url, model, decode=decode) as extractor:
        found = extractor.extract([encoded(image) for image in pictures()])
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], values, atol=2e-5 * np.abs(values).max())


@pytest.mark.triton
def test_served_int8_maps_are_close(url: str, digits: Weights) -> None:
    with Extractor(url, "maps8") as extractor:
        found = extractor.extract(pictures())
    for name, values in reference(digits, "pyramid").items():
        noise = np.square(found[name] - values).sum() / np.square(values).sum()
        assert 0 < noise < 10**-2, name


@pytest.mark.triton
def test_each_client_says_which_is_the_other(url: str) -> None:
    with Classifier(url, "digits") as classifier:
        assert classifier.classify(pictures()[0])[0].label == str(Digits(held_out=True).labels[0])
    with (
        Classifier(url, "maps") as classifier,
        pytest.raises(NoClassesError, match=r"^model 'maps': has no classes: its outputs are c2"),
    ):
        classifier.classify(pictures()[0])
    with Extractor(url, "digits") as extractor:
        with pytest.raises(ModelError, match="is a classifier: its output is logits"):
            extractor.extract(pictures())
        with pytest.raises(UsageError, match="at least one"):
            extractor.extract([])


@pytest.mark.usefixtures("quick")
def test_features_that_differ_are_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnet_convert.parity import opening
    from resnet_serve.runtimes import open_on_cpu

    def spoiled(name: str, precision: str, data: bytes, threads: int) -> Any:
        model = onnx.load_from_string(data)
        weight = next(
            each for each in model.graph.initializer if each.name.endswith("conv2.weight")
        )
        weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * 1.5).tobytes()
        return open_on_cpu(name, precision, model.SerializeToString(), threads)

    monkeypatch.setattr(opening, "open_on_cpu", spoiled)
    with pytest.raises(ParityError, match="SQNR of the features, batch 8"):
        convert(
            arch="resnet20",
            weights="digits",
            head="features",
            validation="digits",
            validation_images=16,
            repository=tmp_path / "models",
        )
    assert not (tmp_path / "models" / "resnet20").exists()
