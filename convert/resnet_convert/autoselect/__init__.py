"""Autoselect: the ways in which this CPU can run the network, compared, and the fastest.

| module | role |
|---|---|
| `entrants` | the ways, and what was found of each |
| `comparison` | every runtime in every precision, as a table |
| `measured` | parity, then interleaved rounds |
"""
