"""The tensors of one network among what a file holds, before they are loaded.

| module | role |
|---|---|
| `containers` | every mapping with tensors in what a training saved |
| `selection` | one of several networks, by the options |
| `matching` | the entries of a custom module (`--module`) in a file, exactly |
| `arithmetic` | what a pickled network computes between its tensors |
| `classifier` | files of the family whose last layer is missing or has no bias |
| `training_forms` | weights as a training keeps them: pruned, reparametrised, LoRA, … |
| `initial_values` | values of a network that was never trained, and of dead layers |
| `tensor_kinds` | tensors that are not plain numbers: sparse, quantized, meta, … |
"""
