"""Canaries: a new version beside the served one, with a share of the requests until it is decided.

| file | role |
|---|---|
| `split` | which versions, which share, and the names that Triton has for them |
| `seen` | what the comparison of both versions has seen, and the file that keeps it |

`triton/backends/canary` is what splits the requests inside the server, `rollout/canary` begins and
ends a canary on a server that runs.
"""
