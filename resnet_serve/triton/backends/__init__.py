"""Python-based Triton backends: `<name>/model.py` means what the native backend <name> means.

Imported by Triton's Python stub, never by the rest of the toolkit.
"""
