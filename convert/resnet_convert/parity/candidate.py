"""Candidate: a model to be compared with the reference, as `opening` opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resnet_serve.parity.verdict import Check
from resnet_serve.runtimes import RunnableModel

EMULATION = "emulation"
UNLIMITED = 2**31


@dataclass(frozen=True)
class Candidate:
    """A model to be compared with the reference; `runtime` names what runs it.

    `compiled` counts what it runs, by operator or kind of layer. `check` is the gate's line on the
    precision that it really computes in, where the runtime reports it.
    """

    model: RunnableModel
    runtime: str
    max_batch_size: int = UNLIMITED
    compiled: Mapping[str, int] = field(default_factory=dict)
    check: Check | None = None

    @property
    def emulated(self) -> bool:
        """Whether it stands in for what will be served, so that its times mean nothing."""
        return self.runtime == EMULATION
