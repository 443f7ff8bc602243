"""A running tritonserver: its process, the supervisor that watches it, its addresses and its log.

| file | role |
|---|---|
| `process`, `servable` | start one tritonserver through its supervisor |
| `supervisor`, `orders`, `restarts` | the process that starts, watches, restarts and ends it |
| `child`, `launch` | tritonserver itself, as the supervisor sees it |
| `health/` | whether it answers |
| `endpoints` | the addresses, and this toolkit's own requests |
| `server_log`, `log_file` | what the log says of models and failures; how long it gets |
| `status`, `detached` | what `list` and `down` read of a server that outlives its command |
"""
