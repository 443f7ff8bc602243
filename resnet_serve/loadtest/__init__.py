"""Load tests of a served model with the real perf_analyzer.

| module | role |
|---|---|
| `perf_wheel`, `perf_program` | find perf_analyzer, or extract it from tritonclient's wheel |
| `inputs` | the requests it sends |
| `perf_analyzer`, `perf_report` | run it, and read its report |
| `run` | a load test: measurement and notes |
| `results` | its table, CSV, JSON and plot |
"""
