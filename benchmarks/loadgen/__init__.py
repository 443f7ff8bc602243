"""MLPerf's LoadGen on our networks: `mlperf.py` composes these.

`library` are the images, `systems` is what is measured, `scenarios` gives one to LoadGen, and
`logs` reads what LoadGen wrote.
"""
