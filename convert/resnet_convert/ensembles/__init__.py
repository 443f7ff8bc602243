"""Ensembles: deployed models composed into one that averages their probabilities.

| module | role |
|---|---|
| `members` | deployed models that are to be composed |
| `execution` | what runs a member in the gate: its file, its plan, or an emulation |
| `average` | the ONNX model that averages |
| `composition` | the views of an image, who sees each, and the PyTorch reference of the average |
| `deployment` | the Triton models of a composition and its passport |
| `compose` | the stages, from members to a deployed ensemble or ten-crop model |
"""
