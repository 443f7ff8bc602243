"""Batch: many images through a deployed version, to Parquet, restartable at any moment.

    input ─ source ─► parts ─► work (images ─► model ─► rows) ─► part-000042.parquet
                               on_ray: workers of a Ray cluster
                               servers: a fleet, through the client

`run` is the whole: it freezes the input, does the parts that are not there, and sums them up.
`run_file` says what a run is. Everything of pyarrow and Ray is imported when it is used.
"""
