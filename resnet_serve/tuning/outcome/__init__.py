"""What the trials of a run amount to.

| module | role |
|---|---|
| `frontier` | which trials are the best |
| `comparison` | whether the best is better than the default by more than noise |
| `results`, `plot` | the sentence, CSV, JSON and the Pareto plot |
"""
