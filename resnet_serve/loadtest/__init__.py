"""Load tests of a served model with the real perf_analyzer.

| module | role |
|---|---|
| `perf_wheel`, `perf_program` | find perf_analyzer, or take it from tritonclient's wheel |
| `inputs` | the requests it sends |
| `perf_analyzer`, `perf_report` | run it, read its report |
| `run` | a load test from request to notes, table, CSV, plot |
"""
