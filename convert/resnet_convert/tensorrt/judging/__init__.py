"""Judging: what TensorRT-RTX's real parser and builder say of a graph, without a GPU.

| module | role |
|---|---|
| `judge` | asks the library in a child process, graph after graph |
| `judge_process` | that process: parses, builds, and keeps the log |
| `verdict` | what is asked and what is found, as plain values |

Imports nothing of ours but `targets`.
"""
