"""Engine layers: what TensorRT built, from its engine inspector or from the log of a build.

    TensorRT 10.x   "Bindings": ["image"],          "Format/Datatype": "… FP16 format"
    TensorRT 11.x   "I/O Tensors": [{"Name": …}],   "Format": "…", "DataType": "Half"
    TensorRT-RTX    Name: conv1_myl0_2, LayerType: correlation, Inputs: [ { …, Datatype: Half, … }]

The first two are JSON, the last is the message of the log that begins with `Layers:`.
Reference: TensorRT developer guide, "Engine Inspector", and "Migrating IEngineInspector Usage from
TensorRT 10.x to 11.x"; the log as TensorRT-RTX 1.7.1 writes it (tests/data/rtx_layers).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resnet_serve.errors import ConversionError

# The first that matches decides: "uint8" contains "int8", "bfloat16" contains "float16".
_TYPES = (
    ("bf16", re.compile(r"\bbf16\b|bfloat", re.I)),
    ("fp16", re.compile(r"\bfp16\b|\bhalf\b|\bfloat16\b", re.I)),
    ("fp8", re.compile(r"\bfp8\b|e4m3", re.I)),
    ("uint8", re.compile(r"\buint8\b", re.I)),
    ("int8", re.compile(r"\bint8\b", re.I)),
    ("fp32", re.compile(r"\bfp32\b|\bfloat(32)?\b", re.I)),
)
# TensorRT 11.x writes the type beside the format; its documents spell the key in two ways.
_TYPE_KEYS = ("DataType", "Datatype", "Format/Datatype")
_WIDEST_FIRST = ("fp32", "bf16", "fp16", "int8", "fp8")
_ROUNDING_KINDS = frozenset({"quantize", "dequantize", "scale_quantize", "scale_dequantize"})
# What multiplies: CaskConvolution, CaskGemmConvolution, correlation, gemm, MatrixMultiply, …
_MULTIPLIES = re.compile(r"conv|correlation|gemm|matrixmultiply|matmul", re.I)
_FUSIONS = frozenset({"fusion", "runtime_fusion"})  # generated, with or without a convolution
_LOG = "Layers:"
_LOG_END = "I/O Tensors:"
_LOGGED_LAYER = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName: .*, "
    r"Metadata:(?P<metadata>.*)"
)
_LOGGED_TENSOR = re.compile(
    r"\{ Name: .*?, Dimensions: \[(?P<sides>[-\d,]*)\],.*?, Datatype: (?P<type>\w+)"
)
_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_WORD = r"[\w.]"


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine: its kind, the ONNX nodes fused into it, and the types of its tensors.

    Types are named as precisions: "fp32", "fp16", "bf16", "int8", "uint8" or "fp8". `weights` is
    None for a layer without any, or where the inspector does not name their type.
    """

    name: str
    kind: str
    origins: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: str | None

    def holds(self, node: str) -> bool:
        """Whether the ONNX node of this name was fused into the layer."""
        return any(
            re.search(rf"(?<!{_WORD}){re.escape(node)}(?!{_WORD})", text) for text in self.origins
        )

    @property
    def precision(self) -> str | None:
        """The type that the layer multiplies in: that of its weights, or its widest input."""
        if self.weights is not None:
            return self.weights
        return next((kind for kind in _WIDEST_FIRST if kind in self.inputs), None)

    @property
    def computes(self) -> int:
        """How likely a convolution is computed here, if the layer holds one: 2 to 0.

        A pointwise layer before or after a convolution carries its name in the metadata as well.
        """
        if _MULTIPLIES.search(self.kind):
            return 2
        return 1 if self.kind.lower() in _FUSIONS or self.weights is not None else 0

    @property
    def reformats(self) -> bool:
        """Whether it only changes the memory layout or type of a tensor."""
        return self.kind.lower() == "reformat" or self.name.startswith("Reformatting CopyNode")

    @property
    def rounds(self) -> bool:
        """Whether it only quantizes or dequantizes: a step that no neighbour was fused with."""
        return self.kind.lower() in _ROUNDING_KINDS


def read(information: str) -> tuple[EngineLayer, ...]:
    """The layers of `EngineInspector.get_engine_information(JSON)`, of TensorRT 10.x or 11.x, or
    of the log of a build.

    Raises `ConversionError` for text that is neither, and for an engine that was built without
    detailed profiling verbosity, which names its layers only.
    """
    if information.startswith(_LOG):
        return _logged(information)
    try:
        described = list(json.loads(information)["Layers"])
    except (ValueError, LookupError, TypeError) as error:
        raise ConversionError(
            f"the output of the engine inspector cannot be read ({error!r})",
            where="tensorrt: inspect",
        ) from error
    if not all(isinstance(layer, dict) for layer in described):
        raise ConversionError(
            "the engine contains the names of its layers only, not their types",
            where="tensorrt: inspect",
            remedy="Build it with detailed profiling verbosity, as build-plan does.",
        )
    return tuple(_layer(layer) for layer in described)


def _layer(described: Mapping[str, Any]) -> EngineLayer:
    metadata = str(described.get("Metadata") or "")
    name = str(described.get("Name", ""))
    weights = described.get("Weights")
    kind = weights.get("Type") if isinstance(weights, Mapping) else None
    return EngineLayer(
        name=name,
        kind=str(described.get("LayerType", "")),
        origins=tuple(_ONNX_LAYER.findall(metadata)) or (name,),
        inputs=_types(described.get("Inputs") or ()),
        outputs=_types(described.get("Outputs") or ()),
        weights=None if kind is None else _type(str(kind)),
    )


def _logged(message: str) -> tuple[EngineLayer, ...]:
    listed = message.removeprefix(_LOG).partition(_LOG_END)[0]
    return tuple(_logged_layer(line) for line in listed.split("\n") if line.strip())


def _logged_layer(line: str) -> EngineLayer:
    found = _LOGGED_LAYER.fullmatch(line.strip())
    if found is None:
        raise ConversionError(
            f"a layer in the log of the build cannot be read ({line[:80]})",
            where="tensorrt: inspect",
        )
    constants = list(_LOGGED_TENSOR.finditer(found["constants"]))
    # Scales and biases are constants too; weights alone have several sides.
    weights = [_type(each["type"]) for each in constants if _sides(each["sides"]) > 1]
    return EngineLayer(
        name=found["name"],
        kind=found["kind"],
        origins=tuple(_ONNX_LAYER.findall(found["metadata"])) or (found["name"],),
        inputs=_logged_types(found["inputs"]),
        outputs=_logged_types(found["outputs"]),
        weights=weights[0] if weights else None,
    )


def _sides(shape: str) -> int:
    return sum(side not in ("", "1") for side in shape.split(","))


def _logged_types(tensors: str) -> tuple[str, ...]:
    found = (_type(each["type"]) for each in _LOGGED_TENSOR.finditer(tensors))
    return tuple(kind for kind in found if kind is not None)


def _types(tensors: Iterable[Any]) -> tuple[str, ...]:
    """The types of a layer's tensors, in either form; those that are not known are left out."""
    texts = (
        next((str(tensor[key]) for key in _TYPE_KEYS if key in tensor), "")
        for tensor in tensors
        if isinstance(tensor, Mapping)
    )
    return tuple(kind for kind in map(_type, texts) if kind is not None)


def _type(text: str) -> str | None:
    return next((name for name, pattern in _TYPES if pattern.search(text)), None)
