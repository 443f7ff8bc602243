"""Serving: the model repository, the configuration Triton reads, and the real tritonserver.

config.py, repository.py     what is served: written, checked, rolled back
installation.py, server.py   who serves it: found, started, watched, stopped
backends/                    Python-based Triton backends of the native ones' names
"""
