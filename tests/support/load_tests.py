"""Load tests as if they had been measured, for the tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from resnet_serve import host
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.inputs import signature_of
from resnet_serve.loadtest.perf_analyzer import Level, Measurement
from resnet_serve.loadtest.perf_program import Program
from resnet_serve.loadtest.run import LoadTest


def level(concurrency: int | None, throughput_per_s: float = 100, **changed: object) -> Level:
    steady = Level(
        concurrency=concurrency,
        requests=500,
        throughput_per_s=throughput_per_s,
        window_throughputs_per_s=(throughput_per_s,) * 3,
        mean_ms=10.0,
        p50_ms=9.0,
        p90_ms=12.0,
        p95_ms=13.0,
        p99_ms=15.0,
        client_network_ms=1.0,
        queue_ms=4.0,
        compute_input_ms=0.5,
        compute_infer_ms=4.0,
        compute_output_ms=0.5,
    )
    return replace(steady, **changed)  # type: ignore[arg-type]


def load_test(*measured: Level, note: str | None = None, window_s: float = 2) -> LoadTest:
    signature = signature_of("toy", "3", "triton 2.51.0", [("image", "UINT8", (-1, 8, 8, 3))], 4)
    program = Program(Path("/bin/perf_analyzer"), "2.51.0", None, note)
    found = Measurement(signature, "127.0.0.1:1", 1, "8 images", window_s, program, measured)
    said = loadtest.notes(found, 6, None)
    return LoadTest(found, host.describe(), False, said, "resnet-serve loadtest toy", "2026-01-01")
