"""Planning: how many replicas a rate needs within a latency limit, and what they cost.

    results of loadtest and tune ─► service times ─► simulated replicas ─► fleets ─► table, plot

| module | role |
|---|---|
| `demand` | the rate and the limits |
| `measured`, `service` | the measured configurations; how long a batch of each size takes |
| `machines` | the price table |
| `arrivals`, `replica`, `simulation` | requests, one server event by event, replications of it |
| `search` | the rate that one replica keeps, and so the number of replicas |
| `plan` | all of it |
| `results`, `plot` | table, CSV, JSON and plot |
"""
