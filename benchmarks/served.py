"""What serving costs: INT8 ResNet-50 over gRPC against the same file in process, same threads.

    python benchmarks/served.py

Rounds alternate between ONNX Runtime in process and perf_analyzer against Triton, so that changes
of the machine affect both; ratios are per round. None is stated where its interval is wide, or
where tasks waited for a CPU before the benchmark began. The network is untrained: speed only.
Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from recorded import in_words, record

from resnet_convert import convert
from resnet_serve import Server
from resnet_serve.loadtest import run as loadtest
from resnet_serve.parity import pressure
from resnet_serve.parity.latency import ratio_of
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime

NAME = "resnet50_int8"


def in_process(model: Path, threads: int, seconds: float) -> float:
    """Images per second of one session, one image after another."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    with onnxruntime_runtime.load(model, threads=threads) as session:
        for _ in range(10):
            session.run(pixels)
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            session.run(pixels)
            done += 1
        return done / (time.perf_counter() - started)


def main() -> None:
    """Measure in rounds, in process and served, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--concurrency", default="1,2,4,8")
    options = parser.parse_args()
    pressed = pressure.lately()
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        conversion = convert(
            arch="resnet50",
            weights="random",
            precision="int8",
            calibration="digits",
            calibration_images=32,
            validation="digits",
            validation_images=8,
            name=NAME,
            repository=repository,
        )
        threads = conversion.serving.threads
        model = repository / NAME / "1" / "model.onnx"
        with Server(repository, port=0) as server:
            for number in range(1, options.rounds + 1):
                alone = in_process(model, threads, options.seconds)
                test = loadtest.run(
                    NAME, url=server.grpc, concurrency=options.concurrency, seconds=options.seconds
                )
                for level in test.levels:
                    rows.append(
                        {
                            "round": number,
                            "concurrency": level.concurrency or 0,
                            "in_process_per_s": round(alone, 2),
                            "served_per_s": round(level.throughput_per_s, 2),
                            "served_p50_ms": round(level.p50_ms, 2),
                            "ratio": round(level.throughput_per_s / alone, 4),
                        }
                    )
                    print(in_words(rows[-1]), flush=True)
    write(rows, threads, pressed)


def write(rows: list[dict[str, float]], threads: int, pressed: float | None) -> None:
    """Print the medians and write the results."""
    levels = sorted({row["concurrency"] for row in rows})
    medians = {
        str(int(level)): ratio_of(
            [row["ratio"] for row in rows if row["concurrency"] == level], pressed
        ).to_json()
        for level in levels
    }
    best = [
        max(r["ratio"] for r in rows if r["round"] == number)
        for number in sorted({row["round"] for row in rows})
    ]
    result = {
        "what": "served images/s over in-process images/s, INT8 ResNet-50, batch 1 requests",
        "threads": threads,
        "ratio_by_concurrency": medians,
        "ratio_at_best_concurrency": ratio_of(best, pressed).to_json(),
    }
    print(json.dumps(result, indent=2))
    record("served", rows, result)


if __name__ == "__main__":
    main()
