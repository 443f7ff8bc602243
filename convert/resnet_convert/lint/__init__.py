"""Lint: numbered rules that a finished graph must keep before it is written.

| module | role |
|---|---|
| `rules` | what a rule and a violation are; `check` a graph, `refuse` it |
| `tensorrt` | rules T1–T16: what TensorRT refuses, or silently builds slow or wrong |
| `cpu` | rules C1–C10: what keeps u8 × s8 graphs in integers |
| `onnx_file` | any ONNX file, its layers in PyTorch's names |
| `outputs` | rules on the outputs of a graph |
| `placement` | rules on where Q/DQ pairs are, which both tables use |

Imports `graph/`.
"""
