"""Stated activation: what the files of a checkpoint say, the first that says anything.

`activations` decides with it; here is what `loading` and `custom_modules` need for their files.
"""

from __future__ import annotations

from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.activation.contract import THRESHOLD


def of_files(*found: tuple[Activation | Kind | None, str]) -> tuple[Activation, str | None]:
    """The first activation that a file states, and the file; softmax and None where none does."""
    for stated, source in found:
        if isinstance(stated, Activation):
            return stated, source
        if stated is not None:
            cut = (THRESHOLD,) if stated is Kind.SIGMOID else ()
            return Activation(stated, cut), source
    return SOFTMAX, None
