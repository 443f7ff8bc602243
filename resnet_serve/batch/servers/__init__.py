"""Servers: the parts of a run through the Python client, on a fleet of endpoints."""
