"""The ONNX graph: traced from PyTorch, rewritten in place, one pass per file.

    trace ─► fold ─► pixels ─► (quantization/) ─► half

| module | role |
|---|---|
| `nodes`, `shortcut` | vocabulary: layers, operators that move values, Q/DQ pairs, shortcuts |
| `initializers`, `opset` | constants and opset versions of a graph |
| `model_file` | a graph as the bytes of one .onnx file, and ONNX's own check of them |
| `operators`, `writer`, `trace` | PyTorch's ATen operators to ONNX nodes with PyTorch's names |
| `fold` | BatchNorm into the convolution before it, in float64 |
| `pixels` | normalisation into the graph, UINT8 images in |
| `half`, `overflow` | FP16 and BF16 graphs, and the layers that FP16 cannot hold |
| `emulate` | a typed graph as FP32 operators that round, for ONNX Runtime on a CPU |
| `segments` | run a graph a segment at a time, in the memory of one segment |

The lowest floor of the converter: it imports nothing of the other folders.
"""
