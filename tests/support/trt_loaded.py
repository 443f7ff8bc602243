"""A scripted engine in the TensorRT runtime, on a double of the bindings: load it, and check a run.

with loading(double) as load:
    model, device, trt = load(profiles=("1:4:8",))
    check(model, images(3))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from memory_device import MemoryDevice
from scripted_engine import PLAN, ScriptedEngine, answer
from trt_double import Double, installed

from resnet_serve.runtimes import tensorrt as runtime

CONTEXT = "IExecutionContext"
Loaded = Callable[..., tuple[runtime.TensorRtModel, MemoryDevice, Double]]


def images(count: int, dtype: str = "uint8", sides: tuple[int, ...] = (4, 4, 3)) -> np.ndarray:
    random = np.random.default_rng(count)
    return random.integers(0, 255, (count, *sides)).astype(dtype)


@contextmanager
def loading(double: Callable[..., Double]) -> Iterator[Loaded]:
    """Gives `load(behaviours, …)`: keyword arguments of `runtime.load` and of `ScriptedEngine`."""
    with ExitStack() as stack:

        def load(
            behaviours: dict[str, Any] | None = None,
            *,
            device: MemoryDevice | None = None,
            plan: bytes | Path = PLAN,
            graphs: bool = True,
            version_compatible: bool = False,
            use_profiles: list[int] | None = None,
            **engine: Any,
        ) -> tuple[runtime.TensorRtModel, MemoryDevice, Double]:
            device = device or MemoryDevice()
            script = ScriptedEngine(device, **engine)
            trt = double(script.behaviours() | (behaviours or {}))
            stack.enter_context(installed(trt))
            model = runtime.load(
                plan,
                device=device,
                graphs=graphs,
                version_compatible=version_compatible,
                use_profiles=use_profiles,
                flavour=trt.api.flavour,
            )
            return stack.enter_context(model), device, trt

        yield load


def check(model: runtime.TensorRtModel, batch: np.ndarray) -> None:
    found = model.run(batch)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, answer(batch))
