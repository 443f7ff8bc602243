"""Repositories of tiny models for the real tritonserver, and a look at the processes it leaves."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until

from resnet_serve.errors import HostError
from resnet_serve.triton.server import Running, Server

MEAN = "float[N,3,8,8] x) => (float[N,3] y"
FIXED = "float[1,3,8,8] x) => (float[1,3] y"
RELU = "y = Relu(x)"
LABELS = "left\nmiddle\nright\n"
IMAGE = np.stack([np.full((8, 8), level, np.float32) for level in (0.2, 0.9, 0.5)])
# The end of a configuration of a model that is never ready.
LONG_WARM_UP = """model_warmup [{
    name: "long" batch_size: 1 count: 1000000000
    inputs { key: "x" value { data_type: TYPE_FP32 dims: [3, 8, 8] zero_data: true } }
}]"""
_HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


def onnx_model(signature: str, body: str) -> bytes:
    """An ONNX model from text: `float[N,3] x) => (float[N,3] y` and `y = Relu(x)`."""
    text = f"{_HEADER}\ngraph ({signature}) {{ {body} }}"
    return onnx.parser.parse_model(text).SerializeToString()


def mean_model(signature: str = MEAN) -> bytes:
    """The mean over the last two axes: [N,3,8,8] to [N,3]."""
    return onnx_model(signature, "y = ReduceMean <axes = [2, 3], keepdims = 0> (x)")


def config(
    *,
    batch: int = 4,
    inputs: str = 'name: "x" data_type: TYPE_FP32 dims: [3, 8, 8]',
    outputs: str = 'name: "y" data_type: TYPE_FP32 dims: [3]',
    rest: str = "",
) -> str:
    """A config.pbtxt for `mean_model`, one instance on the CPU."""
    return (
        f'backend: "onnxruntime"\nmax_batch_size: {batch}\n'
        f"input [{{ {inputs} }}]\noutput [{{ {outputs} }}]\n"
        f"instance_group [{{ kind: KIND_CPU count: 1 }}]\n{rest}\n"
    )


def parameter(key: str, value: str) -> str:
    """A backend parameter in config.pbtxt."""
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def tensor(name: str, data_type: str, dims: list[int], rest: str = "") -> str:
    """The fields of an input or output in config.pbtxt."""
    return f'name: "{name}" data_type: TYPE_{data_type} dims: {dims} {rest}'


def write(repository: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write `model/1/model.onnx`-like paths below the repository."""
    for name, content in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return repository


def fill(repository: Path) -> Path:
    """One model, `mean`, whose labels are left, middle and right."""
    labelled = 'name: "y" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt"'
    return write(
        repository,
        {
            "README.md": "not a model",
            "mean/config.pbtxt": config(outputs=labelled),
            "mean/labels.txt": LABELS,
            "mean/1/model.onnx": mean_model(),
            "mean/2/model.onnx": mean_model(),
        },
    )


def refused_by_the_server(
    folder: Path, models: Mapping[str, tuple[str, bytes | None, str]]
) -> tuple[str, dict[str, str]]:
    """Start a server on models that it must all refuse: its line, and the reason for each model.

    A model is its configuration, its ONNX file if there is one, and what the test expects.
    """
    for name, (text, onnx_file, _) in models.items():
        (folder / "repository" / name / "1").mkdir(parents=True)
        write(folder / "repository" / name, {"config.pbtxt": text})
        if onnx_file is not None:
            write(folder / "repository" / name, {"1/model.onnx": onnx_file})
    with pytest.raises(HostError) as refused:
        Server(folder / "repository", port=0, log=folder / "log", drain_s=0).start()
    message, _, log = str(refused.value).partition(". Its log is ")
    assert log == str(folder / "log")
    print((folder / "log").read_text(), file=sys.stderr)  # shown where a test fails
    entries = message.split("cannot load ")[1:]
    return message, dict(entry.split(": ", maxsplit=1) for entry in entries)


def labels_of(server: Server | Running, image: np.ndarray) -> list[str]:
    """What the model of `fill` answers over gRPC, best first."""
    with triton.InferenceServerClient(server.grpc) as client:
        given = triton.InferInput("x", [1, *image.shape], "FP32")
        given.set_data_from_numpy(image[None])
        wanted = [triton.InferRequestedOutput("y", class_count=3)]
        best = client.infer("mean", [given], outputs=wanted, client_timeout=PATIENCE_S).as_numpy(
            "y"
        )
    return [entry.decode().split(":")[2] for entry in best[0]]


@dataclass(frozen=True)
class Processes:
    """The supervisors, servers and stubs of a repository, and the process groups they form."""

    commands: dict[int, str]
    groups: frozenset[int]

    @classmethod
    def of(cls, repository: Path) -> Processes:
        """Those that run now: their working directory holds a link to the repository."""
        commands = {
            pid: _command(pid)
            for pid in _pids()
            if _resolved(Path(f"/proc/{pid}/cwd/repository")) == repository.resolve()
        }
        return cls(commands, frozenset(filter(None, map(_group, commands))))

    def named(self, program: str) -> list[int]:
        """The process ids of the commands in which `program` occurs."""
        return [pid for pid, command in self.commands.items() if program in command]

    def left(self) -> list[str]:
        """What still lives in these groups; a zombie does not."""
        return [_command(pid) for pid in _pids() if _group(pid) in self.groups]

    def gone(self) -> bool:
        return until(lambda: not self.left())


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _command(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return command.replace(b"\0", b" ").decode(errors="replace")


def _group(pid: int) -> int | None:
    """The process group; None for a process that has ended."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state in "ZX" else int(group)


def _resolved(link: Path) -> Path | None:
    try:
        return link.readlink().resolve()
    except OSError:
        return None


def supervisors() -> set[int]:
    """The supervisors that this process has started and that still run."""
    ours = os.getpid()
    children = Path(f"/proc/{ours}/task").glob("*/children")
    pids = {int(pid) for each in children for pid in each.read_text().split()}
    return {pid for pid in pids if "supervision.supervisor" in _command(pid) and _group(pid)}
