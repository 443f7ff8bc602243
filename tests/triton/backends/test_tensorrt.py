"""Our `tensorrt` backend in the real server of a host without a GPU: found, and refused in a line.

Triton's core refuses what asks for a GPU before any backend is asked; the rest reaches ours. One
server that must not start is given every such model at once.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_repository import write

from resnet_serve.cuda import open_device
from resnet_serve.errors import HostError
from resnet_serve.triton.server import Server

pytestmark = pytest.mark.triton

PLATFORM, BACKEND = 'platform: "tensorrt_plan"', 'backend: "tensorrt"'
NO_GPU = "of model {name} has kind KIND_GPU but no GPUs are available"
GPU_ONLY = "unable to load model '{name}', TensorRT backend supports only GPU device"
# name: (platform or backend, instance group, what is said)
REFUSED = {
    "gpu": (PLATFORM, "kind: KIND_GPU count: 1", NO_GPU),
    "gpu_by_backend": (BACKEND, "kind: KIND_GPU count: 1", NO_GPU),
    "gpu_named": (PLATFORM, "kind: KIND_GPU gpus: [0]", "invalid or unsupported gpu id 0"),
    "cpu": (PLATFORM, "kind: KIND_CPU count: 1", GPU_ONLY),
    "cpu_by_backend": (BACKEND, "kind: KIND_CPU count: 1", GPU_ONLY),
    "auto": (PLATFORM, "kind: KIND_AUTO count: 1", GPU_ONLY),
    "model": (PLATFORM, "kind: KIND_MODEL count: 1", GPU_ONLY),
    "profiles": (PLATFORM, 'kind: KIND_CPU count: 1 profile: ["0", "1"]', GPU_ONLY),
    "bare": (None, None, GPU_ONLY),
}


def config(platform: str, group: str) -> str:
    return (
        f"{platform}\nmax_batch_size: 8\n"
        'input [{ name: "image" data_type: TYPE_UINT8 dims: [32, 32, 3] }]\n'
        'output [{ name: "logits" data_type: TYPE_FP32 dims: [10] }]\n'
        f"instance_group [{{ {group} }}]\n"
    )


@pytest.fixture(scope="module")
def reasons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why each model was refused, in the server's words."""
    try:
        open_device().close()
    except HostError:
        pass
    else:
        pytest.skip("this host has a GPU: tests/gpu serves plans on it")
    folder: Path = tmp_path_factory.mktemp("refused")
    for name, (platform, group, _) in REFUSED.items():
        files: dict[str, str | bytes] = {f"{name}/1/model.plan": b"no plan"}
        if platform is not None and group is not None:
            files[f"{name}/config.pbtxt"] = config(platform, group)
        write(folder / "repository", files)
    with pytest.raises(HostError) as refused:
        Server(folder / "repository", port=0, log=folder / "log", drain_s=0).start()
    message = str(refused.value).partition(". Its log is ")[0]
    entries = [entry.strip(" ;") for entry in message.split("cannot load ")[1:]]
    return dict(entry.split(": ", maxsplit=1) for entry in entries)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(reasons: dict[str, str], name: str) -> None:
    said, expected = reasons[name], REFUSED[name][2].format(name=name)
    assert expected in said
    assert "\n" not in said
    assert "Traceback" not in said
    if REFUSED[name][2] is GPU_ONLY:
        assert said == expected


def test_the_backend_is_found(reasons: dict[str, str]) -> None:
    assert set(reasons) == set(REFUSED)
    assert not [said for said in reasons.values() if re.search("unable to find backend", said)]
