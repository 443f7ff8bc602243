"""How many cores we may use: wrong answers here make every latency wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve import host


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def _v1(root: Path, quota: str, period: str = "100000") -> None:
    (root / "cpu").mkdir()
    (root / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (root / "cpu/cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),  # half a core is still one thread
        ("1600000 100000\n", 8),  # a quota above the affinity gives nothing more
        ("100 0\n", 8),
        ("nonsense\n", 8),
        ("", 8),
    ],
)
def test_cgroup_v2_quota(tmp_path: Path, content: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert host.cores(tmp_path) == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [
        ("-1", "100000", 8),
        ("300000", "100000", 3),
        ("1000", "100000", 1),
        ("0", "100000", 8),
        ("100000", "0", 8),
        ("x", "y", 8),
    ],
)
def test_cgroup_v1_quota(tmp_path: Path, quota: str, period: str, cores: int) -> None:
    _v1(tmp_path, quota, period)
    assert host.cores(tmp_path) == cores


def test_no_cgroup_means_the_affinity(tmp_path: Path) -> None:
    assert host.cores(tmp_path / "absent") == 8


def test_v2_is_asked_before_v1(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000")
    _v1(tmp_path, "100000")
    assert host.cores(tmp_path) == 8


def test_a_system_without_affinity_counts_its_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert host.cores(tmp_path) == 1


@given(st.integers(-10, 10**7), st.integers(-10, 10**7))
def test_never_less_than_one_core(tmp_path: Path, quota: int, period: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota} {period}")
    assert host.cores(tmp_path) >= 1


CPUINFO = """processor\t: 0
model name\t: Intel(R) Xeon(R) Test
flags\t\t: fpu avx2 avx512f avx512_vnni amx_int8
"""


def test_describe_reads_processor_and_instruction_sets(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO)
    described = host.describe(cpuinfo)
    assert described.processor == "Intel(R) Xeon(R) Test"
    assert described.instruction_sets == ("AVX2", "AVX-512", "AVX512-VNNI", "AMX-INT8")
    assert described.fast_int8
    assert described.memory_gib > 0
    assert json.loads(json.dumps(described.to_json()))["cores"] == described.cores


@pytest.mark.parametrize("flags", ["", "avx2 avx512f avx512_bf16", "asimd fp16"])
def test_int8_is_not_called_fast_without_the_instructions(tmp_path: Path, flags: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags : {flags}\n")
    assert not host.describe(cpuinfo).fast_int8


def test_a_system_without_cpuinfo_is_described_too(tmp_path: Path) -> None:
    assert host.describe(tmp_path / "absent").instruction_sets == ()


def test_the_authorities_are_those_that_the_host_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.pem"
    own.write_bytes(b"own")
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert host.authorities() == b"own"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setattr(host, "_AUTHORITIES", (str(tmp_path / "nor.pem"), str(own)))
    assert host.authorities() == b"own", "of a distribution"
    monkeypatch.setattr(host, "_AUTHORITIES", ())
    assert host.authorities() is None
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    monkeypatch.setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", str(own))
    assert host.authorities() is None, "gRPC reads it"
