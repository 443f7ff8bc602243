"""Tracing: what Triton records of each request, for an access log or for OpenTelemetry.

| file | role |
|---|---|
| `settings` | the options of tritonserver for either of them |
| `records` | one file of Triton's trace, read as one request |
| `models` | how many steps a served model has |
| `access_log` | the thread that turns these files into lines |
"""
