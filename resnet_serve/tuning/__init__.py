"""Tuning: the configuration of a served model that keeps a latency limit and does most.

    versions of NAME ─► space ─► Optuna asks, Triton and perf_analyzer answer ─► comparison

| module | role |
|---|---|
| `goal` | the limit to keep, and what is better within it |
| `candidates` | the versions that may be served, with the accuracy that their passports measured |
| `configuration`, `space` | how a version is served, and the table of what is tried |
| `trials` | what was measured of a configuration, as the journal has it |
| `climb` | one configuration, load after load, ended early where the rest is known |
| `bench` | a Triton of its own, and perf_analyzer |
| `study`, `search` | Optuna and its journal; the loop over trials |
| `outcome` | which trials are the best, the comparison with the default, files and plot |
| `applied` | the winner as a new version of the model |
| `run` | all of it |
"""
