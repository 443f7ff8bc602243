"""The request: what a conversion was asked to do.

| module | role |
|---|---|
| `options` | every option, declared once |
| `request` | `Request`: the options and what follows from them |
| `field_types` | the types of its fields, for callers in Python |
| `implied_network` | the network of a checkpoint, where none was named |
| `default_target` | the target of this host, where none was named |
| `check` | refuses, before anything is read, what cannot work |
"""

from __future__ import annotations

from resnet_convert.request.request import Request

__all__ = ["Request"]
