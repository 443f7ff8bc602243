"""LoadGen's four scenarios, in performance and in accuracy mode, on one system.

Reference: MLPerf Inference Rules, "Scenarios"; LoadGen's `test_settings.h`.
"""

from __future__ import annotations

import array
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen import logs
from loadgen.library import Library
from loadgen.systems import System
from resnet_serve.optional import optional

SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")
MODES = ("PerformanceOnly", "AccuracyOnly")
SAMPLES_PER_QUERY = 8  # of MultiStream, for image classification
# Offline sends once what is to last for the least duration. A server that is asked for a second is
# faster than in a trial of 64 images, and a run that ends too early is not valid.
_OFFLINE_MARGIN = 2

lg: Any = optional("mlperf_loadgen", extra="bench")


@dataclass(frozen=True)
class Settings:
    """`seconds` is the least duration, `queries` the least number of queries of a measurement.

    `image_ms` is what one image is expected to take, `rate` the images per second of Offline;
    `server_rate` are those offered in Server, of which 99 % have to be done in `limit_ms`.
    """

    seconds: float
    queries: int
    image_ms: float
    rate: float
    server_rate: float
    limit_ms: float

    def to_loadgen(self, scenario: str, mode: str) -> Any:
        """LoadGen's own settings."""
        made = lg.TestSettings()
        made.scenario = getattr(lg.TestScenario, scenario)
        made.mode = getattr(lg.TestMode, mode)
        made.min_duration_ms = round(1e3 * self.seconds)
        made.min_query_count = self.queries
        made.single_stream_expected_latency_ns = round(1e6 * self.image_ms)
        made.multi_stream_expected_latency_ns = round(1e6 * SAMPLES_PER_QUERY / self.rate * 1e3)
        made.multi_stream_samples_per_query = SAMPLES_PER_QUERY
        made.server_target_qps = self.server_rate
        made.server_target_latency_ns = round(1e6 * self.limit_ms)
        made.offline_expected_qps = _OFFLINE_MARGIN * self.rate
        return made


def run(
    system: System, library: Library, scenario: str, mode: str, settings: Settings, folder: Path
) -> logs.Result:
    """Run one scenario; LoadGen writes its logs into `folder`, from which the result is read.

    Raises `HostError` without LoadGen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    one_at_a_time = threading.Lock()

    def done(found: Sequence[tuple[int, int]]) -> None:
        for number, best in found:
            value = array.array("q", [best])  # lives until LoadGen has copied it
            address, length = value.buffer_info()
            response = lg.QuerySampleResponse(number, address, length * value.itemsize)
            with one_at_a_time:
                lg.QuerySamplesComplete([response])

    def issue(samples: Sequence[Any]) -> None:
        system.submit([(sample.id, sample.index) for sample in samples], done)

    output = lg.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    log = lg.LogSettings()
    log.log_output, log.enable_trace = output, False
    count = len(library)
    samples = lg.ConstructQSL(count, count, library.load, library.unload)
    under_test = lg.ConstructSUT(issue, lambda: None)
    try:
        lg.StartTestWithLogSettings(
            under_test, samples, settings.to_loadgen(scenario, mode), log, ""
        )
    finally:
        lg.DestroySUT(under_test)
        lg.DestroyQSL(samples)
    return logs.read(folder, library.labels)
