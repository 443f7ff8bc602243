"""Triton is told not to complete configurations only where every one of them is complete."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import versioned
from patience import until
from tiny_repository import config, fill, mean_model, write

from resnet_serve.triton import image_repository
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.program.completion import switched
from resnet_serve.triton.supervision.status import SERVING

OFF = "--disable-auto-complete-config"


def is_off(*repositories: Path) -> bool:
    command = ["tritonserver", *(f"--model-repository={each}" for each in repositories), "--id=a"]
    found = switched(command)
    assert found in (command, [*command, OFF])
    return OFF in found


def is_told(server: Server) -> bool:
    command = Path(f"/proc/{server.status.server_pid}/cmdline").read_bytes()
    return OFF.encode() in command.split(b"\0")


def test_what_is_converted_is_complete(tmp_path: Path) -> None:
    made = Repository(tmp_path / "models")
    versioned.deploy(made)
    (tmp_path / "beside").mkdir()
    second = image_repository.of(made.path)
    assert is_off(made.path, second, tmp_path / "beside")
    assert is_off(made.path, tmp_path / "none")
    (second / "lost+found").mkdir()
    assert is_off(made.path, second), "no model"
    (second / "more" / "1").mkdir(parents=True)
    assert not is_off(made.path, second), "a model without a configuration"
    assert not is_off(tmp_path / "beside"), "nothing is known of what will be there"
    assert not is_off()


@pytest.mark.parametrize(
    "text",
    [
        'backend: "onnxruntime"\nmax_batch_size: 4\n',
        'backend: "onnxruntime"\ninput [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]\n',
        'backend: "onnxruntime"\noutput [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
        "model_warmup [\n  {\n    input [ ]\n  }\n]\n",
        'backend: "python"\ninput [ { name: "x" } ]\noutput [ { name: "y" } ]\n',
        'input [ { name: "x" } ]\noutput [ { name: "y" } ]\n',
    ],
)
def test_what_leaves_something_out_is_not(text: str, tmp_path: Path) -> None:
    write(tmp_path / "models", {"net/config.pbtxt": config()})
    assert is_off(tmp_path / "models")
    write(tmp_path / "models", {"own/config.pbtxt": text})
    assert not is_off(tmp_path / "models")


@pytest.mark.triton
def test_a_model_that_was_added_is_completed_by_a_restarted_server(tmp_path: Path) -> None:
    """So it is beside directories that hold no model, where models are loaded by name."""
    repository = fill(tmp_path / "models")
    for each in ("lost+found", ".git", "notes"):
        (repository / each).mkdir()
    with Server(repository, port=0, drain_s=0, policy=Policy(first_delay_s=0.01)) as server:
        assert is_told(server)
        added = {"own/config.pbtxt": 'backend: "onnxruntime"', "own/1/model.onnx": mean_model()}
        write(repository, added)
        os.kill(server.status.server_pid, signal.SIGKILL)
        assert until(lambda: (server.status.state, server.status.restarts) == (SERVING, 1))
        assert not is_told(server)
        assert server.models == {"mean": ("2",), "own": ("1",)}
