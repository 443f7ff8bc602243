"""TensorRT: typed ONNX to an engine, inspected before it is used.

| module | role |
|---|---|
| `engine` | ONNX bytes to a plan: profiles, timing cache, compatibility |
| `progress` | the builder's progress, and Ctrl-C |
| `inspection` | the engine's layers, held against the graph |
| `builder` | a host that can build plans: version guard, build, inspect, load |

Imports `graph/`.
"""
