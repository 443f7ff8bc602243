"""A running tritonserver: its process, the supervisor that watches it, its addresses and its log.

| file | role |
|---|---|
| `process`, `servable`, `foreground` | start a server through its supervisor |
| `supervisor`, `orders`, `restarts` | the process that starts, watches, restarts and ends it |
| `program/` | tritonserver itself: how it is started and ended |
| `health/` | whether it answers |
| `tracing/` | its requests, for an access log or OpenTelemetry |
| `endpoints`, `transport` | the addresses, who may reach them, and this toolkit's own requests |
| `server_log`, `log_file` | what the log says of models and failures; how long it gets |
| `status`, `detached`, `metrics` | what `list`, `down` and Prometheus read of a server |
"""
