"""Serving: the model repository, the configuration that Triton reads, and the real tritonserver.

| file | role |
|---|---|
| `repository/` | deploy versions whole, list them with their passports |
| `layout` | the names in a model repository |
| `config`, `composed_config`, `gpu_serving` | config.pbtxt of each kind of model |
| `releases` | which TensorRT each Triton container ships |
| `server` | start, wait for and stop one tritonserver |
| `installation` | which tritonserver this host has |
| `supervision/` | the running server: process, supervisor, addresses, log |
| `grpc_client` | calls of our own, which end at the server when it has responded |
| `backends/` | Python-based Triton backends with the native ones' names |
"""
