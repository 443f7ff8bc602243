"""Build failures: what a parser or builder of TensorRT said, as an error with a remedy.

The builder returns nothing and logs why; the words are those of TensorRT 10, 11 and TensorRT-RTX.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_serve.errors import ConversionError, HostError, ResnetServeError, UsageError
from resnet_serve.runtimes.tensorrt_flavours import Flavour
from resnet_serve.runtimes.tensorrt_log import Log

if TYPE_CHECKING:
    import tensorrt as trt

_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient memory|cudaErrorMemory", re.I)
_OUT_OF_WORKSPACE = re.compile(r"within workspace limit|insufficient workspace", re.I)
_NO_LEAN_RUNTIME = re.compile(r"lib(nvinfer|tensorrt)_lean", re.I)


def refused_graph(flavour: Flavour, errors: Sequence[trt.ParserError], log: Log) -> ConversionError:
    """The error of a graph that the parser refuses, naming the layer.

    An error of the parser may name none; the node that it read last is then the one.
    """
    if not errors:
        return ConversionError(
            f"{flavour.title} cannot read the graph", where=log.last_error or flavour.name
        )
    first = errors[0]
    named = f"{first.node_name()} ({first.node_operator()})" if first.node_name() else ""
    read = re.sub(r"\[(\w+)\]$", r"(\1)", log.parsing)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ConversionError(
        f"{flavour.title} {flavour.version()} refuses it: {' '.join(first.desc().split())}{more}",
        where=f"{flavour.name}: {named or read or 'graph'}",
        remedy="Use --target onnxruntime for this network, and please report the layer.",
    )


def without_a_plan(
    flavour: Flavour, errors: Sequence[str], options: BuildOptions
) -> ResnetServeError:
    """The error of a build that returned nothing, from what TensorRT logged."""
    where = f"{flavour.name}: build"
    for line in errors:
        if options.workspace_mib is not None and _OUT_OF_WORKSPACE.search(line):
            return UsageError(
                f"a workspace of {options.workspace_mib} MiB is too small for this network "
                f"({line})",
                where=where,
                remedy="Give a larger --workspace, or omit it.",
            )
        if _OUT_OF_MEMORY.search(line):
            return HostError(
                f"GPU memory ran out while {flavour.title} built the engine ({line})",
                remedy="Limit --workspace, use a smaller --batch, or free the GPU.",
            )
        if options.version_compatible and _NO_LEAN_RUNTIME.search(line):
            return HostError(
                f"{flavour.title} has no lean runtime here, which a version-compatible plan "
                f"contains ({line})",
                where=where,
                remedy="Omit --version-compatible.",
            )
    lower = "Try --optimization-level 2, or a smaller --batch."
    return ConversionError(
        errors[-1] if errors else f"{flavour.title} returned no plan and logged no reason",
        where=where,
        remedy=lower if flavour.optimization_levels else "Please report the graph.",
    )
