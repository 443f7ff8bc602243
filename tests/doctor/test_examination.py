"""The doctor on this host, and on hosts with things missing, broken, full, taken or read-only."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from resnet_serve import host
from resnet_serve.doctor import examination as doctor
from resnet_serve.doctor.diagnosis import Diagnosis, Finding
from resnet_serve.doctor.examination import Package, package_of

SUBJECTS = ["Python", "processor", "GPU", "tritonserver", "perf_analyzer", "shared memory"]
SUBJECTS += ["ONNX Runtime CUDA", "TensorRT-RTX", "user cache", "repository", "ports"]
SUBJECTS += [package.distribution for package in doctor.PACKAGES]

# Runs the doctor where none of the extras can be found, as in a base installation.
BASE_ALONE = """
import json, sys
class Base:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        absent = name.split(".")[0] in {extras!r}
        return None if absent else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Base, sys.meta_path)
from pathlib import Path
from resnet_serve.doctor import examination as doctor
print(json.dumps(doctor.examine(Path({folder!r}), cache=Path({folder!r})).to_json()))
"""


def of(diagnosis: Diagnosis, subject: str) -> Finding:
    return next(finding for finding in diagnosis.findings if finding.subject == subject)


def program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctor")


@pytest.fixture(scope="module")
def here(place: Path) -> Diagnosis:
    return doctor.examine(place / "repository", cache=place / "cache")


def test_everything_is_looked_at_once(here: Diagnosis) -> None:
    assert sorted(finding.subject for finding in here.findings) == sorted(SUBJECTS)


def test_this_development_host_can_do_it_all(here: Diagnosis) -> None:
    here.require(doctor.FEATURES)
    assert of(here, "tritonserver").status == "ok"
    assert "shared library" in of(here, "Python").found
    assert of(here, "torch").found.startswith("2.")


def test_it_leaves_no_trace(here: Diagnosis, place: Path) -> None:
    assert list(place.iterdir()) == []


def test_every_problem_has_a_command(here: Diagnosis) -> None:
    for finding in here.findings:
        if finding.status == "missing" and finding.subject != "GPU":
            assert finding.command, finding


def test_the_base_installation_alone(tmp_path: Path) -> None:
    extras = {package.module for package in doctor.PACKAGES if "[" in package.requirement}
    script = BASE_ALONE.format(extras=extras | {"pytriton"}, folder=str(tmp_path))
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["features"] == {
        "convert": False,
        "serve": False,
        "loadtest": True,
        "classify": True,
    }
    commands = {found["subject"]: found["command"] for found in document["findings"]}
    assert commands["torch"] == "pip install 'resnet-serve[convert]'"
    assert "resnet-serve[server]" in commands["tritonserver"]
    assert "loadtest" in commands["perf_analyzer"]


def test_a_package_that_is_not_there() -> None:
    found = package_of(Package("no_such.module", "no-such", "resnet-serve[plot]", ("convert",)))
    assert (found.status, found.needed_for) == ("missing", ("convert",))
    assert found.command == "pip install 'resnet-serve[plot]'"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ImportError('built for another numpy')", "built for another numpy"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "-11"),
    ],
)
def test_a_package_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    (tmp_path / "broken_engine.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = package_of(Package("broken_engine", "broken-engine", "broken-engine"))
    assert found.status == "missing"
    assert said in found.found
    assert "--force-reinstall" in found.command


def test_a_gpu_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "nvidia-smi", "echo 'NVIDIA L4, 550.54.15, 8.9, 23034'")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = doctor._gpu()
    assert found.status == "ok"
    assert found.found == "NVIDIA L4, driver 550.54.15, compute capability 8.9, 22.5 GiB"


def test_a_gpu_without_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    program(tmp_path, "nvidia-smi", f'echo "{said}"; exit 9')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = doctor._gpu()
    assert (found.status, found.found) == ("warning", f"nvidia-smi failed: {said}")


def test_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._gpu() == Finding(
        "GPU", "missing", "no GPU: TensorRT engines cannot be built here"
    )


def test_a_processor_without_vnni() -> None:
    old = replace(host.describe(), instruction_sets=("AVX2",))
    assert doctor._processor(old).status == "warning"
    assert doctor._processor(replace(old, instruction_sets=("AVX512-VNNI",))).status == "ok"


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = doctor._ports([port])
    assert (found.status, found.found) == ("warning", f"in use: {port}")
    assert "--port 0" in found.command
    assert doctor._ports([port]).status == "ok"


def test_a_read_only_repository(read_only_disk: Path) -> None:
    found = doctor._place("repository", read_only_disk / "models")
    assert found.status == "warning"
    assert "read-only" in found.found


def test_little_disk(small_disk: Path) -> None:
    found = doctor._place("user cache", small_disk)
    assert (found.status, found.command) == ("warning", "free some disk space")


def test_a_perf_analyzer_that_does_not_run_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "perf_analyzer", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert doctor._perf_analyzer(tmp_path / "cache").status == "warning"


def test_what_cannot_be_examined_is_a_warning_not_an_end() -> None:
    found = doctor._safely("ports", doctor._ports, [70000])
    assert (found.subject, found.status) == ("ports", "warning")
    assert "could not be checked (OverflowError" in found.found
