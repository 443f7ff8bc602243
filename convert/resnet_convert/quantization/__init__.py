"""INT8 and FP8: ranges from images, Q/DQ pairs in the graph, and the search for what loses least.

| module | role |
|---|---|
| `ranges`, `calibrate`, `histogram`, `clipping` | ranges of activations, over images, by method |
| `dialects` | the ways in which a graph carries INT8, for CPUs and for TensorRT |
| `u8s8` | Q/DQ pairs for CPUs: u8 activations, s8 weights |
| `s8s8` | Q/DQ pairs for TensorRT: symmetric INT8 or FP8 over a floating graph |
| `qdq` | how a pair and a quantized constant are inserted |
| `rewrites` | of the folded graph, so that INT8 loses less |
| `calibration_search` | `--calibration-method auto`: every method compared on held-out images |
| `sensitivity`, `mixed_precision` | what quantizing each layer costs; the fewest to keep floating |
| `budgets` | what quantizing may cost |

Imports `graph/`.
"""
