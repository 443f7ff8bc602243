"""Options: everything that decides a conversion, each option declared once.

`resnet-convert` derives its options from these fields (name, type, default, help), `convert()` its
keyword arguments, and the passport the command that makes the same conversion again.

| module | its fields are about |
|---|---|
| `network` | the network, its weights, and how they are read |
| `precision` | what it is converted to, with which images, and what that may cost |
| `serving` | what is deployed, where, and how Triton runs it |
| `engines` | TensorRT engines |
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_convert.request.options.engines import ACCELERATORS, EPCONTEXT, FORMATS, EngineOptions
from resnet_convert.request.options.network import NetworkOptions
from resnet_convert.request.options.precision import ADAPTIVE, AIMS, AUTO, PrecisionOptions
from resnet_convert.request.options.serving import INPUTS, ServingOptions

__all__ = ["ACCELERATORS", "ADAPTIVE", "AIMS", "AUTO", "EPCONTEXT", "FORMATS", "INPUTS", "Options"]


# The fields come in the order of the last base first.
@dataclass(frozen=True)
class Options(EngineOptions, ServingOptions, PrecisionOptions, NetworkOptions):
    """The options of `resnet-convert`, as fields."""
