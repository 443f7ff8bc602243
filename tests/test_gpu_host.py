"""`make test-gpu` on this host: each file imports with what it needs, and the end says what ran."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gpu_report import PARTS, GpuReport

from resnet_serve.cuda.nvidia_smi import gpus

ROOT = Path(__file__).parent.parent
DRIVER_ONLY = """
import sys
from importlib.abc import MetaPathFinder

NAMES = {names!r}

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
OPTIONAL = sorted(
    {module.partition(".")[0] for needs in PARTS.values() for module in needs.modules}
)


@pytest.mark.skipif(bool(gpus()), reason="this host has a GPU: make test-gpu")
def test_without_any_package_the_device_tests_still_start(tmp_path: Path) -> None:
    """As on a host with the driver, Python, numpy and pytest: no file fails to import."""
    (tmp_path / "driver_only.py").write_text(DRIVER_ONLY.format(names=OPTIONAL))
    results = tmp_path / "results"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "driver_only", "-p", "no:cacheprovider"),
            *("tests/gpu", "--gpu-results", str(results)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "on this GPU host: no GPU" in ended.stdout
    table = {line.partition("  ")[0]: line for line in ended.stdout.splitlines()}
    assert "this host has no GPU" in table["device interface"]
    for needs in PARTS.values():
        if needs.modules:
            assert f"not installed: {', '.join(needs.modules)}" in table[needs.title]
    assert not results.exists(), "nothing ran on a GPU"


def test_every_file_of_the_folder_is_a_part() -> None:
    files = {path.stem for path in (ROOT / "tests/gpu").glob("test_*.py")}
    assert files == set(PARTS)


def reported(name: str, outcome: str, why: object = None, **numbers: object) -> pytest.TestReport:
    nodeid = f"tests/gpu/{name}.py::test_it"
    return pytest.TestReport(
        nodeid=nodeid,
        location=(f"tests/gpu/{name}.py", 1, "test_it"),
        keywords={},
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=why,  # type: ignore[arg-type]
        when="call",
        duration=1.25,
        user_properties=list(numbers.items()),
    )


def test_the_files_of_a_run_have_its_hardware_date_rows_and_numbers(tmp_path: Path) -> None:
    report = GpuReport(5, tmp_path)
    report.pytest_runtest_logreport(reported("test_cuda_on_a_gpu", "passed"))
    report.pytest_runtest_logreport(reported("test_pytorch_on_a_gpu", "passed", ms=1.5))
    report.pytest_runtest_logreport(reported("test_pytorch_on_a_gpu", "failed", "a reason"))
    skip = ("file.py", 3, "Skipped: no cuDNN")
    for _ in range(2):
        report.pytest_runtest_logreport(reported("test_onnxruntime_on_a_gpu", "skipped", skip))
    for path, text in report.files():
        path.write_text(text)
    (summary,), (table,) = tmp_path.glob("gpu-*.json"), tmp_path.glob("gpu-*.csv")
    facts = json.loads(summary.read_text())
    assert {"what", "taken", "host", "versions", "gpus"} <= set(facts)
    assert facts["versions"]["numpy"]
    parts = {part["part"]: part for part in facts["parts"]}
    assert parts["PyTorch"] == {
        **{"part": "PyTorch", "passed": 1, "failed": 1, "skipped": 0, "seconds": 2.5},
        **{"reasons": "", "numbers": {"ms": 1.5}},
    }
    assert parts["ONNX Runtime CUDA"]["reasons"] == "no cuDNN"
    with table.open(newline="") as file:
        rows = {row["part"]: row for row in csv.DictReader(file)}
    assert rows["ONNX Runtime CUDA"]["skipped"] == "2"
    assert list(rows) == [needs.title for needs in PARTS.values()]


def test_nothing_is_started_after_its_time(request: pytest.FixtureRequest) -> None:
    GpuReport(0, None).pytest_runtest_setup(request.node)  # not one of its tests
    one: Any = SimpleNamespace(nodeid="tests/gpu/test_pytorch_on_a_gpu.py::test_one")
    GpuReport(5, None).pytest_runtest_setup(one)
    with pytest.raises(pytest.skip.Exception, match="0 minutes were over"):
        GpuReport(0, None).pytest_runtest_setup(one)


def test_the_time_of_a_gpu_host_ends_no_other_test() -> None:
    """The whole suite loads the folder's conftest.py too, and takes longer than its minutes."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"),
            *("tests/gpu", "tests/test_errors.py", "--gpu-minutes", "0"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " passed" in ended.stdout
    assert "--gpu-minutes" not in ended.stdout
