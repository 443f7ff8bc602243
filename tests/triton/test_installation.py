"""Which tritonserver is found, and the backend directory made for it."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from packaging.requirements import Requirement
from tiny_repository import config, mean_model, supervisors, write

from resnet_serve import host
from resnet_serve.errors import HostError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import installation
from resnet_serve.triton.installation import Installation, build_backends, find, our_backends
from resnet_serve.triton.server import Server

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVER_EXTRA = [Requirement(each) for each in PROJECT["optional-dependencies"]["server"]]


@pytest.fixture
def wheel(tmp_path: Path) -> Installation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nothing")
        return find(tmp_path / "no container")


def test_the_wheel_s_server(wheel: Installation) -> None:
    assert wheel.kind == "wheel"
    assert wheel.version == "2.51.0"
    assert wheel.binary.name == "tritonserver"
    assert wheel.stub_python == PYTHON
    assert any(path.name == "nvidia_pytriton.libs" for path in wheel.library_path)


@pytest.mark.parametrize(("given", "threads"), [(None, 1), ("2", 2)])
def test_numpy_starts_no_threads_in_a_stub_unless_told(
    given: str | None, threads: int, wheel: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if given is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
    code = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=wheel.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ended.stdout) == min(threads, host.cores())


def test_no_server_at_all() -> None:
    """A Python without site-packages has no wheel."""
    code = "from resnet_serve.triton.installation import find; find()"
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(ROOT), "PATH": "/nothing"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "there is no tritonserver on this host" in ended.stderr
    assert "pip install 'resnet-serve[server]'" in ended.stderr


def test_a_python_the_wheel_has_no_stub_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.setattr(installation, "_our_python", lambda: "3.99")
    with pytest.raises(HostError, match=r"cannot run backends in Python 3\.99.*3\.11 or 3\.12"):
        find(Path("/no container"))


def test_a_python_that_the_extra_has_no_server_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel needs NumPy 1, which pip would build from source."""
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for python in ("3.11", "3.12", "3.13", "3.14"):
        monkeypatch.setattr(installation, "_our_python", lambda python=python: python)
        with pytest.raises(HostError, match="there is no tritonserver on this host") as refused:
            find(Path("/no container"))
        has_one = any(
            each.name == "nvidia-pytriton"
            and (each.marker is None or each.marker.evaluate({"python_version": python}))
            for each in SERVER_EXTRA
        )
        assert has_one == (python in ("3.11", "3.12"))
        assert ("pip install 'resnet-serve[server]'" in str(refused.value)) == has_one
        assert ("Use Python 3.11 or 3.12" in str(refused.value)) != has_one


@pytest.mark.parametrize(
    ("python", "remedy"), [(None, "pip install 'numpy<2'"), ("3.13", "Use Python 3.11 or 3.12")]
)
def test_numpy_2_beside_the_wheel(
    monkeypatch: pytest.MonkeyPatch, python: str | None, remedy: str
) -> None:
    """Its Python backend reads arrays of NumPy 1, and would end at the first request."""
    monkeypatch.setenv("PATH", "/nothing")
    versions = importlib.metadata.version
    monkeypatch.setattr(
        "importlib.metadata.version", lambda name: "2.5.5" if name == "numpy" else versions(name)
    )
    if python is not None:
        monkeypatch.setattr(installation, "_our_python", lambda: python)
    with pytest.raises(HostError, match=r"with NumPy 1, and NumPy 2\.5\.5 is installed") as refused:
        find(Path("/no container"))
    assert remedy in str(refused.value)


def test_a_python_without_a_shared_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nothing")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: None)
    monkeypatch.setattr(sys, "base_prefix", "/nothing")
    monkeypatch.setattr("ctypes.util.find_library", lambda _: None)
    with pytest.raises(HostError, match=r"no shared libpython.*--enable-shared"):
        find(Path("/no container"))


def test_our_backends_beside_the_python_backend(wheel: Installation, tmp_path: Path) -> None:
    built = build_backends(wheel, tmp_path / "backends")
    assert {path.name for path in built.iterdir()} == {"python", *our_backends()}
    assert set(our_backends()) >= {"image", "onnxruntime"}
    library = built / "python" / "libtriton_python.so"
    assert library.is_file()
    assert not library.is_symlink()


def test_a_tritonserver_without_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = write(tmp_path, {"bin/tritonserver": "#!/bin/sh\n"}) / "bin/tritonserver"
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(HostError, match="no backends directory") as refused:
        find(tmp_path / "no container")
    assert str(program) in str(refused.value)


@pytest.fixture
def container(wheel: Installation, tmp_path: Path) -> Path:
    """The wheel's server laid out as NVIDIA's container is, with a native backend `onnxruntime`.

    That one is Python too, but not ours: it answers with zeros.
    """
    root = tmp_path / "tritonserver"
    (root / "bin").mkdir(parents=True)
    shutil.copy2(wheel.binary, root / "bin/tritonserver")
    assert wheel.python_backend is not None
    assert wheel.stub is not None
    shutil.copytree(wheel.python_backend, root / "backends/python")
    shutil.copy2(wheel.stub, root / "backends/python")
    (root / "lib").mkdir()
    for directory in wheel.library_path:
        for library in directory.glob("lib*.so*"):
            (root / "lib" / library.name).symlink_to(library)
    site = str(Path(triton.__file__).parents[2])
    native = f"""
import sys
sys.path.append({site!r})
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        zeros = np.zeros((1, 3), np.float32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", zeros)]) for _ in requests]
"""
    write(root, {"TRITON_VERSION": "2.51.0\n", "backends/onnxruntime/model.py": native})
    return root


@pytest.mark.triton
def test_in_a_container_native_backends_stay_and_image_is_added(
    container: Path, tmp_path: Path
) -> None:
    found = find(container)
    assert (found.kind, found.version, found.stub_python) == ("container", "2.51.0", PYTHON)
    preprocess = (
        'backend: "image" max_batch_size: 4\n'
        'input [{ name: "image" data_type: TYPE_STRING dims: [1] }]\n'
        'output [{ name: "pixels" data_type: TYPE_UINT8 dims: [8, 8, 3] }]\n'
    )
    repository = write(
        tmp_path / "repository",
        {
            "mean/config.pbtxt": config(),
            "mean/1/model.onnx": mean_model(),
            "pixels/config.pbtxt": preprocess,
            "pixels/1/preprocessing.json": Preprocessing(resize=8, crop=(8, 8)).to_json(),
        },
    )
    with Server(repository, port=0, drain_s=0, installation=found) as server:
        assert set(server.models) == {"mean", "pixels"}
        with triton.InferenceServerClient(server.grpc) as client:
            given = triton.InferInput("x", [1, 3, 8, 8], "FP32")
            given.set_data_from_numpy(np.ones((1, 3, 8, 8), np.float32))
            assert not client.infer("mean", [given]).as_numpy("y").any()


def test_another_python_gets_this_package_alone(container: Path, tmp_path: Path) -> None:
    """Compiled packages of our Python would break NVIDIA's: it has its own numpy and Pillow."""
    found = replace(find(container), stub_python="3.10")
    backends = build_backends(found, tmp_path / "scratch/backends")
    assert "site-packages" not in (backends / "image/model.py").read_text()
    link = tmp_path / "scratch/packages/resnet_serve"
    assert link.resolve() == ROOT / "resnet_serve"


@pytest.mark.triton
def test_a_stub_that_cannot_run_is_told_at_once(
    container: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tritonserver itself would wait for ever."""
    repository = write(
        tmp_path / "repository", {"m/config.pbtxt": config(), "m/1/model.onnx": mean_model()}
    )
    found = find(container)
    before = supervisors()
    monkeypatch.setenv("PATH", "/nothing")  # where the server looks for a shell
    with pytest.raises(HostError, match="Failed to run python backend stub") as refused:
        Server(repository, port=0, installation=found, log=tmp_path / "log").start()
    assert str(tmp_path / "log") in str(refused.value)
    assert supervisors() <= before
