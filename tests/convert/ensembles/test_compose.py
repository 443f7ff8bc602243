"""Ensembles and ten-crop models: proved, deployed, and served by the real Triton as PyTorch."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc as triton
from numpy.typing import NDArray
from PIL import Image
from quick import quicken
from repositories import at, copied

from resnet_client import Classifier
from resnet_convert import Conversion, convert
from resnet_convert.ensembles import compose, members
from resnet_serve import composed, durable, listing, passport, weights
from resnet_serve.architectures import find
from resnet_serve.crops import TenCrop
from resnet_serve.datasets.digits import Digits
from resnet_serve.errors import InputFileError, ParityError, UsageError
from resnet_serve.passport import ComposedPassport, CropFacts
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.queue_bound import bound_of
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Server
from resnet_serve.verification import host as verify

pytestmark = pytest.mark.usefixtures("quick")
SCALES = (36, 40)
IMAGES = 6
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def converted(
    tmp_path_factory: pytest.TempPathFactory, convert_digits: Callable[..., Conversion]
) -> Path:
    """`digits`, `digits8` (INT8), `noise` (random, normalised input), `other` (other classes)."""
    folder = tmp_path_factory.mktemp("members")
    repository, labels = folder / "models", folder / "labels.txt"
    labels.write_text("".join(f"{digit}\n" for digit in range(10)))
    convert_digits(repository, name="digits", validation_images=16, max_queue=80)
    convert_digits(repository, "int8", name="digits8", validation_images=16, max_queue=80)
    with one_core():
        convert(
            arch="resnet20",
            weights="random:3",
            repository=repository,
            name="noise",
            labels=labels,
            input="float32",
            max_queue=19,
        )
    shutil.copytree(repository / "noise", repository / "other")
    (repository / "other" / "labels.txt").write_text("class 0\n" + labels.read_text()[2:])
    return repository


@contextmanager
def one_core() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        yield


@pytest.fixture
def repository(converted: Path, tmp_path: Path) -> Path:
    """A copy to deploy to."""
    return copied(converted, tmp_path / "models")


@pytest.fixture(scope="module")
def served(
    converted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, triton.InferenceServerClient, str]]:
    path = tmp_path_factory.mktemp("composed") / "models"
    copied(converted, path, ignore=shutil.ignore_patterns("other"))
    given: dict[str, Any] = {
        "repository": path,
        "validation": "digits",
        "validation_images": 16,
    }
    with one_core():
        compose.ensemble("pair", ["digits", "digits8"], **given)
        compose.ensemble("mixed", ["digits", "noise", "digits8"], **given)
        compose.ten_crop("digits", scales=SCALES, **given)
    with (
        Server(path, port=0, drain_s=0) as server,
        triton.InferenceServerClient(server.grpc) as client,
    ):
        yield path, client, server.grpc


def pictures() -> list[Image.Image]:
    return [Digits(held_out=True).image(index) for index in range(IMAGES)]


def encoded() -> NDArray[Any]:
    files = []
    for picture in pictures():
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append([file.getvalue()])
    return np.array(files, dtype=np.object_)


def pytorch(source: str, pixels: NDArray[np.uint8]) -> torch.Tensor:
    """The probabilities of the reference for UINT8 [N,32,32,3]."""
    loaded = weights.load(source, find("resnet20"))
    with torch.inference_mode():
        planes = torch.from_numpy(loaded.preprocessing.normalize(pixels))
        return torch.softmax(loaded.network()(planes), 1)


def pixels_of(source: str) -> NDArray[np.uint8]:
    preprocessing = weights.load(source, find("resnet20")).preprocessing
    return np.stack([preprocessing.pixels(picture) for picture in pictures()])


def ask(
    client: triton.InferenceServerClient, model: str, batch: NDArray[Any], *outputs: str
) -> list[NDArray[np.float32]]:
    kind = "BYTES" if batch.dtype == np.object_ else "UINT8"
    tensor = triton.InferInput("image", list(batch.shape), kind)
    tensor.set_data_from_numpy(batch)
    answer = client.infer(
        model, [tensor], outputs=[triton.InferRequestedOutput(name) for name in outputs]
    )
    return [answer.as_numpy(name) for name in outputs]


@pytest.mark.triton
@pytest.mark.parametrize("model", ["pair", "pair_image"])
def test_an_ensemble_is_the_average_of_its_members(model: str, served: Any) -> None:
    _, client, _ = served
    pixels = pixels_of("digits")
    probabilities, logits = ask(
        client,
        model,
        encoded() if model.endswith("_image") else pixels,
        "probabilities",
        "logits",
    )
    alone = [torch.tensor(ask(client, m, pixels, "logits")[0]) for m in ("digits", "digits8")]
    average = torch.stack([torch.softmax(each, 1) for each in alone]).mean(0).numpy()
    np.testing.assert_allclose(probabilities, average, rtol=0, atol=1e-6)
    assert np.abs(average - torch.softmax(alone[0], 1).numpy()).max() > 1e-4  # INT8 does differ
    np.testing.assert_allclose(
        torch.softmax(torch.tensor(logits), 1).numpy(), probabilities, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(probabilities, pytorch("digits", pixels).numpy(), atol=0.05)


@pytest.mark.triton
def test_members_that_prepare_images_differently_are_averaged_as_pytorch_does(served: Any) -> None:
    path, client, _ = served
    assert not (path / "mixed").exists()
    (found,) = ask(client, "mixed_image", encoded(), "probabilities")
    trained, random = (pytorch(source, pixels_of(source)) for source in ("digits", "random:3"))
    (logits,) = ask(client, "digits8", pixels_of("digits"), "logits")
    integers = torch.softmax(torch.tensor(logits), 1)
    wanted = torch.stack([trained, random, integers]).mean(0).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_queue_that_does_not_hold_the_crops_of_an_image(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"at most 19 requests wait .* 20 crops") as caught:
        compose.ten_crop("noise", scales=SCALES, repository=repository)
    assert "--max-queue 80" in str(caught.value.remedy)


@pytest.mark.triton
def test_ten_crops_are_averaged_as_pytorch_does(served: Any) -> None:
    repository, client, _ = served
    decoding = at(repository, "digits_tencrop_preprocess/config.pbtxt").read_text()
    # The other half of the queue is for images that are decoded.
    assert bound_of(config.parse(decoding)).requests == 80 // 20 // 2
    crops = TenCrop(weights.load("digits", find("resnet20")).preprocessing, SCALES)
    found, logits = ask(client, "digits_tencrop", encoded(), "probabilities", "logits")
    for row, picture in enumerate(pictures()):
        wanted = pytorch("digits", crops.pixels(picture)).mean(0).numpy()
        np.testing.assert_allclose(found[row], wanted, rtol=0, atol=1e-5)
    assert (found.argmax(1) == logits.argmax(1)).all()


@pytest.mark.triton
def test_clients_are_told_the_averaged_probabilities(served: Any) -> None:
    _, client, url = served
    for model, options in (
        ("pair", {}),
        ("pair", {"decode": "server"}),
        ("mixed", {"decode": "server"}),
        ("digits_tencrop", {}),
    ):
        name = "mixed_image" if model == "mixed" else model
        batch = pixels_of("digits") if model == "pair" else encoded()
        (wanted,) = ask(client, name, batch, "probabilities")
        with Classifier(url, model, **options) as classifier:
            best = classifier.classify(pictures()[0], top=1)[0]
        assert best.label == str(wanted[0].argmax())
        assert best.probability == pytest.approx(wanted[0].max(), abs=1e-5)


@pytest.mark.triton
def test_passports_name_the_members_and_verify_holds_them_to_it(served: Any) -> None:
    found = {each.name: each for each in Repository(served[0]).deployed()}
    assert {"pair", "mixed_image", "digits_tencrop"} < set(found)
    pair, ten_crop = found["pair"].passport, found["digits_tencrop"].passport
    assert isinstance(pair, ComposedPassport)
    assert isinstance(ten_crop, ComposedPassport)
    assert [(m.name, m.version) for m in pair.members] == [("digits", 1), ("digits8", 1)]
    model = served[0] / "digits8" / "1" / "model.onnx"
    assert pair.members[1].sha256 == durable.sha256(model)
    assert pair.gate.passed
    assert ten_crop.crops == CropFacts(scales=(36, 40), per_scale=10)
    assert not found["mixed_image"].passport.trained
    report = verify.verify(list(found.values()), verify.describe())
    checks = [(each.subject, each.verdict) for each in report.checks if each.model == "pair"]
    subjects = ("average", "member digits", "member digits8", "files", "served copy")
    assert checks == [(subject, "ok") for subject in subjects]
    rows = {row["model"]: row for row in listing.rows(list(found.values()))}
    assert (rows["pair"]["precision"], rows["pair"]["speedup"]) == ("fp32+int8", None)


def test_versions_of_members_are_pinned_and_a_newer_one_is_noticed(repository: Path) -> None:
    compose.ensemble("pair", ["digits", "digits8"], repository=repository)
    for name in ("pair", "pair_image"):
        steps = config.parse(at(repository, f"{name}/config.pbtxt").read_text()).ensemble_scheduling
        pinned = {step.model_name: step.model_version for step in steps.step}
        assert (pinned["digits"], pinned["digits8"], pinned["pair_average"]) == (1, 1, 1)
    opened = Repository(repository)
    assert composed.outdated(opened.deployed()) == []
    shutil.copytree(repository / "digits8" / "1", repository / "digits8" / "2")
    assert composed.outdated(opened.deployed()) == []
    opened.serve({"digits8": 2})
    (wrong,) = composed.outdated(opened.deployed())
    assert wrong.reason == "it was proved with digits8 version 1, which is at version 2"
    compose.ensemble("pair", ["digits", "digits8"], repository=repository)
    assert composed.outdated(opened.deployed()) == []
    shutil.rmtree(repository / "digits8")
    (wrong,) = composed.outdated(opened.deployed())
    assert wrong.reason.endswith("digits8 version 2, which is gone")


def test_nothing_is_deployed_unless_the_decisions_agree(repository: Path) -> None:
    """A member whose file is another network than its passport's weights."""
    stranger = (repository / "noise" / "1" / "model.onnx").read_bytes()
    (repository / "digits" / "1" / "model.onnx").write_bytes(stranger)

    def as_the_stranger(data: dict[str, Any]) -> None:
        data["model"]["sha256"] = durable.sha256(stranger)
        data["contract"]["input"] = "float32"

    _rewrite(repository, "digits", as_the_stranger)
    before = {path.name for path in image_repository.directories(repository)}
    with pytest.raises(
        ParityError, match=r"decisions changed, by margin .*worst image digit [0-9]+"
    ):
        compose.ten_crop(
            "digits",
            scales=(36,),
            repository=repository,
            validation="digits",
            validation_images=16,
        )
    assert {path.name for path in image_repository.directories(repository)} == before


def test_files_and_weights_must_be_those_of_the_passport(repository: Path) -> None:
    _rewrite(repository, "digits8", lambda data: data["weights"].update(sha256="0" * 64))
    with pytest.raises(InputFileError, match="is not what digits8 version 1 was made from"):
        compose.ten_crop("digits8", scales=(36,), repository=repository)
    (repository / "digits" / "1" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(InputFileError, match=r"model\.onnx: is missing, or not the file"):
        compose.ten_crop("digits", scales=(36,), repository=repository)


def _rewrite(repository: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    file = repository / name / "1" / passport.FILE_NAME
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("ensemble", "pair", "digits", "other"),
            2,
            "digits and other do not decide among the same classes: class 0 is '0' and 'class 0'",
        ),
        (("ensemble", "pair", "digits", "digits"), 2, "digits is named twice"),
        (("ensemble", "pair", "digits"), 2, "two members or more"),
        (("ensemble", "pair", "digits", "nobody"), 2, "There is digits, digits8"),
        (("ensemble", "digits", "digits", "digits8"), 2, "digits belongs to a converted model"),
        (("ensemble", "-x", "digits", "digits8"), 2, "No such option"),
        (("ten-crop", "digits"), 2, "at scale 32 the whole image is the crop"),
        (("ten-crop", "digits", "--scales", "31"), 2, "the scale 31 is smaller than the crop"),
        (("ten-crop", "digits", "--scales", "36,x"), 2, "'36,x' is no list of scales"),
        (("ten-crop", "digits", "--repository", "nowhere"), 5, "there is no model repository"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    words: tuple[str, ...], code: int, said: str, converted: Path, call: Call
) -> None:
    place = () if "--repository" in words else ("--repository", converted)
    before = {path.name for path in image_repository.directories(converted)}
    found, out, err = call(*words, *place)
    assert found == code, err
    assert said in " ".join(err.replace("│", " ").split()), err
    assert "Traceback" not in out + err
    assert {path.name for path in image_repository.directories(converted)} == before


def test_a_composed_model_is_no_member(repository: Path) -> None:
    compose.ten_crop("noise", scales=(36,), repository=repository)
    with pytest.raises(UsageError, match="noise_tencrop is composed of others itself"):
        compose.ensemble("pair", ["noise_tencrop", "digits"], repository=repository)


def test_nothing_of_an_earlier_composition_is_left_behind(repository: Path) -> None:
    """`both` would go on asking the new average, whose inputs are others."""
    compose.ensemble("both", ["digits", "digits8"], repository=repository)
    with pytest.raises(UsageError, match="both is there from an earlier composition"):
        compose.ensemble("both", ["digits", "noise"], repository=repository)
    with pytest.raises(UsageError, match="both_image is there from an earlier composition"):
        compose.ten_crop("digits", scales=(36,), name="both", repository=repository)


def test_the_command_says_what_was_made_and_what_was_not(repository: Path, call: Call) -> None:
    code, out, err = call(
        "ensemble", "mixed", "digits", "noise", "--repository", repository, "--json"
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["served"] == ["mixed_image"]
    assert result["command"] == (
        f"resnet-convert ensemble mixed digits noise --repository {repository}"
    )
    assert (
        "mixed itself is not made, only mixed_image: digits and noise differ in the input: uint8 "
        "and float32"
    ) in err
    assert members.difference(members.open_members(Repository(repository), ["digits"])) is None
