"""A host that appears to have a GPU: a double of TensorRT builds, inspects and runs our graphs.

    host = GpuHost(trt_version="11.4.0.106", precision="fp16")
    trt = double(host.behaviours())         # then installed(trt), and cuda.open_device = host.open

The plan's logits are those of the parsed ONNX, rounded as its types say; the inspector's JSON is
made from the same ONNX. So the whole conversion runs without a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from engine_json import information
from memory_device import MemoryDevice
from numpy.typing import NDArray
from scripted_engine import ScriptedEngine

from resnet_convert.graph.emulate import emulated
from resnet_serve.runtimes import onnxruntime

PLAN = b"a plan of "


class GpuHost:
    """`fell_back` are convolutions that the engine computes in another precision.

    `outputs` are the sides of every output by name, of a network that is no classifier; `wrong_by`
    is added to the last of them. A run takes `run_s` and what the graph takes on the CPU.
    """

    def __init__(
        self,
        version: str,
        precision: str,
        *,
        profiles: tuple[str, ...] = ("1:8:8",),
        fell_back: Mapping[str, str] | None = None,
        wrong_by: float = 0.0,
        hardware: str = "NONE",
        outputs: Mapping[str, tuple[int, ...]] | None = None,
        run_s: float = 0.0,
    ) -> None:
        self.device = MemoryDevice()
        self.opened = 0
        self._major = int(version.partition(".")[0])
        self._precision, self._fell_back = precision, fell_back
        self._wrong_by, self._hardware, self._run_s = wrong_by, hardware, run_s
        self._model: ir.Model | None = None
        self._session: Any = None
        self._engine = ScriptedEngine(
            self.device,
            profiles=profiles,
            sides=(32, 32, 3),
            answer=self._logits if outputs is None else self._outputs,
            classes=10,
            outputs=outputs,
        )

    def open(self, index: int = 0) -> MemoryDevice:
        self.opened += 1
        return self.device

    def behaviours(self) -> dict[str, Any]:
        return {
            **self._engine.behaviours(),
            "OnnxParser.parse": self._parse,
            "ITensor.name": "image",
            "ITensor.shape": (-1, 32, 32, 3),
            "Builder.build_serialized_network": self._build,
            "ITimingCache.serialize": b"timings",
            "ICudaEngine.hardware_compatibility_level": self._level,
            "EngineInspector.get_engine_information": self._inspect,
        }

    def _parse(self, parser: Any, model: Any, path: str | None = None) -> bool:
        self._model = ir.from_proto(onnx.load_from_string(bytes(model)))
        return True

    def _build(self, builder: Any, network: Any, config: Any) -> bytes:
        monitor = config.progress_monitor
        monitor.phase_start("Building Engine", None, 2)
        for step in range(2):
            assert monitor.step_complete("Building Engine", step)
        monitor.phase_finish("Building Engine")
        assert self._model is not None
        self._session = onnxruntime.load(emulated(self._model), threads=1)
        return PLAN + str(self._model.graph.name).encode()

    def _level(self, engine: Any) -> Any:
        import tensorrt as trt

        return getattr(trt.HardwareCompatibilityLevel, self._hardware)

    def _inspect(self, inspector: Any, layer_format: Any) -> str:
        assert self._model is not None
        return information(self._model, self._precision, major=self._major, but=self._fell_back)

    def _outputs(self, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        time.sleep(self._run_s)
        found: dict[str, NDArray[np.float32]] = self._session.run_all(images)
        last = list(found)[-1]
        return {**found, last: found[last] + np.float32(self._wrong_by)}

    def _logits(self, images: NDArray[Any]) -> NDArray[np.float32]:
        time.sleep(self._run_s)
        logits: NDArray[np.float32] = self._session.run(images)
        return logits + np.float32(self._wrong_by) * np.arange(10, dtype=np.float32)
