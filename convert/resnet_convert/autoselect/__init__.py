"""Autoselect: the ways in which this host can run the network, compared, and the fastest.

| module | role |
|---|---|
| `entrants` | the ways, and what was found of each |
| `comparison` | every runtime in every precision, as a table |
| `entered` | those that are open, each compared with the reference |
| `measured` | parity, then interleaved rounds |
"""
