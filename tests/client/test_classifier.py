"""Images to labels through the real server, in every form, from many threads, and refused."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import image_files
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from PIL import Image
from served_digits import MEANS, Pictures, logits

from resnet_client import (
    BadImageError,
    Classifier,
    ModelError,
    Prediction,
)
from resnet_serve.preprocessing import Preprocessing, decode

pytestmark = pytest.mark.triton

MODES = ("client", "server")


@pytest.fixture(params=MODES)
def classifier(request: pytest.FixtureRequest, url: str) -> Iterator[Classifier]:
    with Classifier(url, "resnet20", decode=request.param) as made:
        yield made


def test_held_out_digits_are_recognised_in_both_modes(url: str, pictures: Pictures) -> None:
    found = {}
    for mode in MODES:
        with Classifier(url, "resnet20", decode=mode) as classifier:
            results = list(classifier.classify_many(pictures.paths, top=10))
        assert [result.image for result in results] == list(pictures.paths)
        assert not [result.error for result in results if result.error]
        labels = [result.predictions[0].label for result in results]
        right = [a == b for a, b in zip(labels, pictures.labels, strict=True)]
        assert sum(right) / len(right) >= 0.95
        found[mode] = labels, np.array([logits(result.predictions) for result in results])
    assert found["client"][0] == found["server"][0]
    assert np.abs(found["client"][1] - found["server"][1]).max() < 1e-3


def test_normalised_planes_are_sent_where_the_model_takes_them(url: str) -> None:
    photograph = image_files.photograph()
    expected = MEANS.normalize(MEANS.pixels(photograph)).mean(axis=(1, 2))
    for mode in MODES:
        with Classifier(url, "means", decode=mode) as classifier:
            found = classifier.classify(photograph, top=3)
            colour = classifier.classify(np.full((50, 70, 3), (0, 200, 0), np.uint8), top=1)
        np.testing.assert_allclose(logits(found), expected, atol=1e-4)
        assert colour[0].label == "green"


def test_probabilities_are_the_softmax_over_all_classes(url: str, pictures: Pictures) -> None:
    preprocessing = Preprocessing(resize=32, crop=(32, 32), resize_mode="exact")
    pixels = preprocessing.pixels(decode(pictures.paths[0]))[None]
    tensor = grpcclient.InferInput("image", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    with grpcclient.InferenceServerClient(url) as client:
        raw = client.infer("resnet20", [tensor]).as_numpy("logits")[0].astype(np.float64)
    with Classifier(url, "resnet20") as classifier:
        three = classifier.classify(pictures.paths[0], top=3)
    assert [p.index for p in three] == list(np.argsort(-raw)[:3])
    expected = np.exp(raw) / np.exp(raw).sum()
    for prediction in three:
        assert prediction.logit == pytest.approx(raw[prediction.index], abs=1e-5)
        assert prediction.probability == pytest.approx(expected[prediction.index], abs=1e-6)
        assert prediction.label == str(prediction.index)


def test_every_form_of_an_image_gives_the_same(classifier: Classifier, tmp_path: Path) -> None:
    picture = image_files.photograph()
    path = tmp_path / "a picture.png"
    path.write_bytes(image_files.saved(picture, "PNG"))
    array = np.asarray(picture)
    forms: list[Any] = [
        path,
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        memoryview(path.read_bytes()),
        array,
        np.ascontiguousarray(array[..., ::-1])[..., ::-1],
        picture,
        Image.open(path),
    ]
    first = classifier.classify(path)
    assert isinstance(first, list)
    assert all(isinstance(prediction, Prediction) for prediction in first)
    assert len(first) == 5
    for form in forms:
        assert classifier.classify(form) == first


def test_unusual_images_work(classifier: Classifier, tmp_path: Path) -> None:
    plain = logits(classifier.classify(image_files.photograph(), top=10))
    for name, path in image_files.write(tmp_path, image_files.unusual()).items():
        tolerance = 0.5 if name in ("cmyk", "palette", "grey", "16-bit") else 1e-5
        for form in (path, path.read_bytes(), Image.open(path)):
            assert np.abs(logits(classifier.classify(form, top=10)) - plain).max() < tolerance, name


def test_a_turned_image_is_another_image(classifier: Classifier) -> None:
    picture = image_files.photograph()
    turned = classifier.classify(picture.rotate(90, expand=True), top=10)
    assert np.abs(logits(turned) - logits(classifier.classify(picture, top=10))).max() > 0.1


@pytest.mark.parametrize("reason", image_files.bad())
def test_a_bad_image_says_why(classifier: Classifier, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(image_files.bad()[reason])
    for form, name in ((path, str(path)), (path.read_bytes(), "image")):
        with pytest.raises(BadImageError, match=reason) as caught:
            classifier.classify(form)
        assert str(caught.value).startswith(f"{name}: ")
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (Path("no/such.png"), "no/such.png: cannot read \\(No such file"),
        (Path(), "cannot read \\(Is a directory"),
        (
            np.zeros((8, 8, 3), np.float32),
            "must be UINT8 \\[H,W,3\\] in RGB, or \\[H,W,4\\] in RGBA; this is float32",
        ),
        (np.zeros((3, 8, 9), np.uint8), "this is uint8 \\[3, 8, 9\\]"),
        (np.zeros((0, 8, 3), np.uint8), "this is uint8"),
        (Image.new("F", (8, 8)), "no defined range"),
        (Image.new("1", (10_000, 10_000)), "pixels are more than"),
        (None, "a NoneType is not an image"),
    ],
)
def test_what_is_no_image_is_refused(classifier: Classifier, form: Any, reason: str) -> None:
    with pytest.raises(BadImageError, match=reason):
        classifier.classify(form)


def test_a_lazily_opened_truncated_image_is_refused(classifier: Classifier) -> None:
    opened = Image.open(io.BytesIO(image_files.bad()["damaged"]))
    with pytest.raises(BadImageError, match="damaged image"):
        classifier.classify(opened)


def test_an_image_too_long_to_be_resized_is_refused(url: str) -> None:
    strip = np.zeros((1, 300_000, 3), np.uint8)
    for mode in MODES:
        with (
            Classifier(url, "means", decode=mode) as classifier,
            pytest.raises(BadImageError, match=r"^image: .* too long and narrow"),
        ):
            classifier.classify(strip)


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_bad_images_among_many_cost_the_others_nothing(
    classifier: Classifier, pictures: Pictures, tmp_path: Path, batch_size: int | None
) -> None:
    bad = list(image_files.write(tmp_path, image_files.bad()).items())
    images: list[Any] = list(pictures.paths[:20])
    wrong = {0: bad[0], 7: bad[1], 8: bad[2], 23: bad[3]}
    for position, (_, path) in wrong.items():
        images.insert(position, path)
    results = list(classifier.classify_many(images, top=1, batch_size=batch_size))
    assert [result.image for result in results] == images
    for position, (result, image) in enumerate(zip(results, images, strict=True)):
        if position in wrong:
            reason, path = wrong[position]
            assert result.predictions == ()
            assert str(result.error).startswith(f"{path}: ")
            assert reason in str(result.error)
        else:
            assert result.error is None
            assert result.predictions == tuple(classifier.classify(image, top=1))


def test_a_stream_is_read_a_few_batches_ahead(url: str, pictures: Pictures) -> None:
    read = 0

    def endless() -> Iterator[Path]:
        nonlocal read
        for path in itertools.cycle(pictures.paths):
            read += 1
            yield path

    with Classifier(url, "resnet20") as classifier:
        results = classifier.classify_many(endless())
        for _ in range(100):
            next(results)
        assert read <= 100 + 7 * 8
        results.close()  # type: ignore[attr-defined]


def test_many_of_nothing_is_nothing(classifier: Classifier) -> None:
    assert list(classifier.classify_many([])) == []


def test_an_error_of_the_callers_iterator_comes_through(url: str, pictures: Pictures) -> None:
    def failing() -> Iterator[Path]:
        yield pictures.paths[0]
        raise LookupError("mine")

    with Classifier(url, "resnet20") as classifier, pytest.raises(LookupError, match="mine"):
        list(classifier.classify_many(failing()))


def test_threads_share_a_classifier(url: str, pictures: Pictures) -> None:
    paths = pictures.paths[:60]
    with Classifier(url, "resnet20") as alone:
        expected = [alone.classify(path) for path in paths]
    with Classifier(url, "resnet20") as shared, ThreadPoolExecutor(8) as pool:
        start = threading.Barrier(8)

        def work(_: int) -> list[list[Prediction]]:
            start.wait()
            return [shared.classify(path) for path in paths]

        for found in pool.map(work, range(8)):
            assert found == expected


def test_labels_may_hold_colons_or_be_missing(url: str, pictures: Pictures) -> None:
    with Classifier(url, "colons", decode="server") as classifier:
        with_colons = classifier.classify(pictures.paths[0], top=10)
    with Classifier(url, "unlabelled", decode="server") as classifier:
        without = classifier.classify(pictures.paths[0], top=10)
    assert [p.label for p in with_colons] == [f"digit: {p.index}:{p.index}" for p in with_colons]
    assert [p.label for p in without] == [str(p.index) for p in without]
    assert [p.index for p in without] == [p.index for p in with_colons]


def test_more_classes_than_there_are(classifier: Classifier, pictures: Pictures) -> None:
    found = classifier.classify(pictures.paths[0], top=1000)
    assert sorted(p.index for p in found) == list(range(10))
    assert sum(p.probability for p in found) == pytest.approx(1)


def test_an_unknown_model_names_the_nearest_first(url: str, pictures: Pictures) -> None:
    with Classifier(url, "resnet50") as classifier:
        with pytest.raises(ModelError) as caught:
            classifier.classify(pictures.paths[0])
        with pytest.raises(ModelError):
            classifier.classify_many(pictures.paths)
    assert caught.value.exit_code == 2
    assert "serves no model 'resnet50'" in str(caught.value)
    names = str(caught.value).partition("It serves ")[2].rstrip(".").split(", ")
    assert names[0] == "resnet20"
    assert sorted(names) == ["colons_image", "means", "resnet20", "unlabelled_image"]


def test_an_unknown_version_names_the_served_ones(url: str, pictures: Pictures) -> None:
    with Classifier(url, "resnet20", version="1") as classifier:
        assert classifier.classify(pictures.paths[0])
    with (
        Classifier(url, "resnet20", version="7") as classifier,
        pytest.raises(ModelError, match=r"'resnet20' has no version 7\. .* serves 1\.$"),
    ):
        classifier.classify(pictures.paths[0])


def test_what_takes_encoded_images_gets_them(url: str, pictures: Pictures, tmp_path: Path) -> None:
    """A ten-crop model has no other half, so that there is nothing for the client to decode."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with Classifier(url, "resnet20") as decoding, Classifier(url, "resnet20_image") as sending:
        assert sending.classify(pictures.paths[0]) == decoding.classify(pictures.paths[0])
        good, bad = sending.classify_many([pictures.paths[0], broken])
    assert good.error is None
    assert bad.error is not None
    assert "not an image" in str(bad.error)


def test_models_that_are_not_ours_are_refused(url: str, pictures: Pictures) -> None:
    with (
        Classifier(url, "resnet20_preprocess") as classifier,
        pytest.raises(ModelError, match="'resnet20_preprocess': has no output 'logits'"),
    ):
        classifier.classify(pictures.paths[0])
    with (
        Classifier(url, "means_preprocess", decode="server") as classifier,
        pytest.raises(ModelError, match="serves 'means_preprocess' without 'means_pre"),
    ):
        classifier.classify(pictures.paths[0])
