"""LoadGen on our networks: the real load generator asks the real systems, and its logs are read."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import mlperf
import numpy as np
import pytest
from loadgen import logs, scenarios, systems
from loadgen.library import Library
from loadgen.scenarios import MODES, SAMPLES_PER_QUERY, SCENARIOS, Settings

from resnet_serve import weights
from resnet_serve.architectures import find
from resnet_serve.datasets import open_images
from resnet_serve.datasets.selection import spread
from resnet_serve.runtimes import pytorch

IMAGES = 24
needs_loadgen = pytest.mark.skipif(
    find_spec("mlperf_loadgen") is None, reason="mlcommons-loadgen is not installed"
)


@pytest.fixture(scope="module")
def network() -> weights.Weights:
    return weights.load("digits", find("resnet20"))


@pytest.fixture
def library(network: weights.Weights) -> Library:
    images = spread(open_images("digits", None, split="validation"), IMAGES)
    return Library(images, network.preprocessing)


def settings() -> Settings:
    """Faster than any CPU here: LoadGen makes its queries beforehand and must not run out."""
    return Settings(seconds=0.1, queries=3, image_ms=0.5, rate=2000, server_rate=100, limit_ms=1000)


@needs_loadgen
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_loadgen_runs_pytorch_and_its_logs_are_read(
    scenario: str, network: weights.Weights, library: Library, tmp_path: Path
) -> None:
    model = pytorch.load(network.network(), threads=1)
    seen: list[int] = []

    def classify(pixels: np.ndarray) -> np.ndarray:
        seen.append(len(pixels))
        return model.run(network.preprocessing.normalize(pixels))

    system = systems.InProcess(classify, library, most=4)
    speed, correct = (
        scenarios.run(system, library, scenario, mode, settings(), tmp_path / mode)
        for mode in MODES
    )
    system.close()
    assert (speed.scenario, speed.mode, correct.mode) == (scenario, *MODES)
    assert speed.samples >= (SAMPLES_PER_QUERY if scenario == "MultiStream" else 1)
    assert speed.value is not None and speed.value > 0
    assert speed.p50_ms is not None and 0 < speed.p50_ms <= (speed.p99_ms or 0)
    assert speed.errors == correct.errors == 0
    # Every image is asked for once in accuracy mode; MultiStream fills its last query up.
    assert correct.samples >= IMAGES
    library.load(range(IMAGES))
    logits = model.run(network.preprocessing.normalize(library.batch(range(IMAGES))))
    if scenario != "MultiStream":
        expected = 100 * float(np.mean(logits.argmax(1) == library.labels))
        assert correct.accuracy == pytest.approx(expected)
    assert (correct.accuracy or 0) > 90
    assert max(seen) <= 4
    if scenario == "SingleStream":
        assert max(seen) == 1
    if scenario == "Offline":
        assert max(seen) == 4


@needs_loadgen
def test_a_run_that_is_too_short_is_not_called_valid(library: Library, tmp_path: Path) -> None:
    system = systems.InProcess(lambda pixels: np.zeros((len(pixels), 10), np.float32), library, 1)
    found = scenarios.run(system, library, "Server", MODES[0], settings(), tmp_path)
    system.close()
    assert not found.valid
    assert found.invalid == ("too few queries for the percentile (early stopping)",)


@needs_loadgen
def test_a_system_that_fails_ends_the_run_with_its_error(library: Library, tmp_path: Path) -> None:
    def broken(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such kernel")

    system = systems.InProcess(broken, library, most=1)
    found = scenarios.run(system, library, "SingleStream", MODES[1], settings(), tmp_path)
    assert found.accuracy == 0
    with pytest.raises(RuntimeError, match="no such kernel"):
        system.close()


def test_a_row_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    speed = logs.Result(
        "Server", MODES[0], "images_per_s", 93.5, 7.25, 21.5, False, ("too few",), 0, None, 664
    )
    correct = logs.Result("Server", MODES[1], None, None, None, None, True, (), 0, 99.2, 500)
    made = mlperf.row("openvino served", speed, correct, settings())
    assert capsys.readouterr().out == (
        "openvino served, Server at 100 offered per second: images per s 93.5, p50 7.25 ms, "
        "p99 21.5 ms over 664 samples; 99.2 % right of 500; not valid (too few)\n"
    )
    assert mlperf.sentence({**made, "offered_per_s": "", "valid": True}) == (
        "openvino served, Server: images per s 93.5, p50 7.25 ms, p99 21.5 ms over 664 samples; "
        "99.2 % right of 500; valid"
    )


def test_the_last_value_of_a_key_counts_and_other_lines_are_passed_over() -> None:
    lines = [
        f":::MLLOG {json.dumps({'key': 'result_validity', 'value': value, 'time_ms': 1})}"
        for value in ("INVALID", "VALID")
    ]
    assert logs.detail("\n".join(["noise", *lines, ""])) == {"result_validity": "VALID"}


def test_the_class_in_the_accuracy_log_is_an_int64() -> None:
    for value in (0, 7, 999, -1):
        assert logs.decoded(np.array([value], np.int64).tobytes().hex()) == value
