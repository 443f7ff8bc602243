"""Inspection: what TensorRT really built, read from the engine and held against the graph.

A precision that was asked for and is not in the engine fails the conversion: TensorRT is free to
fall back silently, and "FP16" plans that compute in FP32 are what users of other tools find out in
production (roboflow/rf-detr#1453). Two shapes of the inspector's JSON are read:

    TensorRT 10.x   "Bindings": ["image"],          "Format/Datatype": "… FP16 format"
    TensorRT 11.x   "I/O Tensors": [{"Name": …}],   "Format": "…", "DataType": "Half"

Reference: TensorRT developer guide, "Engine Inspector", and "Migrating IEngineInspector Usage from
TensorRT 10.x to 11.x".
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional
from resnet_serve.parity.gate import Check

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# The first that matches decides: "uint8" contains "int8", "bfloat16" contains "float16".
_TYPES = (
    ("bf16", re.compile(r"\bbf16\b|bfloat", re.I)),
    ("fp16", re.compile(r"\bfp16\b|\bhalf\b|\bfloat16\b", re.I)),
    ("fp8", re.compile(r"\bfp8\b|e4m3", re.I)),
    ("uint8", re.compile(r"\buint8\b", re.I)),
    ("int8", re.compile(r"\bint8\b", re.I)),
    ("fp32", re.compile(r"\bfp32\b|\bfloat(32)?\b", re.I)),
)
_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
_WORD = r"[\w.]"
QUANTIZED = ("int8", "fp8")
NAMED = 3
# Of each convolution, by its PyTorch name: the precision that was asked for, and the one found.
Convolutions = Mapping[str, tuple[str, str | None]]


@dataclass(frozen=True)
class EngineLayer:
    """One layer of the engine: its kind, the ONNX nodes fused into it, and its types."""

    name: str
    kind: str
    origins: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: str | None

    def holds(self, node: str) -> bool:
        """Whether the ONNX node was fused into this layer."""
        return any(
            re.search(rf"(?<!{_WORD}){re.escape(node)}(?!{_WORD})", text) for text in self.origins
        )

    @property
    def precision(self) -> str | None:
        """What its products are computed from: the weights' type, or its widest input's."""
        if self.weights is not None:
            return self.weights
        floating = [kind for kind in self.inputs if kind != "uint8"]
        for kind in ("fp32", "bf16", "fp16", "int8", "fp8"):
            if kind in floating:
                return kind
        return None

    @property
    def reformats(self) -> bool:
        return self.kind.lower() == "reformat" or self.name.startswith("Reformatting CopyNode")

    @property
    def rounds(self) -> bool:
        """A quantize or dequantize step that was not fused into its neighbours."""
        return self.kind.lower() in ("quantize", "dequantize", "scale_quantize", "scale_dequantize")


@dataclass(frozen=True)
class Inspection:
    """The layers of an engine, and what the graph's convolutions became."""

    layers: tuple[EngineLayer, ...]
    convolutions: Convolutions
    residuals: Mapping[str, bool]

    @property
    def wrong(self) -> tuple[str, ...]:
        """The convolutions that are not computed in the type the graph gives them."""
        return tuple(name for name, (asked, found) in self.convolutions.items() if asked != found)

    @property
    def fused(self) -> int:
        """Residual additions that became part of their convolution."""
        return sum(self.residuals.values())

    @property
    def reformats(self) -> int:
        return sum(layer.reformats for layer in self.layers)

    @property
    def kinds(self) -> dict[str, int]:
        """How many layers of which kind."""
        return dict(Counter(layer.kind for layer in self.layers))

    def summary(self) -> str:
        """For people, in one line."""
        return (
            f"{convolutions_found(self.convolutions)}, "
            f"conv+add fused {self.fused} of {len(self.residuals)}, "
            f"{self.reformats} reformats, {len(self.layers)} layers"
        )

    def check(self) -> Check:
        """The line of the gate."""
        return check_precision("precision in the engine", self.convolutions)

    def warnings(self) -> list[str]:
        """What costs time in this engine, though it is correct."""
        said = []
        apart = [name for name, fused in self.residuals.items() if not fused]
        if apart:
            said.append(
                f"{len(apart)} of {len(self.residuals)} residual additions are layers of their "
                f"own (first {apart[0]})"
            )
        rounding = [layer.name for layer in self.layers if layer.rounds]
        if len(rounding) > 2:  # the first quantize and the last dequantize have no neighbour
            said.append(f"{len(rounding)} quantize steps were not fused (first {rounding[0]})")
        return said

    def to_json(self) -> dict[str, object]:
        return {
            "layers": len(self.layers),
            "kinds": self.kinds,
            "convolutions": {
                name: {"asked": asked, "found": found}
                for name, (asked, found) in self.convolutions.items()
            },
            "residuals_fused": self.fused,
            "residuals": len(self.residuals),
            "reformats": self.reformats,
        }


def convolutions_found(convolutions: Convolutions) -> str:
    """For people: `53 of 53 convolutions INT8`."""
    asked = Counter(asked for asked, _ in convolutions.values())
    right = Counter(asked for asked, found in convolutions.values() if asked == found)
    return ", ".join(
        f"{right[kind]} of {count} convolutions {kind.upper()}" for kind, count in asked.items()
    )


def check_precision(name: str, convolutions: Convolutions) -> Check:
    """The line of the gate: every convolution computes in what was asked of it."""
    wrong = [layer for layer, (asked, found) in convolutions.items() if asked != found]
    named = [f"{layer} is {convolutions[layer][1] or 'not found'}" for layer in wrong[:NAMED]]
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return Check(
        name=name,
        found=convolutions_found(convolutions) + (f" ({', '.join(named)}{more})" if named else ""),
        allowed="all as in the graph",
        passed=bool(convolutions) and not wrong,
    )


def inspect(information: str, model: ir.Model) -> Inspection:
    """Hold the inspector's JSON against the ONNX graph the engine was built from.

    Raises `ConversionError` when the engine tells only names: it was not built in detail.
    """
    layers = tuple(read(information))
    convolutions = {
        name: (asked, _found(name, layers)) for name, asked in asked_precisions(model).items()
    }
    residuals = {}
    for node in model.graph:
        if node.op_type == "Add" and not str(node.name).startswith("pixels."):
            own = [layer for layer in layers if layer.holds(str(node.name))]
            residuals[str(node.name)] = any(
                layer.holds(name) for layer in own for name in convolutions
            )
    return Inspection(layers, convolutions, residuals)


def read(information: str) -> Iterable[EngineLayer]:
    """The layers of `EngineInspector.get_engine_information(JSON)`, of TensorRT 10.x or 11.x."""
    try:
        document = json.loads(information)
        described = list(document["Layers"])
    except (ValueError, LookupError, TypeError) as error:
        raise ConversionError(
            f"the engine inspector's answer cannot be read ({error!r})", where="tensorrt: inspect"
        ) from error
    for layer in described:
        if not isinstance(layer, dict):
            raise ConversionError(
                "the engine tells the names of its layers only",
                where="tensorrt: inspect",
                remedy="Build it with detailed profiling verbosity, as build-plan does.",
            )
        yield _layer(layer)


def asked_precisions(model: ir.Model) -> dict[str, str]:
    """The type in which the graph computes each convolution, by its PyTorch name."""
    names = {
        ir.DataType.FLOAT: "fp32",
        ir.DataType.FLOAT16: "fp16",
        ir.DataType.BFLOAT16: "bf16",
        ir.DataType.INT8: "int8",
        ir.DataType.FLOAT8E4M3FN: "fp8",
    }
    asked = {}
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "Conv" else None
        if weight is None:
            continue
        producer = weight.producer()
        source = producer.inputs[0] if producer is not None else weight
        dtype = None if source is None else source.dtype
        if dtype not in names:
            raise ConversionError(f"its weights are {dtype}", where=f"tensorrt: {node.name}")
        asked[str(node.name)] = names[dtype]
    return asked


def _found(name: str, layers: Iterable[EngineLayer]) -> str | None:
    for layer in layers:
        if layer.holds(name) and not layer.reformats and not layer.rounds:
            return layer.precision
    return None


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
    """The data types of a layer's tensors, in whichever of the two shapes."""
    found = []
    for tensor in tensors:
        if not isinstance(tensor, Mapping):
            continue
        # 11.x writes the type beside the format; its own documents spell the key in two ways.
        text = next(
            (
                str(tensor[key])
                for key in ("DataType", "Datatype", "Format/Datatype")
                if key in tensor
            ),
            "",
        )
        kind = _type(text)
        if kind is not None:
            found.append(kind)
    return tuple(found)


def _type(text: str) -> str | None:
    return next((name for name, pattern in _TYPES if pattern.search(text)), None)
