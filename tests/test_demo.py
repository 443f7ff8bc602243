"""`make demo`, as far as its digits go: the main job from checkpoint to load test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import rtx

ROOT = Path(__file__).parent.parent


@pytest.mark.triton
@pytest.mark.perf_analyzer
@pytest.mark.slow
def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--digits-only"],
        cwd=tmp_path,
        env={
            **os.environ,
            "COLUMNS": "120",
            "PYTHONPATH": os.pathsep.join([*sys.path, str(rtx.wheels())]),
        },
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    output = tmp_path / "demo_output"
    for precision in ("fp32", "fp16", "int8"):
        assert (output / "model_repository" / f"digits_{precision}" / "1" / "report.html").is_file()
    assert (output / "loadtest" / "loadtest-digits_int8.csv").is_file()
    for line in done.stdout.splitlines():
        if line.startswith("demo_output/digits/") and line.endswith(".png"):
            truth = Path(line).parent.name
            answer = done.stdout.partition(line)[2].split()[0]
            assert answer == truth, line
    assert done.stdout.count(".png") >= 12
    clothes = [line for line in done.stdout.splitlines() if line.startswith("demo_output/clothes/")]
    right = 0
    for line in clothes:
        answer = done.stdout.partition(line)[2].lstrip().replace("/", "-")
        right += answer.startswith(Path(line).parent.name)
    assert right >= 3, clothes
    assert (output / "rtx_repository" / "digits_rtx" / "1" / "model.rtx").is_file()
    assert "It has not run" in done.stdout
    assert "everything that was started is stopped" in done.stdout
    assert "resnet-serve up --repository demo_output/model_repository" in done.stdout
