"""Comparison of a model that runs here with its reference, in the gate's terms.

| file | what |
|---|---|
| `distances` | outputs at two batch sizes, decisions, and the verdict over both |
| `recorded` | the reference's outputs in a file beside the model, and a model against them |

The converter compares with PyTorch through `distances`. Imports `parity`, `runtimes`,
`preprocessing`.
"""
