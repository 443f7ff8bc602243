"""Overload on a real server: images are rejected before they are decoded, not after.

Counted, not timed: images that were decoded, and those of them that the network took.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import tritonclient.grpc as triton
from hostile_images import encoded, photo
from patience import PATIENCE_S, until
from tiny_repository import onnx_model, write
from tritonclient.utils import InferenceServerException

from resnet_serve import crops
from resnet_serve.crops import TenCrop
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import composed_config, config
from resnet_serve.triton.backends.image.metrics import SECONDS
from resnet_serve.triton.backends.queue_limit import METRIC
from resnet_serve.triton.config import INPUT, NEWEST, OUTPUT, PIXELS, Serving, Step
from resnet_serve.triton.queue_bound import QueueBound
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton
SMALL = Preprocessing(resize=8, crop=(8, 8))
SERVING = Serving(max_batch_size=4, instances=1, threads=1)
ROWS = 192
SENDERS, ANSWERS = 32, 60
BURST = 24
BOUND = QueueBound(8)
KIND: dict[str, Any] = {"input_kind": "uint8", "preprocessing": SMALL, "serving": SERVING}
TEN = TenCrop(SMALL, scales=(8,))


def network(products: int) -> bytes:
    """An ONNX file that multiplies matrices so many times for each image."""
    steps = " ".join(f"p{each + 1} = MatMul(p{each}, weights)" for each in range(products))
    return onnx_model(
        f"uint8[N,8,8,3] image) => (float[N,{ROWS}] logits",
        f"""
        shape = Constant <value = int64[2] {{{ROWS}, {ROWS}}}> ()
        weights = ConstantOfShape <value = float[1] {{0.005}}> (shape)
        pixels = Cast <to = 1> (image)
        mean = ReduceMean <axes = [1, 2, 3], keepdims = 0> (pixels)
        places = Constant <value = int64[2] {{1, 2}}> ()
        means = Unsqueeze(mean, places)
        p0 = Mul(means, weights)
        {steps}
        logits = ReduceMean <axes = [2], keepdims = 0> (p{products})""",
    )


def files_of(name: str, queue: QueueBound, products: int = 60) -> dict[str, str | bytes]:
    """A network."""
    made = config.classifier(name, target=TARGETS["onnxruntime"], classes=ROWS, queue=queue, **KIND)
    return {
        f"{name}/config.pbtxt": config.to_text(made),
        f"{name}/1/model.onnx": network(products),
        f"{name}/labels.txt": config.labels_text([str(each) for each in range(ROWS)]),
    }


def decoder(name: str, *, decoded: int) -> dict[str, str | bytes]:
    """What decodes, on two instances; as many wait as for the network."""
    made = config.preprocess(name, cores=2, queue=BOUND, decoded=decoded, **KIND)
    return {
        f"{name}/config.pbtxt": config.to_text(made),
        f"{name}/1/preprocessing.json": SMALL.to_json(),
    }


def around(name: str, steps: Sequence[Step]) -> dict[str, str | bytes]:
    """An ensemble of encoded images, with the output of every network."""
    made = config.ensemble(name, steps, SERVING)
    made.input.add(name=INPUT, data_type=config.ENCODED, dims=[1])
    for step in steps[1:]:
        made.output.add(name=step.outputs[OUTPUT], data_type="TYPE_FP32", dims=[ROWS])
    return {f"{name}/config.pbtxt": config.to_text(made), f"{name}/1/ensemble.txt": "steps\n"}


def run_by(model: str, pixels: str = PIXELS, output: str = OUTPUT) -> Step:
    return Step(model, NEWEST, {INPUT: pixels}, {OUTPUT: output})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    decoding = Step("held_preprocess", NEWEST, {INPUT: INPUT}, {PIXELS: PIXELS})
    cropping = composed_config.crops(
        "ten_preprocess", count=10, cores=2, queue=BOUND, decoded=10, **KIND
    )
    views = {composed_config.pixels_name(each): f"p{each}" for each in range(1, 11)}
    files = {
        **files_of("held", BOUND),
        **files_of("slower", BOUND, products=100),
        **files_of("slowest", BOUND, products=400),
        **files_of("ours", QueueBound(100), products=1),
        **files_of("tritons", QueueBound(100, 60_000), products=1),
        **files_of("cropped", QueueBound(20), products=4),
        **decoder("held_preprocess", decoded=4),
        **decoder("free_preprocess", decoded=0),
        **around("held_image", (decoding, run_by("held"))),
        **around(
            "free_image",
            (Step("free_preprocess", NEWEST, {INPUT: INPUT}, {PIXELS: PIXELS}), run_by("slowest")),
        ),
        **around(
            "composed_image",
            (decoding, run_by("held", output="first"), run_by("slower", output="second")),
        ),
        "ten_preprocess/config.pbtxt": config.to_text(cropping),
        "ten_preprocess/1/preprocessing.json": SMALL.to_json(),
        f"ten_preprocess/1/{crops.FILE_NAME}": TEN.to_json(),
        **around(
            "ten",
            (
                Step("ten_preprocess", NEWEST, {INPUT: INPUT}, views),
                *(run_by("cropped", view, f"logits_{view}") for view in views.values()),
            ),
        ),
    }
    repository = write(tmp_path_factory.mktemp("overload"), files)
    # A health check would be rejected and counted too.
    with Server(repository, port=0, drain_s=0, policy=Policy(check_s=0)) as started:
        yield started


@pytest.fixture(scope="module")
def image() -> bytes:
    return encoded(photo(32, 24), "PNG")


class Load:
    """More requests at any time than the server answers; what became of each."""

    def __init__(self, server: Server, image: bytes) -> None:
        self._server, self._ended = server, threading.Event()
        self._found: Counter[str] = Counter()
        self._counting = threading.Lock()  # two threads that count a first one can count one
        self._encoded = triton.InferInput(INPUT, [1, 1], "BYTES")
        self._encoded.set_data_from_numpy(np.array([[image]], dtype=np.object_))
        self._tensor = triton.InferInput(INPUT, [1, 8, 8, 3], "UINT8")
        self._tensor.set_data_from_numpy(np.zeros((1, 8, 8, 3), np.uint8))

    def run(self, models: Sequence[str], answers: int = ANSWERS) -> Counter[str]:
        """Until enough are answered; each answer, and each rejection, counted by model."""
        senders = [
            threading.Thread(target=self._send, args=(models[number % len(models)],))
            for number in range(SENDERS)
        ]
        for each in senders:
            each.start()
        try:
            assert until(lambda: self.answered >= answers * len(models))
        finally:
            self._ended.set()
            for each in senders:
                each.join()
        return self._found

    @property
    def answered(self) -> int:
        """The requests that were answered."""
        with self._counting:
            return sum(count for what, count in self._found.items() if what.endswith("answered"))

    def _count(self, what: str) -> None:
        with self._counting:
            self._found[what] += 1

    def _send(self, model: str) -> None:
        given = self._encoded if model.endswith(("_image", "ten")) else self._tensor
        with triton.InferenceServerClient(self._server.grpc) as client:
            while not self._ended.is_set():
                try:
                    client.infer(model, [given], client_timeout=PATIENCE_S)
                    self._count(f"{model} answered")
                except InferenceServerException as error:
                    assert error.status() == "StatusCode.UNAVAILABLE", error
                    assert "Exceeds maximum queue size" in error.message()
                    self._count(f"{model} rejected")
                    time.sleep(0.02)


def counted(server: Server, name: str, model: str) -> int:
    """A number of the server's metrics; to Triton, what its backend rejects is a success."""
    with urlopen(f"http://{server.metrics}/metrics", timeout=PATIENCE_S) as page:
        lines = page.read().decode().splitlines()
    (line,) = [each for each in lines if each.startswith(f'{name}{{model="{model}"')]
    return int(float(line.rpartition(" ")[2]))


def decoded_in_vain(
    server: Server, image: bytes, models: Sequence[str], answers: int = ANSWERS
) -> float:
    """Images that were decoded and then rejected, for each request that the server answered."""
    decodes = "held_preprocess"
    if models[0] != "composed_image":
        decodes = f"{models[0].removesuffix('_image')}_preprocess"
    before = counted(server, f"{SECONDS}_count", decodes)
    load = Load(server, image)
    found = load.run(models, answers)
    assert found[f"{models[0]} rejected"] > 0, "it was no overload"
    decoded = counted(server, f"{SECONDS}_count", decodes) - before
    return (decoded - found[f"{models[0]} answered"]) / load.answered


@pytest.mark.parametrize(
    "models", [("held_image",), ("held_image", "held"), ("composed_image",), ("ten",)]
)
def test_hardly_an_image_is_decoded_in_vain(
    server: Server, image: bytes, models: Sequence[str]
) -> None:
    assert decoded_in_vain(server, image, models) < 0.3


def test_without_the_limit_many_are(server: Server, image: bytes) -> None:
    """What the others are compared with: a decoder that does not wait.

    Its network is slow, so that it gets far ahead on a busy host too, in spite of its priority.
    """
    assert decoded_in_vain(server, image, ("free_image",), answers=16) > 0.5


def test_tensors_alone_are_bounded_too(server: Server, image: bytes) -> None:
    before = counted(server, METRIC, "held")
    found = Load(server, image).run(("held",))
    assert found["held rejected"] > 0, "it was no overload"
    assert counted(server, METRIC, "held") - before == found["held rejected"]
