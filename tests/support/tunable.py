"""Models to be tuned: versions of one tiny network, and benches that answer from a formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import image_models
from passports import DECISIONS, converted
from toy_repository import CLASSES, LABELS, SIDE, toy_model

from resnet_serve import durable, passport
from resnet_serve.errors import HostError
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_process import Window
from resnet_serve.passport import OnnxFacts, TensorContractFacts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import TARGETS
from resnet_serve.triton import config, queue_bound
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import ModelFiles, Repository, whole
from resnet_serve.tuning.climb import Stop
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.trials import Point, State, Trial

PREPROCESSING = Preprocessing(resize=SIDE, crop=(SIDE, SIDE))
NAMES = image_models.NAMES


def deploy(
    repository: Repository | Path,
    *,
    precision: str = "fp32",
    target: str = "onnxruntime",
    hidden: int = 64,
    lost_points: float = 0.0,
    serve: bool = True,
    **changes: object,
) -> int:
    """Deploy the next version of `net`, with 1 instance × 1 thread and batches up to 4."""
    opened = repository if isinstance(repository, Repository) else Repository(repository)
    serving = config.Serving(max_batch_size=4, instances=1, threads=1)
    bound = queue_bound.of_latency(1.0, instances=1)
    kind = {"input_kind": "uint8", "preprocessing": PREPROCESSING, "serving": serving}
    net = config.classifier(
        "net", target=TARGETS[target], classes=CLASSES, precision=precision, queue=bound, **kind
    )
    labels = {LABELS_FILE: config.labels_text(LABELS).encode()}
    data = toy_model(hidden)
    files = [
        ModelFiles("net", config.to_text(net), labels, {"model.onnx": data}),
        *image_models.around(kind, CLASSES, labels),
    ]
    decisions = dataclasses.replace(DECISIONS, difference_points=0.0 - lost_points)
    stated = converted(
        name="net",
        precision=precision,
        target=target,
        classes=CLASSES,
        outputs={"logits": (CLASSES,)},
        model=OnnxFacts(
            file="model.onnx",
            sha256=durable.sha256(data),
            size_bytes=len(data),
            opset=17,
            ir_version=8,
        ),
        contract=TensorContractFacts(
            input="uint8",
            preprocessing=PREPROCESSING,
            max_batch_size=4,
            instances=1,
            threads=1,
        ),
        parity=dataclasses.replace(converted().parity, decisions=decisions),
        files=whole.hashes(files),
        **changes,
    )
    stamped = {**files[0].version_files, passport.FILE_NAME: stated.to_bytes()}
    return opened.deploy(
        [dataclasses.replace(files[0], version_files=stamped), *files[1:]], serve=serve
    )


def point(
    throughput_per_s: float = 100,
    p99_ms: float = 20,
    concurrency: int | None = 1,
    **changes: object,
) -> Point:
    facts = {
        "concurrency": concurrency,
        "requests": 300,
        "throughput_per_s": throughput_per_s,
        "p50_ms": p99_ms / 2,
        "p99_ms": p99_ms,
        "mean_batch": 1.0,
        "largest_batch": 1,
        "busy": 0.5,
    }
    return Point(**{**facts, **changes})  # type: ignore[arg-type]


def configuration(**changes: object) -> Configuration:
    facts = {"version": 1, "instances": 1, "threads": 1, "max_batch_size": 4}
    return Configuration(**{**facts, **changes})  # type: ignore[arg-type]


def trial(*points: Point, number: int = 1, **changes: object) -> Trial:
    return Trial(
        number=number,
        configuration=configuration(**changes),
        points=points,
        state=State.MEASURED,
        reason="no more throughput",
    )


class FormulaBench:
    """A host whose speed is a formula: `image_ms` of a configuration for one image in a batch.

    Instances work in parallel, a batch costs a fixed part once. `calls` has every configuration
    that was served, `fails` those that cannot be.
    """

    def __init__(
        self,
        image_ms: Callable[[Configuration], float],
        *,
        fixed_ms: float = 2.0,
        fails: Callable[[Configuration], bool] = lambda _: False,
    ) -> None:
        self._image_ms, self._fixed_ms, self._fails = image_ms, fixed_ms, fails
        self.calls: list[Configuration] = []
        self.loads: list[tuple[str, Offered]] = []
        self._served: dict[str, Configuration] = {}

    def __enter__(self) -> FormulaBench:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def serve(self, wanted: Configuration, *, keep: str = "") -> str:
        self.calls.append(wanted)
        if self._fails(wanted):
            raise HostError("it cannot be loaded", where="the server")
        model = str(wanted.to_json())
        self._served[model] = wanted
        return model

    def load(self, model: str, offered: Offered, stop: Stop) -> Point | None:
        self.loads.append((model, offered))
        wanted = self._served[model]
        in_flight = offered.concurrency or wanted.instances
        batch = max(1, min(wanted.max_batch_size, in_flight // wanted.instances))
        batch_ms = self._fixed_ms + batch * self._image_ms(wanted)
        if wanted.max_batch_size > 1 and batch < wanted.max_batch_size:
            batch_ms += wanted.delay_ms
        running = min(wanted.instances, in_flight)
        throughput = 1000 * running * batch / batch_ms
        if offered.rate_per_s is not None:
            load = offered.rate_per_s / throughput
            throughput = min(throughput, offered.rate_per_s)
            mean_ms = batch_ms / max(0.02, 1 - load)
        else:
            mean_ms = 1000 * in_flight / throughput
        if stop(Window(throughput, mean_ms)):
            return None
        return Point(
            concurrency=offered.concurrency,
            rate_per_s=offered.rate_per_s,
            requests=round(3 * throughput),
            throughput_per_s=throughput,
            p50_ms=mean_ms,
            p99_ms=1.3 * mean_ms,
            mean_batch=float(batch),
            largest_batch=batch,
            busy=running / wanted.instances,
        )

    def tested(self, model: str, check: object) -> str:
        return "no examples"
