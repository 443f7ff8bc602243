"""Parity: the converted graph in its runtime against the PyTorch reference.

| module | role |
|---|---|
| `reference` | the PyTorch network and its weights: inputs, outputs, random batches |
| `reference_outputs` | the reference's outputs, recorded: in memory, or beside a model |
| `candidate`, `opening` | the model to be compared, in its runtime or in an emulation of it |
| `compare` | reference and candidate over images: numerics, decisions |
| `latencies` | reference and candidate timed in turn |
| `layers` | which layer loses most, in PyTorch's names |
| `evaluator` | many graphs compared with one reference, for a search |
| `peaks`, `throughput` | what the CPU computes at most; images/s of several instances |
| `parity_error` | the error of a gate that does not hold |

Imports `graph/`, `tensorrt/`.
"""
