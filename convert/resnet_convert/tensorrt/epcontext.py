"""EPContext: an ONNX file with the engine inside, for applications with ONNX Runtime.

One node `com.microsoft.EPContext` with the inputs and outputs of the network, whose attributes hold
the plan. The execution provider of TensorRT-RTX (`NvTensorRTRTXExecutionProvider`) loads it;
any other ONNX Runtime refuses it. Never loaded by that provider here.
Reference: ONNX Runtime, "EP Context Design"; `onnx_ctx_model_helper.cc` of both providers, the one
in microsoft/onnxruntime (047285b) and the plugin, NVIDIA/TensorRT-RTX-EP-ABI (10a0bfa).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_convert.tensorrt.engine import Engine
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx
else:
    onnx = optional("onnx", extra="convert")

FILE_NAME = "model_ctx.onnx"  # the suffix that ONNX Runtime gives such files
PROVIDER = "NvTensorRTRTXExecutionProvider"
_DOMAIN, _DOMAIN_VERSION = "com.microsoft", 1


def wrap(engine: Engine, model: bytes, *, name: str) -> bytes:
    """The file with the engine that was built from `model`, a serialized ONNX file.

    `name` is the network's. Inputs, outputs, opset and IR version are those of `model`.

    Both providers read `embed_mode` and `ep_cache_context`; the plugin also wants the node to be
    alone in its graph. `hardware_architecture` is compared as text with the capability of the GPU
    ("89") by the provider in ONNX Runtime, which warns of a difference, so that a list of targets
    would be warned of on each of its GPUs: it is written for a single target. The plugin does not
    read it.
    """
    source = onnx.ModelProto.FromString(model)
    graph = source.graph
    node = onnx.helper.make_node(
        "EPContext",
        [each.name for each in graph.input],
        [each.name for each in graph.output],
        name=name,
        domain=_DOMAIN,
        main_context=1,
        embed_mode=1,
        ep_cache_context=engine.plan,
        source=PROVIDER,
        partition_name=name,
        ep_sdk_version=engine.version,
        onnx_model_filename="model.onnx",
        **_architecture(engine.targets),
    )
    made = onnx.helper.make_model(
        onnx.helper.make_graph([node], name, list(graph.input), list(graph.output)),
        opset_imports=[
            *(each for each in source.opset_import if each.domain in ("", "ai.onnx")),
            onnx.helper.make_opsetid(_DOMAIN, _DOMAIN_VERSION),
        ],
        ir_version=source.ir_version,
        producer_name="resnet-serve",
    )
    data: bytes = made.SerializeToString()
    return data


def _architecture(targets: tuple[str, ...]) -> dict[str, str]:
    """The attribute for one target; none for several, see `wrap`."""
    return {"hardware_architecture": targets[0].replace(".", "")} if len(targets) == 1 else {}
