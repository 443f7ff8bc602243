"""What the double of TensorRT does when a plan runs: the rules of an engine, on a `MemoryDevice`.

    engine = ScriptedEngine(device, profiles=("1:4:8",))
    trt = double(engine.behaviours())

Execution is queued in the given stream, and refused where TensorRT leaves it undefined: shapes or
addresses that are not set, the default stream, a captured context that was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from memory_device import MemoryDevice
from numpy.typing import NDArray

from resnet_serve.runtimes.profiles import Profile

CLASSES = 3
PLAN = b"a plan"


def answer(images: NDArray[Any]) -> NDArray[np.float32]:
    """The logits [N,3] of the scripted engine: sums of the images' values, times 1, 2 and 3."""
    sums = images.reshape(len(images), -1).astype(np.float32).sum(axis=1)
    return sums[:, None] * np.arange(1, CLASSES + 1, dtype=np.float32)


class ScriptedEngine:
    """One input `image`; `dtype` is a `trt.DataType`'s name.

    `answer` computes the output `logits` [N,classes] of a batch. With `outputs`, the sides of each
    by name, it computes all of those, by name.
    """

    def __init__(
        self,
        device: MemoryDevice,
        *,
        profiles: Sequence[str] = ("1:4:8",),
        sides: tuple[int, ...] = (4, 4, 3),
        dtype: str = "UINT8",
        batch: int = -1,
        scratch_bytes: int = 512,
        answer: Callable[[NDArray[Any]], Any] = answer,
        classes: int = CLASSES,
        outputs: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.device = device
        self.profiles = [Profile.parse(text) for text in profiles]
        self.outputs = outputs or {"logits": (classes,)}
        self.shapes = {"image": (batch, *sides)}
        self.shapes |= {name: (batch, *each) for name, each in self.outputs.items()}
        self.dtypes = dict.fromkeys(self.shapes, "FLOAT") | {"image": dtype}
        self.scratch_bytes = scratch_bytes
        self.answer, self.named = answer, outputs is not None
        self.contexts: dict[int, dict[str, Any]] = {}
        self._alive: list[Any] = []

    def behaviours(self) -> dict[str, Any]:
        names = list(self.shapes)
        return {
            "ICudaEngine.num_io_tensors": len(names),
            "ICudaEngine.get_tensor_name": lambda _, index: names[index],
            "ICudaEngine.get_tensor_mode": lambda engine, name: self._enum(
                engine, "TensorIOMode", "INPUT" if name.startswith("image") else "OUTPUT"
            ),
            "ICudaEngine.get_tensor_dtype": lambda engine, name: self._enum(
                engine, "DataType", self.dtypes[name]
            ),
            "ICudaEngine.get_tensor_shape": lambda _, name: self.shapes[name],
            "ICudaEngine.get_tensor_profile_shape": self._profile_shape,
            "ICudaEngine.num_optimization_profiles": len(self.profiles),
            "ICudaEngine.num_layers": 57,
            "ICudaEngine.device_memory_size_v2": self.scratch_bytes,
            "IExecutionContext.set_device_memory": self._set_device_memory,
            "IExecutionContext.set_optimization_profile_async": self._set_profile,
            "IExecutionContext.set_tensor_address": self._set_address,
            "IExecutionContext.set_input_shape": self._set_shape,
            "IExecutionContext.infer_shapes": lambda context: (
                [] if self._of(context).get("shape") else ["image"]
            ),
            "IExecutionContext.get_tensor_shape": self._tensor_shape,
            "IExecutionContext.execute_async_v3": self._execute,
            "EngineInspector.get_engine_information": '{"Layers": []}',
        }

    @staticmethod
    def _enum(engine: Any, kind: str, member: str) -> Any:
        import tensorrt as trt

        del engine
        return getattr(getattr(trt, kind), member)

    def _of(self, context: Any) -> dict[str, Any]:
        if id(context) not in self.contexts:
            self._alive.append(context)  # so that no other takes its id
        return self.contexts.setdefault(id(context), {"addresses": {}, "captured": False})

    def _profile_shape(self, _: Any, name: str, index: int) -> list[tuple[int, ...]]:
        assert name == "image", "TensorRT answers this for inputs only"
        row, sides = self.profiles[index], self.shapes["image"][1:]
        return [(batch, *sides) for batch in (row.minimum, row.optimum, row.maximum)]

    def _set_device_memory(self, context: Any, memory: int, size: int) -> None:
        assert self.device.bytes_at(memory).nbytes >= size == self.scratch_bytes
        self._of(context)["scratch"] = memory

    def _set_profile(self, context: Any, index: int, stream: int) -> bool:
        assert stream in self.device.streams
        self._change(context).update(profile=index, shape=None)
        return index < len(self.profiles)

    def _set_address(self, context: Any, name: str, address: int) -> bool:
        self._change(context)["addresses"][name] = address
        return name in self.shapes

    def _set_shape(self, context: Any, name: str, shape: Any) -> bool:
        state = self._change(context)
        assert name == "image"
        assert "profile" in state, "the shape was set before the profile"
        state["shape"] = tuple(shape)
        return self.profiles[state["profile"]].covers(state["shape"][0])

    def _change(self, context: Any) -> dict[str, Any]:
        state = self._of(context)
        assert not state["captured"], "a captured context was changed"
        return state

    def _tensor_shape(self, context: Any, name: str) -> tuple[int, ...]:
        shape = self._of(context)["shape"]
        return shape if name == "image" else (shape[0], *self.outputs[name])

    def _execute(self, context: Any, stream: int) -> bool:
        state, device = self._of(context), self.device
        assert stream != 0, "the default stream"
        assert state["shape"], "executed before its shape was set"
        assert set(state["addresses"]) == set(self.shapes), "executed without every address"
        assert device.bytes_at(state["scratch"]).nbytes >= self.scratch_bytes
        if device.capturing:
            assert state.get("ran"), "captured before a first run"
            state["captured"] = True
        state["ran"] = True
        given, *rest = (device.bytes_at(state["addresses"][name]) for name in self.shapes)
        memory = dict(zip(self.outputs, rest, strict=False))
        dtype = np.dtype(np.uint8 if self.dtypes["image"] == "UINT8" else np.float32)
        count = int(np.prod(state["shape"])) * dtype.itemsize

        def work() -> None:
            found = self.answer(given[:count].view(dtype).reshape(state["shape"]))
            for name, values in (found if self.named else {"logits": found}).items():
                memory[name][: values.nbytes] = np.ascontiguousarray(values).reshape(-1).view("u1")

        device.enqueue("execute", stream, work)
        return True
