"""Parity with the PyTorch reference: numerics, decisions, latency, and the gate over them."""
