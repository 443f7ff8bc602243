"""Segments: run a graph a part at a time, in the memory of one part.

| module | role |
|---|---|
| `cutting` | the parts of a graph, cut where no value changes |
| `running` | run them one after the other, or batches of them beside each other |
"""
