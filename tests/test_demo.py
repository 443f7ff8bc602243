"""`make demo`, as far as its digits go: the main job from checkpoint to load test."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import rtx
from quick import few_digits, quicken

from resnet_serve import console
from resnet_serve.loadtest.run import LoadTest
from resnet_serve.triton.server import Server

EXAMPLES = Path(__file__).parent.parent / "examples"
LEVEL_S = 1.0


def test_a_second_demo_in_the_folder_is_refused_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    demo = importlib.import_module("demo")
    written = tmp_path / "demo_output" / "model_repository"
    written.mkdir(parents=True)
    with demo.alone(), pytest.raises(SystemExit) as refused:
        demo.main()
    assert refused.value.code == 2
    said = f"{written.parent}: another demo is writing there now. Wait for it."
    assert capsys.readouterr() == ("", f"error: {said}\n")
    assert written.is_dir()
    monkeypatch.setattr(demo, "run", lambda _: None)
    demo.main()  # it has ended


@pytest.mark.triton
@pytest.mark.perf_analyzer
@pytest.mark.slow
def test_the_demo_does_the_main_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The conversion to FP32 and the engine as they are, each in a process; the others in this one,
    with times of a moment, no figures and fewer digits. A level of a load test takes a second.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for path in (EXAMPLES, rtx.wheels()):
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    demo = importlib.import_module("demo")
    in_a_process = demo.command

    def command(line: str, environment: Mapping[str, str] | None = None) -> None:
        if "--precision fp32" in line or environment is not None:
            in_a_process(line, environment)
            return
        demo.console.print(f"$ {line}")
        name, *arguments = shlex.split(line)
        with monkeypatch.context() as patch:
            quicken(patch, cores=None)
            few_digits(patch)
            patch.setattr(sys, "argv", [name, *arguments])
            for each in (console.out, console.err):
                patch.setattr(each, "_width", 120)
            try:
                code = importlib.import_module(demo.MODULES[name]).main()
            except SystemExit as stop:
                code = stop.code
            assert not code, line

    measured = demo.load_test

    def load_test(server: Server, model: str, concurrency: str, seconds: float) -> LoadTest:
        assert seconds > LEVEL_S
        found: LoadTest = measured(server, model, concurrency, LEVEL_S)
        return found

    monkeypatch.setattr(demo.console, "_width", 120)
    monkeypatch.setattr(demo, "command", command)
    monkeypatch.setattr(demo, "load_test", load_test)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--digits-only"])
    demo.main()
    stdout = capfd.readouterr().out
    output = tmp_path / "demo_output"
    for precision in ("fp32", "fp16", "int8"):
        assert (output / "model_repository" / f"digits_{precision}" / "1" / "report.html").is_file()
    assert (output / "loadtest" / "loadtest-digits_int8.csv").is_file()
    for line in stdout.splitlines():
        if line.startswith("demo_output/digits/") and line.endswith(".png"):
            truth = Path(line).parent.name
            answer = stdout.partition(line)[2].split()[0]
            assert answer == truth, line
    assert stdout.count(".png") >= 12
    clothes = [line for line in stdout.splitlines() if line.startswith("demo_output/clothes/")]
    right = 0
    for line in clothes:
        answer = stdout.partition(line)[2].lstrip().replace("/", "-")
        right += answer.startswith(Path(line).parent.name)
    assert right >= 3, clothes
    assert (output / "rtx_repository" / "digits_rtx" / "1" / "model.rtx").is_file()
    assert "It has not run" in stdout
    assert "everything that was started is stopped" in stdout
    assert "resnet-serve up --repository demo_output/model_repository" in stdout
