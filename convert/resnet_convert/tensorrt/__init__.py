"""TensorRT: typed ONNX to an engine, inspected before it is used.

| module | role |
|---|---|
| `build_options` | what decides a plan besides the graph and the GPU |
| `targets` | the GPU or the compute capabilities that a plan is for |
| `rtx_targets` | the GPUs that `--for` means, and what they cannot compute |
| `epcontext` | a plan in an ONNX file, for applications with ONNX Runtime |
| `engine` | ONNX bytes to a plan: profiles, precision checks |
| `build_failures` | what a parser or a builder said, with a remedy |
| `timing_cache` | kernel times, kept for the next build |
| `progress` | the builder's progress, and Ctrl-C |
| `engine_layers` | the engine's layers, from its inspector's JSON |
| `inspection` | the engine's layers, compared with the graph |
| `builder` | a host that can build plans: version guard, build, inspect, load |
| `judging/` | what TensorRT-RTX's real parser and builder say of a graph |

Imports `graph/`.
"""
