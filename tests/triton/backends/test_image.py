"""Image in, labels out through the real server: `image` backend, then a tiny classifier.

The classifier's scores are the mean red, green and blue of the pixels, so that the label of a
picture is the name of its colour.
"""

from __future__ import annotations

import ast
import io
import re
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from hostile_images import scans
from patience import PATIENCE_S, until
from PIL import Image
from tiny_repository import onnx_model, write
from tritonclient.utils import InferenceServerException

from resnet_serve.preprocessing import ImageError, Limits, Preprocessing, decode
from resnet_serve.triton.backends.image import model as image_backend
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.health.stubs import Stubs
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton

PREPROCESSING = Preprocessing(resize=12, crop=(8, 10), limits=Limits(max_pixels=80_000))
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
PREPROCESS = """
backend: "image" max_batch_size: 8
input [{ name: "image" data_type: TYPE_STRING dims: [1] }]
output [{ name: "pixels" data_type: TYPE_UINT8 dims: [8, 10, 3] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""
PLANES = (
    PREPROCESS.replace("TYPE_UINT8 dims: [8, 10, 3]", "TYPE_FP32 dims: [3, 8, 10]")
    + "dynamic_batching { max_queue_delay_microseconds: 100000 }"
)
CLASSIFIER = """
backend: "onnxruntime" max_batch_size: 8
input [{ name: "image" data_type: TYPE_UINT8 dims: [8, 10, 3] }]
output [{ name: "logits" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt" }]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { max_queue_delay_microseconds: 50000 }
"""
ENSEMBLE = """
platform: "ensemble" max_batch_size: 8
input [{ name: "image" data_type: TYPE_STRING dims: [1] }]
output [{ name: "logits" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt" }]
ensemble_scheduling { step [
  { model_name: "colour_preprocess" model_version: -1
    input_map { key: "image" value: "image" } output_map { key: "pixels" value: "pixels" } },
  { model_name: "colour" model_version: -1
    input_map { key: "image" value: "pixels" } output_map { key: "logits" value: "logits" } } ] }
"""
MEAN_COLOUR = onnx_model(
    "uint8[N,8,10,3] image) => (float[N,3] logits",
    "f = Cast <to = 1> (image)  logits = ReduceMean <axes = [1, 2], keepdims = 0> (f)",
)
LABELS = "".join(f"{name}\n" for name in COLOURS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    stored = PREPROCESSING.to_json()
    repository = write(
        tmp_path_factory.mktemp("repository"),
        {
            "colour_preprocess/config.pbtxt": PREPROCESS,
            "colour_preprocess/1/preprocessing.json": stored,
            "planes/config.pbtxt": PLANES,
            "planes/1/preprocessing.json": stored,
            "colour/config.pbtxt": CLASSIFIER,
            "colour/labels.txt": LABELS,
            "colour/1/model.onnx": MEAN_COLOUR,
            "colour_image/config.pbtxt": ENSEMBLE,
            "colour_image/labels.txt": LABELS,
        },
    )
    (repository / "colour_image/1").mkdir()
    # A health check would share a batch with the requests of a test.
    with Server(repository, port=0, drain_s=0, policy=Policy(check_s=0)) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc) as connected:
        yield connected


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(colour: str, size: tuple[int, int] = (20, 16)) -> Image.Image:
    return Image.new("RGB", size, COLOURS[colour])


def photo(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (23, 31, 3), np.uint8)
    return Image.fromarray(pixels)


def infer(
    client: triton.InferenceServerClient, model: str, *images: bytes, class_count: int = 0
) -> np.ndarray:
    output = "logits" if model == "colour_image" else "pixels"
    given = triton.InferInput("image", [len(images), 1], "BYTES")
    given.set_data_from_numpy(np.array(images, dtype=np.object_).reshape(-1, 1))
    wanted = [triton.InferRequestedOutput(output, class_count=class_count)]
    return client.infer(model, [given], outputs=wanted, client_timeout=PATIENCE_S).as_numpy(output)


def label(client: triton.InferenceServerClient, image: bytes) -> str:
    best = infer(client, "colour_image", image, class_count=1)
    return best[0, 0].decode().split(":")[2]


def bomb(side: int = 50_000) -> bytes:
    """A PNG of a few kB that promises side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pixels_as_in_process(client: triton.InferenceServerClient, kind: str) -> None:
    images = [encoded(photo(seed), kind) for seed in range(3)]
    expected = np.stack([PREPROCESSING.pixels(decode(data)) for data in images])
    np.testing.assert_array_equal(infer(client, "colour_preprocess", *images), expected)


def test_normalised_planes_as_in_process(client: triton.InferenceServerClient) -> None:
    data = encoded(photo())
    expected = PREPROCESSING.normalize(PREPROCESSING.pixels(decode(data)))
    np.testing.assert_array_equal(infer(client, "planes", data)[0], expected)


@pytest.mark.parametrize("colour", COLOURS)
def test_image_in_label_out(client: triton.InferenceServerClient, colour: str) -> None:
    best = infer(client, "colour_image", encoded(flat(colour), "JPEG"), class_count=3)
    assert best.shape == (1, 3)
    assert best[0, 0].decode().split(":")[2] == colour


GREY16 = Image.fromarray(np.full((16, 20), 51_400, np.uint16))
ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6  # the picture lies on its side

UNUSUAL = {
    "CMYK": encoded(flat("green").convert("CMYK"), "JPEG"),
    "palette": encoded(flat("green").convert("P", palette=Image.Palette.ADAPTIVE)),
    "alpha": encoded(flat("green").convert("RGBA")),
    "grey": encoded(flat("green").convert("L")),
    "16 bit": encoded(GREY16),
    "black and white": encoded(Image.new("1", (20, 16), 1)),
    "GIF": encoded(flat("green"), "GIF"),
    "EXIF-rotated": encoded(photo(), "JPEG", exif=ORIENTED),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_images_are_served(client: triton.InferenceServerClient, kind: str) -> None:
    pixels = infer(client, "colour_preprocess", UNUSUAL[kind])
    np.testing.assert_array_equal(pixels[0], PREPROCESSING.pixels(decode(UNUSUAL[kind])))
    if kind in ("CMYK", "palette", "alpha", "GIF"):
        assert label(client, UNUSUAL[kind]) == "green"


def test_16_bit_keeps_its_upper_byte(client: triton.InferenceServerClient) -> None:
    assert (infer(client, "colour_preprocess", UNUSUAL["16 bit"]) == 51_400 >> 8).all()


def test_exif_orientation_is_applied(client: triton.InferenceServerClient) -> None:
    upright = PREPROCESSING.pixels(decode(encoded(photo(), "JPEG")))
    assert (infer(client, "colour_preprocess", UNUSUAL["EXIF-rotated"])[0] != upright).any()


BROKEN = {
    "empty": b"",
    "truncated": encoded(photo(), "JPEG")[:400],
    "no image": b"GET / HTTP/1.1",
    "bomb": bomb(),
    "large": bomb(9_000),
    "scans": scans(1_000),
    "narrow": encoded(photo().resize((1, 300))),
    "beyond the limit of this model": encoded(flat("red", (300, 300))),
}


@pytest.mark.parametrize("model", ["colour_preprocess", "colour_image"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_is_an_invalid_argument(
    client: triton.InferenceServerClient, model: str, kind: str
) -> None:
    with pytest.raises(ImageError) as in_process:
        decode(BROKEN[kind], PREPROCESSING.limits)
    with pytest.raises(InferenceServerException) as refused:
        infer(client, model, BROKEN[kind])
    assert refused.value.message().endswith(str(in_process.value))
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_broken_image_of_several_is_named(client: triton.InferenceServerClient) -> None:
    good = encoded(flat("red"))
    with pytest.raises(InferenceServerException, match="image 2 of 3: the image is empty"):
        infer(client, "colour_image", good, b"", good)


def test_images_alike_need_no_new_pages(
    server: Server, client: triton.InferenceServerClient
) -> None:
    stubs = Stubs(server.status.server_pid)
    stubs.refresh()
    (pid,) = (stub.pid for stub in stubs.alive if stub.model == "colour_preprocess")
    stubs.close()

    def pages() -> int:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        return int(text.rpartition(")")[2].split()[7])

    data, images = encoded(flat("red", (320, 240)), "JPEG"), 8
    for _ in range(3):  # of a process that has decoded nothing yet, the second takes new pages too
        infer(client, "colour_preprocess", *[data] * images)
    before = pages()
    infer(client, "colour_preprocess", *[data] * images)
    assert pages() - before < images  # the picture alone has 75


def batch_sizes(client: triton.InferenceServerClient, model: str) -> set[int]:
    found = client.get_inference_statistics(model, as_json=True)["model_stats"][0]
    return {int(each["batch_size"]) for each in found.get("batch_stats", [])}


def test_a_broken_image_does_not_fail_its_neighbours(
    client: triton.InferenceServerClient,
) -> None:
    def answer(image: bytes) -> float | str:
        try:
            return float(infer(client, "planes", image).mean())
        except InferenceServerException as error:
            return error.message()

    # `planes` batches dynamically: these requests come to the backend together.
    given = [encoded(flat("red")), b"", encoded(flat("blue")), BROKEN["truncated"]]
    alone = [answer(image) for image in given]

    def batched() -> bool:
        """On a busy host they may not all have come within the 0.1 s for which one waits."""
        with ThreadPoolExecutor(len(given)) as pool:
            together = list(pool.map(answer, given))
        assert together == alone
        assert [type(outcome) for outcome in together] == [float, str, float, str]
        return 4 in batch_sizes(client, "planes")

    assert until(batched)


SIGNATURE = {
    "name": "m",
    "input": [{"name": "image", "data_type": "TYPE_STRING", "dims": [1]}],
    "output": [{"name": "pixels", "data_type": "TYPE_UINT8", "dims": ["8", "10", "3"]}],
}


def test_the_configuration_must_promise_what_the_preprocessing_gives() -> None:
    assert image_backend.signature(SIGNATURE, PREPROCESSING) == (("pixels",), False)
    with pytest.raises(
        ValueError, match=re.escape("produces TYPE_UINT8 [9, 9, 3] or TYPE_FP32 [3, 9")
    ):
        image_backend.signature(SIGNATURE, Preprocessing(resize=12, crop=(9, 9)))
    bytes_in = [{"name": "image", "data_type": "TYPE_UINT8", "dims": [-1]}]
    with pytest.raises(ValueError, match=re.escape("the configuration has TYPE_UINT8 [-1]")):
        image_backend.signature({**SIGNATURE, "input": bytes_in}, PREPROCESSING)
    with pytest.raises(ValueError, match="one input and one output"):
        image_backend.signature({**SIGNATURE, "output": []}, PREPROCESSING)


def test_there_is_one_output_per_crop() -> None:
    (output,) = SIGNATURE["output"]
    outputs = [{**output, "name": f"pixels_{number}"} for number in range(10)]
    config = {**SIGNATURE, "output": outputs}
    names = tuple(each["name"] for each in outputs)
    assert image_backend.signature(config, PREPROCESSING, 10) == (names, False)
    with pytest.raises(ValueError, match="20 outputs, one per crop"):
        image_backend.signature(config, PREPROCESSING, 20)
    outputs[9] = {**output, "name": "last", "data_type": "TYPE_FP32", "dims": [3, 8, 10]}
    with pytest.raises(ValueError, match="tensor 'last'"):
        image_backend.signature(config, PREPROCESSING, 10)


def test_crops_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "crops.json"
    assert image_backend.read_crops(path, PREPROCESSING) is None
    path.write_text('{"scales": [4]}')
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: cannot read the crops"):
        image_backend.read_crops(path, PREPROCESSING)


@pytest.mark.parametrize("stored", [None, '{"resize": "x"}', "{", "\ufffd"])
def test_a_preprocessing_that_cannot_be_read(tmp_path: Path, stored: str | None) -> None:
    path = tmp_path / "preprocessing.json"
    if stored is not None:
        path.write_text(stored)
    with pytest.raises(ValueError, match=re.escape(f"{path}: cannot read the preprocessing")):
        image_backend.read_preprocessing(path)


def test_runs_on_the_container_s_python() -> None:
    """NVIDIA's 24.10 container has Python 3.10; what the backend imports must parse there."""
    package = Path(image_backend.__file__).parents[3]
    own = sorted((package / "preprocessing").glob("*.py"))
    assert own
    modules = ("crops.py", "errors.py", "__init__.py", "triton/__init__.py")
    backend = ("__init__.py", "stub.py", "image/model.py")
    read = [*modules, *(f"triton/backends/{file}" for file in backend)]
    for path in (*own, *(package / name for name in read)):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
