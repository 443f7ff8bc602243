"""Other converters of the same network: what each needs, and how it is run.

Each is a module in `converters/` with `convert` and `load`, run by `converters/evaluate.py` in an
environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from peers import environments
from peers.peer import lines_of
from resnet_serve.errors import HostError

CONVERTERS = Path(__file__).parent / "converters"
ROOT = Path(__file__).parents[2]
ONNX = ("onnx==1.23.2", "onnxruntime==1.31.1", "numpy<2")
TORCH = ("torch==2.13.0", "numpy<2", "pydantic", "pillow", "setuptools<82")


@dataclass(frozen=True)
class Converter:
    """One way from the trained network to a faster one, and where it is run.

    `requirements` is empty for what this environment has.
    """

    name: str
    title: str
    module: str
    requirements: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    better: str = ""

    @property
    def home(self) -> str:
        """The name of its environment."""
        return self.name

    @property
    def lines(self) -> int:
        """Lines of the user's own code; ours is one command."""
        return 1 if self.module == "with_ours" else lines_of(CONVERTERS / f"{self.module}.py")

    def run(self, folder: Path, seconds: float, timeout_s: float = 900) -> dict[str, Any]:
        """Convert in `folder` unless that is done, and run; raises `HostError` with its reason."""
        command = [str(environments.python_of(self)), str(CONVERTERS / "evaluate.py")]
        command += [self.module, str(folder), str(seconds)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        try:
            done = subprocess.run(
                command, env=environment, cwd=folder, capture_output=True, text=True,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{self.title} took more than {timeout_s:.0f} s") from error
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            raise HostError(f"{self.title} failed: {said[-1][:200]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


CONVERTING: Mapping[str, Converter] = MappingProxyType(
    {
        each.name: each
        for each in (
            Converter("eager", "PyTorch FP32, eager", "with_eager"),
            Converter(
                "compile",
                "torch.compile, FP32",
                "with_compile",
                better="One line, for any network, and nothing is lost.",
            ),
            Converter(
                "ours-onnxruntime",
                "resnet-convert INT8, ONNX Runtime",
                "with_ours",
                environment={"OURS_RUNTIME": "onnxruntime"},
            ),
            Converter(
                "ours-openvino",
                "resnet-convert INT8, OpenVINO",
                "with_ours",
                environment={"OURS_RUNTIME": "openvino"},
            ),
            Converter(
                "onnxruntime-static",
                "ONNX Runtime quantize_static, defaults",
                "with_onnxruntime",
                better="Any ONNX graph, transformers too; no other package is needed.",
            ),
            Converter(
                "nncf",
                "NNCF quantize, OpenVINO",
                "with_nncf",
                ("nncf==3.4.0", "openvino==2026.4.1", "numpy<2"),
                better="Any OpenVINO model, also detection and language models, and training with "
                "quantization.",
            ),
            Converter(
                "olive",
                "Olive OnnxStaticQuantization",
                "with_olive",
                (*ONNX, *TORCH, "olive-ai==0.13.0", "requests"),  # imported, and not required
                {"OLIVE_DISABLE_TELEMETRY": "1"},
                better="Many passes over one model, NPUs, and a search over both.",
            ),
            Converter(
                "torchao",
                "torchao PT2E, torch.compile",
                "with_torchao",
                (*TORCH, "torchao==0.18.0"),
                better="It stays a PyTorch program: no export to another runtime.",
            ),
        )
    }
)
