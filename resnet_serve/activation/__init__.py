"""Activation: how the logits of a classifier are read, from the weights to the client.

| module | role |
|---|---|
| `contract` | `Activation`: softmax, sigmoid with its thresholds, or none |

The client imports this folder: base dependencies alone.
"""

from __future__ import annotations

from resnet_serve.activation.contract import SOFTMAX, Activation, Kind

__all__ = ["SOFTMAX", "Activation", "Kind"]
