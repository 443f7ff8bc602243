"""Weights: from the value of `--weights` to a state dict that loads strictly into a network.

| module | role |
|---|---|
| `loading` | `--weights`: published files, the digits network, random, checkpoints |
| `custom_modules` | the weights of a network of the user's own (`--module`) |
| `class_names` | class names: built-in data sets, or a file |
| `classes` | the class names of a network: given, found or assumed |
| `defaults` | what is taken where no file says it |
| `activations` | softmax, sigmoid or none: decided, assumed or asked for |
| `thresholds` | `--threshold`: one number, or a file with one per label |
| `stated_activation` | what the files say of it |
| `stated_preprocessing` | what the files say of the images |
| `assumptions` | what no file says and the conversion takes for granted |

Imports `checkpoints/` and `architectures/`, and is imported by neither.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_serve.weights.loading import Weights, default_spec, digest, load, save

__all__ = ["Weights", "default_spec", "digest", "load", "save"]


def __getattr__(name: str) -> Any:
    # A passport needs `assumptions`, and no code that reads checkpoints.
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.loading"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
