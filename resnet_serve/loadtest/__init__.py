"""Load tests of a served model with the real perf_analyzer.

| module | role |
|---|---|
| `perf_wheel`, `perf_program` | find perf_analyzer, or extract it from tritonclient's wheel |
| `inputs` | the requests it sends |
| `offered`, `slo` | how much of them, and the limit that the latency has to keep |
| `perf_process`, `perf_report` | run it once, and read its report |
| `executions` | the batches that the server ran meanwhile, by size |
| `perf_analyzer` | a model at one level after the other |
| `run` | a load test: measurement and notes |
| `results` | its table, CSV and JSON |
| `history`, `plot` | earlier runs; latency over throughput |
"""
