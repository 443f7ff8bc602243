"""Which wheel a host gets, and what is said when pip brings none, or another file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from wheel_folder import TINY, pip_from, write_wheel

from resnet_serve.errors import HostError, InputFileError
from resnet_serve.loadtest import perf_wheel
from resnet_serve.loadtest.perf_wheel import Wheel, for_host


@pytest.mark.parametrize(
    ("glibc", "version"),
    [
        ("2.34", "2.51.0"),
        ("2.36", "2.51.0"),
        ("2.38", "2.60.0"),
        ("2.41", "2.60.0"),
        ("3.0", "2.60.0"),
    ],
)
def test_the_newest_wheel_this_glibc_runs(glibc: str, version: str) -> None:
    assert for_host("x86_64", "Linux", ("glibc", glibc)).version == version


@pytest.mark.parametrize(
    ("machine", "system", "libc", "said"),
    [
        ("aarch64", "Linux", ("glibc", "2.39"), "Linux aarch64"),
        ("arm64", "Darwin", ("", ""), "Darwin arm64"),
        ("x86_64", "Linux", ("", ""), "needs glibc"),
        ("x86_64", "Linux", ("glibc", "2.31"), "2.34 or newer; this is 2.31"),
    ],
)
def test_a_host_that_cannot_run_it(
    machine: str, system: str, libc: tuple[str, str], said: str
) -> None:
    with pytest.raises(HostError, match=said) as caught:
        for_host(machine, system, libc)
    assert caught.value.exit_code == 4
    assert caught.value.remedy is not None


def test_pip_finds_the_wheel_where_the_user_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_wheel(tmp_path / "wheels", TINY, b"program")
    pip_from(monkeypatch, folder=tmp_path / "wheels")
    wheel = Wheel("2.51.0", (2, 0), perf_wheel.durable.sha256(file), file.stat().st_size)
    seen: list[tuple[int, int]] = []
    found = perf_wheel.download(wheel, tmp_path, lambda done, total: seen.append((done, total)))
    assert found.read_bytes() == file.read_bytes()
    assert seen[-1] == (wheel.size_bytes, wheel.size_bytes)
    perf_wheel.extract(found, wheel, tmp_path / "perf_analyzer")
    assert (tmp_path / "perf_analyzer").read_bytes() == b"program"
    assert os.access(tmp_path / "perf_analyzer", os.X_OK)


def test_another_file_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "wheels", TINY, b"another program")
    pip_from(monkeypatch, folder=tmp_path / "wheels")
    with pytest.raises(InputFileError, match=r"SHA-256 .* expected 0000000000000000") as caught:
        perf_wheel.download(TINY, tmp_path, None)
    assert caught.value.exit_code == 5


def test_offline_is_a_host_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_from(monkeypatch, index="http://127.0.0.1:9/simple")
    with pytest.raises(HostError, match="package index cannot be reached") as caught:
        perf_wheel.download(TINY, tmp_path, None)
    assert caught.value.exit_code == 4
    assert "PIP_FIND_LINKS" in str(caught.value)


def test_an_index_without_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    pip_from(monkeypatch, folder=tmp_path / "empty")
    with pytest.raises(HostError, match=r"requirement tritonclient==2\.51\.0"):
        perf_wheel.download(TINY, tmp_path, None)


def test_a_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.base_exec_prefix}/bin/python3" -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(HostError, match="ensurepip"):
        perf_wheel.download(TINY, tmp_path, None)


def test_a_wheel_without_the_program(tmp_path: Path) -> None:
    file = write_wheel(tmp_path, TINY, None)
    with pytest.raises(InputFileError, match="contains no perf_analyzer"):
        perf_wheel.extract(file, TINY, tmp_path / "perf_analyzer")
    file.write_bytes(b"not a zip file")
    with pytest.raises(InputFileError, match="contains no perf_analyzer"):
        perf_wheel.extract(file, TINY, tmp_path / "perf_analyzer")
