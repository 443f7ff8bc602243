"""A running tritonserver: its process, the supervisor that watches it, its addresses and its log.

| file | role |
|---|---|
| `process` | start one tritonserver through its supervisor |
| `supervisor` | the process that starts, watches and ends tritonserver |
| `endpoints` | the addresses, and this toolkit's own requests |
| `server_log` | what the log says of models and failures |
| `detached` | find and stop a server that outlives its command |
"""
