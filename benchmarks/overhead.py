"""Where the time of a served image goes, against the same model in process, on the same cores.

    python benchmarks/overhead.py

INT8 networks over gRPC, as one uint8 tensor and as a JPEG whose best five classes are asked for,
with 1, 4 and 16 requests in flight; with more than one, four times as many images, as a 99th
percentile needs them. Per image: CPU time of the server, of the process that runs the network, of
those that decode, and of the client; the wait in the queue, for the copies and for the inference,
from Triton's own counters; latencies, of a client in real time, and those in process, whose tail is
the host's; for a lone image also that of a gRPC call that asks for nothing, after an inference as
before each image. In process, in turns with the load, as the speed of a host changes within
seconds: the same file at batch 1 on all cores; for a JPEG, images that are decoded and classified
one after another, as a program without a server does it. CPU time is that of whole processes.
The networks are untrained: speed only.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import struct
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import grpc
import numpy as np
from real_time import real_time
from recorded import in_words, record
from spent import Spent
from tritonclient.grpc import service_pb2, service_pb2_grpc

from resnet_convert import convert
from resnet_serve import Server, host, runtimes
from resnet_serve.loadtest import inputs
from resnet_serve.parity import pressure
from resnet_serve.parity.latency import ratio_of
from resnet_serve.preprocessing import Preprocessing, decode

Row: TypeAlias = dict[str, str | float]
TARGETS = ("onnxruntime", "openvino")
TURNS = {1: 8, 4: 4, 16: 2}  # by requests in flight, which end together in each
TOP, SETTLING, PAUSE_S = 5, 3, 0.01  # the pause is for threads of the runtime that spin
RATIOS = ("cpu_ratio", "latency_ratio", "p99_over_p50", "in_process_p99_over_p50")
STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass
class Alone:
    """In process at batch 1: latencies and CPU time in milliseconds, and all its CPU seconds."""

    took_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    own_s: float = 0.0

    def run(self, call: Callable[[int], object], images: int) -> None:
        """So many images, one after another, after a few that are not counted."""
        started_s = time.process_time()
        for number in range(SETTLING):
            call(number)
        cpu_s = time.process_time()
        for number in range(images):
            began = time.perf_counter()
            call(number)
            self.took_ms.append(1e3 * (time.perf_counter() - began))
        self.cpu_ms += 1e3 * (time.process_time() - cpu_s)
        self.own_s += time.process_time() - started_s


@dataclass(frozen=True)
class Load:
    """The requests of one served model, and `call`, the same in process."""

    url: str
    requests: Sequence[service_pb2.ModelInferRequest]
    call: Callable[[int], object]

    async def run(self, in_flight: int, images: int) -> tuple[list[float], float, Alone]:
        """Send so many images, in turns with some in process.

        Returns the latencies in milliseconds, the seconds and what was done in process.
        """
        async with grpc.aio.insecure_channel(self.url) as channel:
            infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            found, seconds, alone = list[float](), 0.0, Alone()
            part = images // TURNS[in_flight]
            for _ in range(TURNS[in_flight]):
                alone.run(self.call, part // min(in_flight, 4))
                await asyncio.sleep(PAUSE_S)
                with real_time():
                    began = time.perf_counter()
                    found += await self._send(infer, in_flight, part)
                    seconds += time.perf_counter() - began
            return found, seconds, alone

    async def _send(self, infer: Any, in_flight: int, images: int) -> list[float]:
        left, found = iter(range(images)), list[float]()

        async def work() -> None:
            for number in left:
                began = time.perf_counter()
                await infer(self.requests[number % len(self.requests)])
                found.append(1e3 * (time.perf_counter() - began))

        await asyncio.gather(*(work() for _ in range(in_flight)))
        return found


async def bare_call_ms(load: Load, times: int) -> float:
    """The median latency of a call that asks only whether the server lives, after other work."""
    async with grpc.aio.insecure_channel(load.url) as channel:
        live = service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive
        took = list[float]()
        for number in range(times):
            load.call(number)
            began = time.perf_counter()
            await live(service_pb2.ServerLiveRequest())
            took.append(1e3 * (time.perf_counter() - began))
        return round(statistics.median(took), 3)


def requests_of(
    name: str, kind: str, images: Sequence[bytes], side: int
) -> list[service_pb2.ModelInferRequest]:
    """One image a request: a uint8 tensor for its logits, or a JPEG for its best classes."""
    made = []
    for data in images:
        request = service_pb2.ModelInferRequest(model_name=name)
        if kind == "tensor":
            request.inputs.add(name="image", datatype="UINT8", shape=[1, side, side, 3])
            request.raw_input_contents.append(data)
        else:
            request.model_name = f"{name}_image"
            request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
            request.raw_input_contents.append(struct.pack("<I", len(data)) + data)
            request.outputs.add(name="logits").parameters["classification"].int64_param = TOP
        made.append(request)
    return made


def stages_us(server: Server, name: str) -> dict[str, float]:
    """Triton's microseconds so far, by stage of one model."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as answer:
        text = answer.read().decode()
    line = rf'^nv_inference_(\w+)_duration_us\{{model="{name}",.*\}} (\S+)'
    found = dict(re.findall(line, text, re.M))
    return {stage: float(found[stage]) for stage in STAGES}


def measured(
    server: Server, name: str, load: Load, in_flight: int, images: int
) -> dict[str, float]:
    """One load on one model: milliseconds per image, but for images per second."""
    asyncio.run(load.run(in_flight, TURNS[in_flight] * max(SETTLING, in_flight)))
    stages_before, before = stages_us(server, name), Spent.now(server)
    latencies, seconds, alone = asyncio.run(load.run(in_flight, images))
    spent, stages = Spent.now(server).since(before), stages_us(server, name)

    def per_image(cpu_s: float) -> float:
        return round(1e3 * cpu_s / images, 3)

    models = {key: per_image(value) for key, value in spent.models.items()}
    return {
        "images_per_s": round(images / seconds, 2),
        "p50_ms": round(float(np.percentile(latencies, 50)), 3),
        "p99_ms": round(float(np.percentile(latencies, 99)), 3),
        "server_cpu_ms": per_image(spent.server),
        "network_cpu_ms": round(models.get(name, 0.0) + models.get(f"{name}_image", 0.0), 3),
        "decoding_cpu_ms": models.get(f"{name}_preprocess", 0.0),
        "client_cpu_ms": per_image(spent.client - alone.own_s),
        "in_process_cpu_ms": round(alone.cpu_ms / len(alone.took_ms), 3),
        "in_process_p50_ms": round(statistics.median(alone.took_ms), 3),
        "in_process_p99_ms": round(float(np.percentile(alone.took_ms, 99)), 3),
        **{
            f"{stage}_ms": round((stages[stage] - stages_before[stage]) / 1e3 / images, 3)
            for stage in STAGES
        },
    }


def prepared(folder: Path, arch: str, targets: Sequence[str]) -> None:
    """Convert what the folder lacks."""
    for target in targets:
        if not (folder / f"{arch}_{target}").exists():
            convert(
                arch=arch,
                weights="random",
                precision="int8",
                target=target,
                calibration="digits",
                calibration_images=32,
                validation="digits",
                validation_images=8,
                name=f"{arch}_{target}",
                max_queue=4 * max(TURNS),
                repository=folder,
            )


def rounds(server: Server, folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Every round: each runtime, tensors and JPEGs, served and in process in turn."""
    for number in range(1, options.rounds + 1):
        for target in options.targets.split(","):
            name = f"{options.arch}_{target}"
            data = (folder / name / "1" / "model.onnx").read_bytes()
            files = inputs.samples(inputs.describe(server.grpc, f"{name}_image")).images
            with runtimes.open_on_cpu(target, "int8", data, host.cores()) as model:
                for kind, load in loads_of(server, name, files, model):
                    for in_flight in TURNS:
                        images = options.images if in_flight == 1 else 4 * options.images
                        found = measured(server, name, load, in_flight, images)
                        found["bare_call_ms"] = 0.0
                        if in_flight == 1:
                            found["bare_call_ms"] = asyncio.run(bare_call_ms(load, images // 2))
                        yield row(number, target, kind, in_flight, found)


def loads_of(
    server: Server, name: str, files: Sequence[bytes], model: runtimes.RunnableModel
) -> Iterator[tuple[str, Load]]:
    """The kinds of image: what is sent, and the same in process."""
    preprocessing = Preprocessing()
    pixels = [preprocessing.pixels(decode(data)) for data in files]
    side, raw = pixels[0].shape[0], [image.tobytes() for image in pixels]

    def infer(number: int) -> object:
        return model.run(pixels[number % len(pixels)][None])

    def decode_and_infer(number: int) -> object:
        return model.run(preprocessing.pixels(decode(files[number % len(files)]))[None])

    yield "tensor", Load(server.grpc, requests_of(name, "tensor", raw, side), infer)
    yield "jpeg", Load(server.grpc, requests_of(name, "jpeg", files, side), decode_and_infer)


def row(number: int, target: str, kind: str, in_flight: int, found: dict[str, float]) -> Row:
    """One load of one round, with its ratios."""
    served = found["server_cpu_ms"] + found["network_cpu_ms"] + found["decoding_cpu_ms"]
    made: Row = {
        "round": number,
        "target": target,
        "kind": kind,
        "in_flight": in_flight,
        **found,
        "cpu_ratio": round(served / found["in_process_cpu_ms"], 4),
        "latency_ratio": round(found["p50_ms"] / found["in_process_p50_ms"], 4),
        **{
            f"{each}p99_over_p50": round(found[f"{each}p99_ms"] / found[f"{each}p50_ms"], 4)
            for each in ("", "in_process_")
        },
    }
    print(in_words(made), flush=True)
    return made


def main() -> None:
    """Measure in rounds and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=96, help="of each lone load, in each round")
    parser.add_argument("--models", type=Path, help="keep the converted networks here")
    parser.add_argument("--name", default="overhead", help="of the results")
    options = parser.parse_args()
    pressed = pressure.lately()
    with TemporaryDirectory() as temporary:
        folder = options.models or Path(temporary) / "models"
        prepared(folder, options.arch, options.targets.split(","))
        with Server(folder, port=0) as server:
            rows = list(rounds(server, folder, options))
    cells: dict[str, list[Row]] = defaultdict(list)
    for each in rows:
        cells[f"{each['target']}, {each['kind']}, {each['in_flight']} in flight"].append(each)
    summary: dict[str, object] = {
        "what": f"{(__doc__ or '').partition(chr(10))[0]} INT8 {options.arch}",
        "ratios": {
            name: {
                ratio: ratio_of(
                    [float(each[ratio]) for each in found],
                    None if ratio == "cpu_ratio" else pressed,
                ).to_json()
                for ratio in RATIOS
            }
            for name, found in cells.items()
        },
    }
    record(options.name, rows, summary)


if __name__ == "__main__":
    main()
