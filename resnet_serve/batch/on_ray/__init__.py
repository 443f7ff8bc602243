"""On Ray: the parts of a run on a pool of workers, in a Ray of this process or in a cluster.

`driver` is the process that has Ray: `start` starts or joins it, `pool` gives it parts, `worker` is
what does them. `apart` and `leftovers` are for what ends badly: a decoder, and the run itself.
"""
