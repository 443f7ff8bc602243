"""LoadGen's logs: `mlperf_log_detail.txt`, lines of JSON, and `mlperf_log_accuracy.json`.

The summary for people, `mlperf_log_summary.txt`, is not read: the detailed log has all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNVERIFIED = "unverified, not an MLPerf result"
_MARK = ":::MLLOG "
_UNMET = {  # LoadGen's own conditions, and what it means that one is not met
    "result_min_duration_met": "it was too short",
    "result_min_queries_met": "too few queries",
    "result_perf_constraints_met": "too many queries over the latency limit",
    "early_stopping_met": "too few queries for the percentile (early stopping)",
}
_METRICS = {  # by scenario: what MLPerf states, its key, and what it is multiplied with
    "SingleStream": ("p90_ms", "result_90.00_percentile_latency_ns", 1e-6),
    "MultiStream": ("p99_ms", "result_99.00_percentile_per_query_latency_ns", 1e-6),
    "Server": ("images_per_s", "result_completed_samples_per_sec", 1.0),
    "Offline": ("images_per_s", "result_samples_per_second", 1.0),
}


@dataclass(frozen=True)
class Result:
    """One run of LoadGen: what it states, whether it calls it valid, and the accuracy in percent.

    `metric` and `value` are None in accuracy mode, `accuracy` in performance mode. `invalid` are
    LoadGen's own reasons; `errors` the number of errors that it saw.
    """

    scenario: str
    mode: str
    metric: str | None
    value: float | None
    p50_ms: float | None
    p99_ms: float | None
    valid: bool
    invalid: tuple[str, ...]
    errors: int
    accuracy: float | None
    samples: int


def read(folder: Path, labels: NDArray[np.int64]) -> Result:
    """The result in LoadGen's logs. `labels` are the classes of the images, by their index."""
    facts = detail((folder / "mlperf_log_detail.txt").read_text(encoding="utf-8"))
    scenario, mode = str(facts["effective_scenario"]), str(facts["effective_test_mode"])
    errors = int(facts.get("num_errors", 0))
    if mode == "AccuracyOnly":
        entries = json.loads((folder / "mlperf_log_accuracy.json").read_text(encoding="utf-8"))
        correct = [decoded(entry["data"]) == labels[entry["qsl_idx"]] for entry in entries]
        percent = 100 * float(np.mean(correct)) if correct else 0.0
        return Result(
            scenario, mode, None, None, None, None, not errors, (), errors, percent, len(entries)
        )
    metric, key, factor = _METRICS[scenario]
    per_query = "per_query_" if scenario == "MultiStream" else ""
    p50, p99 = (
        1e-6 * float(facts[f"result_{share}_percentile_{per_query}latency_ns"])
        for share in ("50.00", "99.00")
    )
    count = int(facts["result_query_count"]) * int(facts["generated_samples_per_query"])
    valid = facts["result_validity"] == "VALID"
    reasons = tuple(meaning for key, meaning in _UNMET.items() if facts.get(key) is False)
    return Result(
        scenario, mode, metric, factor * float(facts[key]), p50, p99, valid, reasons, errors, None,
        count,
    )  # fmt: skip


def detail(text: str) -> Mapping[str, Any]:
    """The last value of every key of a detailed log."""
    entries = [
        json.loads(line.removeprefix(_MARK)) for line in text.splitlines() if line.startswith(_MARK)
    ]
    return {entry["key"]: entry["value"] for entry in entries}


def decoded(data: str) -> int:
    """The class in an entry of the accuracy log: the hexadecimal bytes of an INT64."""
    return int(np.frombuffer(bytes.fromhex(data), np.int64)[0])
