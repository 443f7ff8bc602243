"""TensorRT-RTX as the doctor sees it: the real packages, none, and two that do not match."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import rtx

from resnet_serve.doctor import rtx_library
from resnet_serve.doctor.diagnosis import Finding

PROGRAM = """
import json
from dataclasses import asdict
from resnet_serve.doctor.rtx_library import examine
print(json.dumps(asdict(examine())))
"""


def examined(*folders: Path) -> Finding:
    paths = os.pathsep.join(map(str, (*folders, *rtx.OURS)))
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True
    )
    return Finding(**{**json.loads(done.stdout), "needed_for": ()})


def test_the_real_packages() -> None:
    found = examined(rtx.wheels())
    assert (found.subject, found.status) == (rtx_library.SUBJECT, "ok")
    assert found.found.startswith(f"{rtx.BINDINGS}: builds plans without a GPU")
    assert "no Hopper" in found.found


@pytest.mark.skipif(
    find_spec("tensorrt_rtx_bindings") is not None,
    reason="TensorRT-RTX is installed here",
)
def test_no_packages() -> None:
    found = examined()
    assert found.status == "missing"
    assert found.command == "pip install 'resnet-serve[tensorrt-rtx]'"


@pytest.mark.parametrize(
    ("version", "says"), [("1.6.1.120", "they must match"), ("1.7.1.116", "cannot be loaded")]
)
def test_packages_that_do_not_work(version: str, says: str, tmp_path: Path) -> None:
    for name in (
        "onnxruntime_ep_nv_tensorrt_rtx/__init__.py",
        "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_rtx.so.1.7.1",
        "onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_onnxparser_rtx.so.1.7.1",
        "tensorrt_rtx_bindings/__init__.py",
        f"tensorrt_rtx_cu13_bindings-{version}.dist-info/METADATA",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    facts = tmp_path / f"tensorrt_rtx_cu13_bindings-{version}.dist-info" / "METADATA"
    facts.write_text(f"Name: tensorrt-rtx-cu13-bindings\nVersion: {version}\n")
    found = examined(tmp_path)
    assert found.status == "missing"
    assert says in found.found
    assert "--force-reinstall" in found.command
