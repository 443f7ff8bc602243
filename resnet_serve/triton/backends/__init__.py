"""Triton backends in Python: `<name>/model.py` stands in for the native backend <name>.

| folder or file | role |
|---|---|
| `image/` | encoded images to pixels; there is no native one |
| `onnxruntime/`, `openvino/`, `tensorrt/` | the native backends' parameters, checks and refusals |
| `tensorrt_rtx/` | plans of TensorRT-RTX; there is no native one |
| `batching` | requests that share a run |
| `contract` | refusals that every backend words the same |
| `elastic` | a lone image on all cores, several as was measured |
| `integrity` | only the files of the passport, and none outside the repository |
| `memory` | what a process keeps of freed heap |
| `stub` | what Triton's Python stub hands to a backend |

Triton's Python stub loads them; the rest of the toolkit imports names of parameters alone.
"""
