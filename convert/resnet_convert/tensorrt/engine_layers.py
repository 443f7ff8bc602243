"""Engine layers: what TensorRT built, read from the JSON of its engine inspector.

Two forms of that JSON are read:

    TensorRT 10.x   "Bindings": ["image"],          "Format/Datatype": "… FP16 format"
    TensorRT 11.x   "I/O Tensors": [{"Name": …}],   "Format": "…", "DataType": "Half"

Reference: TensorRT developer guide, "Engine Inspector", and "Migrating IEngineInspector Usage from
TensorRT 10.x to 11.x".
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
    def reformats(self) -> bool:
        """Whether it only changes the memory layout or type of a tensor."""
        return self.kind.lower() == "reformat" or self.name.startswith("Reformatting CopyNode")

    @property
    def rounds(self) -> bool:
        """Whether it only quantizes or dequantizes: a step that no neighbour was fused with."""
        return self.kind.lower() in _ROUNDING_KINDS


def read(information: str) -> tuple[EngineLayer, ...]:
    """The layers of `EngineInspector.get_engine_information(JSON)`, of TensorRT 10.x or 11.x.

    Raises `ConversionError` for text that is no such JSON, and for an engine that was built without
    detailed profiling verbosity, which names its layers only.
    """
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
