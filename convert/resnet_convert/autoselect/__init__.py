"""Autoselect: the ways in which this CPU can run the network, compared, and the fastest.

| module | role |
|---|---|
| `entrants` | the ways, and what was found of each |
| `measured` | parity, then interleaved rounds |
"""
